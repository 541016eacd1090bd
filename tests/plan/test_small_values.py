"""Values that are kept of what was last sent: small ones, and neither secrets nor old ones."""

import pyarrow as pa
import pytest

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.types import Kind
from mlporter.plan.three_sides.actions import NOT_KNOWN, Action, ActionKind, Change
from mlporter.plan.three_sides.sent.base import remember
from mlporter.plan.three_sides.sent.digests import digested, key_digests, value_digest
from mlporter.plan.three_sides.sent.small_values import (
    LONGEST,
    SmallRows,
    kept_columns,
    sent_value,
)
from mlporter.stores.rows.last_sent import LastSent

TAGS = BY_NAME["tags"]


def batch(*values, run="r"):
    columns = {
        "run_uuid": [run] * len(values),
        "key": list("abcdef"[: len(values)]),
        "value": values,
    }
    return pa.RecordBatch.from_pydict(columns, schema=TAGS.schema)


def test_small_values_are_kept_and_long_ones_are_not():
    rows = SmallRows(TAGS, batch("x", None, "y" * LONGEST, "z" * (LONGEST + 1)))
    assert rows.rows == [{"value": "x"}, {}, {"value": "y" * LONGEST}, {}]


@pytest.mark.parametrize("table", [t for t in BY_NAME.values() if t.kind is not Kind.KEPT])
def test_nothing_is_kept_of_tables_of_users_and_secrets(table):
    assert kept_columns(table) == ()


@pytest.mark.parametrize(
    ("table", "column"),
    [("webhooks", "secret"), ("model_definitions", "secret_id"), ("runs", "artifact_uri")],
)
def test_neither_secrets_nor_uris_are_kept(table, column):
    assert column in BY_NAME[table].by_name
    assert column not in kept_columns(BY_NAME[table])


def test_a_value_that_has_not_the_digest_that_was_remembered_is_not_shown():
    digests = {"value": value_digest("x", pa.string())}
    assert sent_value(TAGS, "value", digests, {"value": "x"}) == "x"
    assert sent_value(TAGS, "value", digests, {"value": "older"}) is NOT_KNOWN
    assert sent_value(TAGS, "value", digests, {}) is NOT_KNOWN
    assert sent_value(TAGS, "value", None, {"value": "x"}) is NOT_KNOWN
    nothing = {"value": value_digest(None, pa.string())}
    assert sent_value(TAGS, "value", nothing, {}) is None


def test_of_what_is_disputed_the_older_value_stays(tmp_path):
    state = LastSent(tmp_path)
    first, second = batch("1", "2"), batch("3", "4")
    disputed = int(key_digests(second, TAGS.key)[1])
    remember(state, TAGS, digested(TAGS, [first]), ())
    remember(state, TAGS, digested(TAGS, [second]), [disputed])
    state.commit()
    state.close()

    state = LastSent(tmp_path)
    keys = key_digests(second, TAGS.key).tolist()
    group = state.groups("tags", ["r"])["r"]
    values = state.values("tags", "r")
    sent = [sent_value(TAGS, "value", group.row(key), values[str(key)]) for key in keys]
    assert sent == ["3", "2"]
    state.forget("tags", ["r"])
    assert state.values("tags", "r") == {}
    state.close()


def test_a_text_with_the_password_of_an_address_is_not_kept():
    rows = SmallRows(TAGS, batch("s3://bucket/x", "see http://me:pass@host/x", None))
    assert rows.rows == [{"value": "s3://bucket/x"}, {}, {}]


def test_a_group_of_many_rows_is_remembered_as_one(tmp_path):
    names = [f"{number:04}" for number in range(2_500)]
    columns = {"run_uuid": ["r"] * len(names), "key": names, "value": names}
    rows = pa.RecordBatch.from_pydict(columns, schema=TAGS.schema)
    state = LastSent(tmp_path)
    remember(state, TAGS, digested(TAGS, [rows.slice(0, 10), rows.slice(10)]), ())
    found, keys = state.values("tags", "r"), key_digests(rows, TAGS.key).tolist()
    assert state.groups("tags", ["r"])["r"].rows[:, 0].tolist() == keys
    assert [found[str(key)]["value"] for key in keys] == names
    state.close()


def test_nobody_else_reads_what_was_sent(tmp_path):
    state = LastSent(tmp_path / "state")
    state.commit()
    state.close()
    assert (tmp_path / "state" / "base.sqlite").stat().st_mode & 0o777 == 0o600


def test_an_action_says_what_was_last_sent_where_that_is_known():
    known = Change("team", "c", "b", "a")
    action = Action(ActionKind.CONFLICT, "runs", "r", (known, Change("name", "x", "y")))
    line = action.as_dict()
    assert [c.get("sent", NOT_KNOWN) for c in line["changes"]] == ["a", NOT_KNOWN]
    assert Action.from_dict(line) == action
    assert "last sent: 'a'" in str(action)
    assert (known.is_third, Change("team", "c", "b", "c").is_third) == (True, False)
