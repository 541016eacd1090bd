"""Charts of whatever numbers there may be, and curves that are thinned while they are read."""

from __future__ import annotations

import math

import pytest

from mlporter.reports.chart import HEIGHT, WIDTH, line_chart
from mlporter.reports.limits import POINTS
from mlporter.reports.reading.curves import Curve, thinned
from mlporter.reports.reading.signature import signature_of

BIGGEST = 1.7e308


@pytest.mark.parametrize(
    "points",
    [
        [(0, 1.0)],
        [(0, 1.0), (1, 1.0)],
        [(0, 0.0), (1, -0.0)],
        [(0, -BIGGEST), (1, BIGGEST)],
        [(0, BIGGEST), (1, BIGGEST)],
        [(0, 0.0), (1, 5e-324)],
        [(-(2**63), 1e-320), (2**63 - 1, 2e-320)],
    ],
)
def test_every_point_is_on_the_picture(points: list[tuple[int, float]]) -> None:
    chart = line_chart("c", "m", [("a", points, len(points), 0)])
    assert chart is not None
    for pair in chart.lines[0].path.split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    assert all(0 <= tick.at <= WIDTH for tick in (*chart.x_ticks, *chart.y_ticks))


def test_nothing_to_draw_is_no_chart() -> None:
    assert line_chart("c", "m", [("a", [], 3, 3)]) is None


def test_a_long_curve_keeps_its_ends_and_its_extremes_in_little_room() -> None:
    curve, largest = Curve(), 0
    for step in range(100_000):
        curve.add(step, {41_234: 99.0, 77_777: -99.0}.get(step, math.sin(step / 1000)))
        largest = max(largest, len(curve.points))
    drawn = curve.drawn()
    assert largest <= 8 * POINTS
    assert len(drawn) <= POINTS + 2
    assert curve.count == 100_000
    assert drawn[0][0] == 0
    assert drawn[-1][0] == 99_999
    assert (41_234, 99.0) in drawn
    assert (77_777, -99.0) in drawn


def test_what_is_no_number_is_counted_and_not_drawn() -> None:
    curve = Curve()
    for step, value in enumerate((1.0, math.nan, math.inf, 1.7976931348623157e308)):
        curve.add(step, value)
    assert (curve.count, curve.odd, curve.points) == (4, 3, [(0, 1.0)])


def test_thinning_never_adds() -> None:
    points = [(at, float(at)) for at in range(5)]
    assert thinned(points, 5) == points


@pytest.mark.parametrize(
    ("said", "type_"),
    [
        ('[{"type": "double", "name": "x"}]', "double"),
        ('[{"type": "tensor", "name": "x", "tensor-spec": {"dtype": "f", "shape": [-1, 2]}}]',
         "tensor f (-1, 2)"),
        ('[{"type": "array", "name": "x", "items": {"type": "string"}}]', "array of string"),
        ('[{"type": "object", "name": "x", "properties": {"a": {"type": "long"}}}]',
         "object {a: long}"),
    ],
)  # fmt: skip
def test_a_signature_is_read(said: str, type_: str) -> None:
    (field,) = signature_of({"signature": {"inputs": said}})
    assert (field.part, field.name, field.type, field.is_needed) == ("inputs", "x", type_, True)


@pytest.mark.parametrize(
    "said", [None, [], "{", {"inputs": "{"}, {"inputs": 3}, {"inputs": "[" * 99_999}]
)
def test_a_signature_that_is_none_is_no_harm(said: object) -> None:
    assert signature_of({"signature": said}) == ()
