"""Metric files: a line for each point, of two fields (before MLflow 1.0), three or more.

    <timestamp> <value> [<step> [<run id> | <dataset name> <dataset digest>]]

The texts of many files are parsed together by Arrow. Where one of them is not as MLflow writes it,
it is parsed on its own, and if need be line by line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from mlporter.catalogue import BY_NAME
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlporter.stores.filestore.notes import Spot

__all__ = ["LARGEST", "MetricTexts", "fields_of", "say_wrong"]

LARGEST = 1.7976931348623157e308
"""What MLflow's databases hold for an infinite value."""
_SCHEMA = BY_NAME["metrics"].schema
_COLUMNS = ("run_uuid", "key", "step", "timestamp", "value", "is_nan")
_LINES_NAMED = 3
_READ = pa.csv.ReadOptions(
    column_names=["timestamp", "value", "step"], use_threads=False, block_size=1 << 24
)
_PARSE = pa.csv.ParseOptions(delimiter=" ", quote_char=False, double_quote=False)
_CONVERT = pa.csv.ConvertOptions(
    column_types={"timestamp": pa.int64(), "value": pa.float64(), "step": pa.int64()},
    null_values=[],
)
_MOST, _LEAST = 2**63 - 1, -(2**63)


@dataclass
class _Points:
    """Points as columns: milliseconds, values, steps."""

    timestamps: NDArray[np.int64]
    values: NDArray[np.float64]
    steps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)


@dataclass
class MetricTexts:
    """The texts of many metric files, added in the order of run and key, parsed together."""

    _plain: list[bytes] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)
    _runs: list[str] = field(default_factory=list)
    _keys: list[str] = field(default_factory=list)
    _spots: list[Spot] = field(default_factory=list)
    size: int = 0

    def add(self, run: str, key: str, data: bytes, spot: Spot) -> None:
        """One more file."""
        text = data if data.endswith(b"\n") or not data else data + b"\n"
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        self._plain.append(text)
        self._counts.append(text.count(b"\n"))
        self._runs.append(run)
        self._keys.append(key)
        self._spots.append(spot)
        self.size += len(text)

    def batch(self) -> pa.RecordBatch:
        """All points as rows of `metrics`, sorted by its key."""
        points, counts = self._parse()
        files = np.repeat(np.arange(len(counts)), counts)
        is_nan = np.isnan(points.values)
        values = np.nan_to_num(points.values, nan=0.0, posinf=LARGEST, neginf=-LARGEST)
        columns: list[NDArray[Any]] = [files, points.steps, points.timestamps, values, is_nan]
        if not _ascends(columns):
            order = np.lexsort(columns[::-1])
            columns = [column[order] for column in columns]
        places, *rest = (pa.array(column) for column in columns)
        owners = (pa.array(names, pa.string()).take(places) for names in (self._runs, self._keys))
        arrays = dict(zip(_COLUMNS, (*owners, *rest), strict=True))
        return pa.RecordBatch.from_arrays([arrays[name] for name in _SCHEMA.names], schema=_SCHEMA)

    def _parse(self) -> tuple[_Points, NDArray[np.int64]]:
        whole = _by_arrow(b"".join(self._regular())) if self._is_regular() else None
        if whole is not None:
            return whole, np.array(self._counts, dtype=np.int64)
        parts = [_one_file(text, spot) for text, spot in zip(self._plain, self._spots, strict=True)]
        counts = np.array([len(part) for part in parts], dtype=np.int64)
        return _joined(parts), counts

    def _is_regular(self) -> bool:
        """Whether every file seems to have lines of two fields, or of three."""
        return all(
            text.count(b" ") in {lines, 2 * lines}
            for text, lines in zip(self._plain, self._counts, strict=True)
        )

    def _regular(self) -> Iterator[bytes]:
        return (_three(text, lines) for text, lines in zip(self._plain, self._counts, strict=True))


def _three(text: bytes, lines: int) -> bytes:
    """Lines of three fields from those of two, whose points have no step."""
    return text.replace(b"\n", b" 0\n") if text.count(b" ") == lines else text


def _ascends(columns: list[NDArray[Any]]) -> bool:
    """Whether rows are sorted by these columns, the most significant first; equal ones are."""
    undecided = np.arange(1, len(columns[0]))
    for column in columns:
        here, before = column[undecided], column[undecided - 1]
        if (here < before).any():
            return False
        undecided = undecided[here == before]
        if not len(undecided):
            return True
    return True


def _by_arrow(text: bytes) -> _Points | None:
    """Lines of three fields; None if there is any other."""
    if not text:
        return _joined([])
    try:
        table = pa.csv.read_csv(
            pa.py_buffer(text), read_options=_READ, parse_options=_PARSE, convert_options=_CONVERT
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != text.count(b"\n"):  # empty lines are passed over
        return None
    return _Points(*(table[name].to_numpy() for name in ("timestamp", "value", "step")))


def _one_file(text: bytes, spot: Spot) -> _Points:
    points = _by_arrow(_three(text, text.count(b"\n")))
    return _by_line(text, spot) if points is None else points


def _by_line(text: bytes, spot: Spot) -> _Points:
    found: list[tuple[int, float, int]] = []
    wrong: list[tuple[int, bytes]] = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = fields_of(line)
        if fields is None:
            wrong.append((number, line))
        elif fields:
            found.append((fields[0], fields[1], fields[2]))
    say_wrong(wrong, spot)
    return _Points(
        np.array([row[0] for row in found], dtype=np.int64),
        np.array([row[1] for row in found], dtype=np.float64),
        np.array([row[2] for row in found], dtype=np.int64),
    )


def say_wrong(wrong: list[tuple[int, bytes]], spot: Spot) -> None:
    """Name lines that are no points."""
    if not wrong:
        return
    named = [f"line {number}: {_excerpt(line)} is not a point" for number, line in
             islice(wrong, _LINES_NAMED)]  # fmt: skip
    more = len(wrong) - len(named)
    named += [f"and {plural(more, 'more line')}"] if more else []
    spot.lost("; ".join(named))


def fields_of(line: bytes) -> tuple[int, float, int, tuple[bytes, ...]] | tuple[()] | None:
    """Timestamp, value, step and further fields of a line; () if it is empty, None if wrong."""
    words = tuple(line.strip().split(b" "))
    if words == (b"",):
        return ()
    if len(words) < 2:  # noqa: PLR2004
        return None
    try:
        timestamp, value = int(words[0]), float(words[1])
        step = int(words[2]) if len(words) > 2 else 0  # noqa: PLR2004
    except ValueError:
        return None
    if not all(_LEAST <= number <= _MOST for number in (timestamp, step)):
        return None
    return timestamp, value, step, words[3:]


def _excerpt(line: bytes) -> str:
    return repr(line[:80].decode(errors="backslashreplace"))


def _joined(parts: list[_Points]) -> _Points:
    def column(name: str, kind: type) -> Iterator[NDArray[Any]]:
        yield np.empty(0, dtype=kind)
        yield from (getattr(part, name) for part in parts)

    return _Points(
        np.concatenate([*column("timestamps", np.int64)]),
        np.concatenate([*column("values", np.float64)]),
        np.concatenate([*column("steps", np.int64)]),
    )
