"""What a kind of target cannot do is planned as such, and not found out while it is carried out."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from mlporter.catalogue import BY_NAME
from mlporter.compare.rows.shape import pair_up
from mlporter.plan.capabilities import DATABASE, SERVER
from mlporter.plan.three_sides.actions import ActionBook, ActionKind
from mlporter.plan.three_sides.row import Sides
from mlporter.plan.three_sides.rows import RowPlanner
from mlporter.plan.three_sides.sent.base import NoBase
from mlporter.plan.three_sides.sent.digests import column_digests, key_digests
from mlporter.plan.three_sides.sides import Wish

SYNC = Wish(updates=True, edits="theirs", deletes=True)
COPY = Wish()
_BOOKS: list = []


@dataclass(frozen=True)
class Rows:
    """One table in memory."""

    table: str
    rows: list

    @property
    def tables(self):
        return (BY_NAME[self.table],)

    def read(self, table, columns=None, among=None):
        assert among is None or among.values
        if self.rows:
            batch = pa.RecordBatch.from_pylist(self.rows, schema=BY_NAME[table].schema)
            yield batch.select(list(columns)) if columns else batch


class Sent(NoBase):
    """Some rows are remembered, of whatever they belong to."""

    def __init__(self, table, rows):
        self.table = BY_NAME[table]
        self.batch = pa.RecordBatch.from_pylist(rows, schema=self.table.schema)

    def groups(self, table, names):
        return dict.fromkeys(names, self) if table == self.table.name else {}

    def row(self, key):
        keys = key_digests(self.batch, self.table.key).tolist()
        if key not in keys:
            return None
        names = self.batch.schema.names
        line = column_digests(self.table, self.batch)[keys.index(key)].tolist()
        return dict(zip(names, line, strict=True))


@dataclass
class Known:
    """What there is to know besides."""

    versions: set = field(default_factory=set)
    own: set = field(default_factory=set)

    def has(self, _kind, key):
        return key in self.versions

    def holds_own(self, _kind, key):
        return key in self.own

    def is_newer(self, _kind, _key):
        return False


def planned(can, table, source, target, *, sent=None, wish=SYNC, facts=None):
    entry = BY_NAME[table]
    base = NoBase() if sent is None else Sent(table, sent)
    _BOOKS.append(ActionBook())
    planner = RowPlanner(base, wish, _BOOKS[-1], can=can, facts=facts or Known())
    pair = pair_up(entry, entry, can.of(table).matched | can.of(table).unsettable)
    planner.take(Sides(pair, Rows(table, source), Rows(table, target)))
    return planner


@pytest.fixture(autouse=True)
def _closed_books():
    yield
    while _BOOKS:
        _BOOKS.pop().close()


def kinds(planner):
    return [action.kind for action in planner.book.first]


def param(value):
    return {"run_uuid": "r", "key": "depth", "value": value}


def alias(version):
    return {"workspace": "default", "name": "clf", "alias": "champion", "version": version}


def latest(step, value=0.5):
    return {"run_uuid": "r", "key": "loss", "value": value, "timestamp": step, "step": step,
            "is_nan": False}  # fmt: skip


def experiment(stage):
    return {"experiment_id": 1, "workspace": "default", "name": "churn", "lifecycle_stage": stage}


def test_a_parameter_that_changed_is_a_conflict_for_a_server_alone():
    sides = ("params", [param("2")], [param("1")])
    there = planned(SERVER, *sides, sent=[param("1")])
    assert kinds(there) == [ActionKind.CONFLICT]
    assert SERVER.cannot("change") in there.book.first[0].why
    here = planned(DATABASE, *sides, sent=[param("1")])
    assert here.plan.updates["params"] == {("r", "depth"): {"value": "2"}}


def test_a_parameter_that_is_gone_is_left_out_for_a_server_alone():
    sides = ("params", [], [param("1")])
    there = planned(SERVER, *sides, sent=[param("1")])
    assert kinds(there) == [ActionKind.LEAVE_OUT]
    assert there.plan.left_out == [("params", "r/depth", SERVER.cannot("remove"))]
    assert not there.plan.removals
    assert planned(DATABASE, *sides, sent=[param("1")]).plan.removals["params"]


@pytest.mark.parametrize("can", [DATABASE, SERVER])
def test_an_alias_needs_the_version_that_it_names(can):
    sides = ("registered_model_aliases", [alias(2)], [alias(1)])
    version = "default\x1fclf\x1f2"
    gone = planned(can, *sides, sent=[alias(1)])
    assert kinds(gone) == [ActionKind.CONFLICT]
    assert "version 2" in gone.book.first[0].why
    there = planned(can, *sides, sent=[alias(1)], facts=Known(versions={version}))
    assert kinds(there) == [ActionKind.MOVE]


@pytest.mark.parametrize("wish", [SYNC, COPY])
def test_points_that_a_copy_lost_come_again_and_points_of_its_own_stay(wish):
    sent = [latest(5)]
    lost = planned(SERVER, "latest_metrics", sent, [latest(3)], sent=sent, wish=wish)
    assert lost.plan.updates["latest_metrics"]
    more = planned(SERVER, "latest_metrics", sent, [latest(7)], sent=sent, wish=wish)
    assert kinds(more) == [ActionKind.KEEP]
    assert not more.plan.updates["latest_metrics"]


def test_a_version_that_a_server_deleted_cannot_come_again_and_a_databases_does():
    version = {"workspace": "default", "name": "clf", "version": 3, "current_stage": "None"}
    ours = Wish(updates=True, edits="ours", puts_back=True)
    there = planned(SERVER, "model_versions", [version], [], sent=[version], wish=ours)
    assert [(one.kind, one.why) for one in there.book.first] == [
        (ActionKind.CONFLICT, SERVER.of("model_versions").once)
    ]
    here = planned(DATABASE, "model_versions", [version], [], sent=[version], wish=ours)
    assert kinds(here) == [ActionKind.CREATE]


def test_what_holds_things_of_the_target_is_not_put_into_a_servers_trash():
    sides = ("experiments", [experiment("deleted")], [experiment("active")])
    sent = [experiment("active")]
    assert kinds(planned(SERVER, *sides, sent=sent, facts=Known(own={"1"}))) == [
        ActionKind.CONFLICT
    ]
    assert kinds(planned(SERVER, *sides, sent=sent)) == [ActionKind.MOVE]
