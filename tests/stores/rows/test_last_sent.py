"""What was last sent, as it lies on disk: kept as a whole, by one process, or not at all."""

import sqlite3

import numpy as np
import pytest

from mlporter.errors import StateInUseError, UnreachableError
from mlporter.stores.addresses.locating import locate
from mlporter.stores.rows.last_sent import LastSent, folder_for

LINES = np.array([[1, 10, 11], [2, 20, 21]], np.uint64)


def put(state, name="run"):
    state.put("tags", ("key", "value"), name, LINES.tobytes())


def test_it_is_kept_by_commit_alone(tmp_path):
    state = LastSent(tmp_path)
    put(state)
    state.note("experiments", {"1": "7"})
    state.close()
    state = LastSent(tmp_path)
    assert (dict(state.groups("tags", ["run"])), state.is_known) == ({}, False)
    put(state)
    state.note("experiments", {"1": "7"})
    state.commit()
    put(state, "another")
    state.close()

    state = LastSent(tmp_path)
    assert (list(state.names("tags")), state.is_known) == (["run"], True)
    group = state.groups("tags", ["run", "another"])["run"]
    assert group.columns == ("key", "value")
    assert (group.row(2), group.row(3)) == ({"key": 20, "value": 21}, None)
    assert state.noted("experiments") == {"1": "7"}
    state.forget("tags", ["run"])
    assert list(state.names("tags")) == []
    state.close()


def test_where_nothing_was_sent_nothing_stays(tmp_path):
    folder = tmp_path / "sent" / "two-places"
    state = LastSent(folder)
    put(state)
    state.close()
    assert list(tmp_path.iterdir()) == []
    state = LastSent(folder)
    state.commit()
    state.close()
    LastSent(folder).close()
    assert (folder / "base.sqlite").is_file()


def test_one_at_a_time(tmp_path):
    state = LastSent(tmp_path)

    with pytest.raises(StateInUseError) as caught:
        LastSent(tmp_path)

    assert caught.value.exit_code == 7
    state.close()
    LastSent(tmp_path).close()


def test_another_format_is_as_good_as_nothing(tmp_path):
    state = LastSent(tmp_path)
    put(state)
    state.commit()
    state.close()
    with sqlite3.connect(tmp_path / "base.sqlite") as database:
        database.execute("UPDATE about SET value = '0' WHERE name = 'format'")
    database.close()

    state = LastSent(tmp_path)

    assert (state.is_known, list(state.names("tags"))) == (False, [])
    state.close()


def test_a_damaged_file_is_said_and_what_to_do(tmp_path):
    (tmp_path / "base.sqlite").write_bytes(b"no database, but long enough to be looked at" * 20)

    with pytest.raises(UnreachableError) as caught:
        LastSent(tmp_path)

    assert caught.value.subject == str(tmp_path)
    assert "--state" in str(caught.value.hint)
    (tmp_path / "base.sqlite").unlink()
    LastSent(tmp_path).close()


def test_each_two_places_have_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    a, b = locate("sqlite:///a.db"), locate("sqlite:///b.db")

    folders = {folder_for(a, b), folder_for(b, a), folder_for(a, a)}

    assert len(folders) == 3
    assert folder_for(a, b) == folder_for(locate(f"sqlite:///{tmp_path.cwd()}/a.db"), b)
    assert all(folder.is_relative_to(tmp_path) for folder in folders)
