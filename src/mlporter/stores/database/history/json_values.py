"""What MLflow 3.17 takes for a number, an object or a token count in the JSON of tags and metadata.

It is parsed here and not by the database: no two engines agree about numbers in it, and these are
few rows.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any

__all__ = ["dimensions", "finite", "json_object", "token_count"]

_INT64 = 2**63


def json_object(text: str | None) -> dict[str, Any]:
    """A JSON object; anything else is an empty one."""
    try:
        value = json.loads(text) if text is not None else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def dimensions(text: str | None) -> dict[str, Any] | None:
    """What `spans.dimension_attributes` says; None if it is nothing that MLflow writes there."""
    try:
        value = json.loads(text) if text is not None else {}
        value = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None
    value = {} if value is None else value
    return value if isinstance(value, dict) else None


def token_count(value: object) -> int | None:
    """A count of tokens, or None where it is not a whole number of 64 bits."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return None
    if not number.is_finite() or number != number.to_integral_value():
        return None
    return int(number) if -_INT64 <= number < _INT64 else None


def finite(value: object) -> float | None:
    """A number, or None where it is none or without end."""
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
