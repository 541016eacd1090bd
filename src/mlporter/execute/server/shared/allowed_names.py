"""Which names of tags, parameters and metrics a server takes.

MLflow looks at names in every request but the one that makes a run, which takes any tag.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue import source_tags

if TYPE_CHECKING:
    from mlporter.plan.side_reader import Reader

__all__ = ["LONGEST_TAG", "REFUSED_NAME", "is_taken", "odd_tags"]

LONGEST_TAG = 8000
"""Characters of a tag's value."""
_LONGEST = 250
_NAME = re.compile(r"[/\w.\- :]*$")
_EVER = re.compile(r"[/\w.\- ]*$")
"""The same in MLflows of old."""
REFUSED_NAME = "MLflow does not accept such a name here"
"""Why something is not sent to a run that is there."""


def is_taken(name: str) -> bool:
    """Whether MLflow takes a name of a tag, parameter or metric for a run that is there."""
    return _is_like(_NAME, name)


def _is_like(pattern: re.Pattern[str], name: str) -> bool:
    plain = posixpath.normpath(name)
    is_path = plain == name and plain != "." and not plain.startswith(("..", "/"))
    return is_path and len(name) <= _LONGEST and pattern.match(name) is not None


def odd_tags(source: Reader) -> dict[str, dict[str, str]]:
    """By run: its tags that only the request which makes a run takes. Few runs have any.

    A server cuts, or refuses, longer ones.
    """
    found: dict[str, dict[str, str]] = {}
    known: dict[str, bool] = {source_tags.RUN: False}
    for batch in source.read("tags", ("run_uuid", "key", "value")):
        keys = batch.column(1).dictionary_encode()
        for key in keys.dictionary.to_pylist():
            if key not in known:
                known[key] = not _is_like(_EVER, key)
        odd = [key for key in keys.dictionary.to_pylist() if known[key]]
        if not odd:
            continue
        rows = batch.filter(pc.is_in(batch.column(1), value_set=pa.array(odd, pa.string())))
        for run, key, value in python_rows(rows):
            if len(value or "") <= LONGEST_TAG:
                found.setdefault(run, {})[key] = value or ""
    return found
