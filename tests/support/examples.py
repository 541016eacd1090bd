"""How many examples a property test tries."""

from __future__ import annotations

import os


def examples(usual: int) -> int:
    """As many as usual, or as MLPORTER_EXAMPLES says where that is more."""
    return max(usual, int(os.environ.get("MLPORTER_EXAMPLES", "0")))
