"""What was last sent to a server: lost and found again, or an earlier bundle of the source."""

from __future__ import annotations

import pytest

import mlporter
from tests.execute.server.test_in_step import done, files_of, sync, text_of


@pytest.fixture
def forget(monkeypatch, tmp_path):
    """Lose all that is remembered of what was sent."""
    return lambda: monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "nothing"))


def edit_both(plain_sqlite, server):
    """Something new at the source, an edit on the server, and a tag that both changed."""
    client, run, other = plain_sqlite.client(), *plain_sqlite.run_ids[:2]
    copy, name = server.copy_of(run).info.run_id, plain_sqlite.model_name
    client.set_tag(run, "team", "here")
    server.client().set_tag(copy, "team", "there")
    client.set_tag(other, "more", "1")
    client.update_model_version(name, "2", description="better")
    server.client().update_model_version(name, "1", description="recalled")


def test_an_earlier_bundle_says_who_changed_what(plain_sqlite, server, tmp_path, forget):
    run, name = plain_sqlite.run_ids[0], plain_sqlite.model_name
    plain_sqlite.client().set_tag(run, "team", "first")
    bundle = tmp_path / "bundle"
    mlporter.export(plain_sqlite.tracking_uri, bundle, artifacts="none")
    mlporter.import_(bundle, server.address)
    forget()
    edit_both(plain_sqlite, server)

    plan = sync(plain_sqlite, server, state=bundle, dry_run=True)
    result = sync(plain_sqlite, server, state=bundle)

    assert plan.actions.digest == result.actions.digest
    there = server.client()
    assert there.get_model_version(name, "2").description == "better"
    assert there.get_model_version(name, "1").description == "recalled"
    assert server.copy_of(plain_sqlite.run_ids[1]).data.tags["more"] == "1"
    assert done(result, "keep") == [("model_versions", "description")]
    (left,) = [item for item in result.left_out.first if not item.expected]
    assert (left.kind, left.id, left.reason) == ("runs", run, "conflict")
    assert "'first' was last sent" in left.detail
    again = sync(plain_sqlite, server)  # as it is remembered now
    assert (again.exit_code, again.actions.total("update", "create")) == (3, 0)


def test_a_lost_base_is_found_again_by_tags_but_for_what_differs(copied, server, forget):
    plain_sqlite, run, name = copied, copied.run_ids[0], copied.model_name
    home = [server.copy_of(run).info.experiment_id]
    runs = len(server.client().search_runs(home))
    forget()
    edit_both(plain_sqlite, server)

    first = sync(plain_sqlite, server)

    assert first.exit_code == 3
    left = {(item.kind, item.id) for item in first.left_out.first if not item.expected}
    assert ("runs", run) in left
    assert ("model_versions", f"default/{name}/1") in left
    assert first.actions.total("create") == 0
    assert len(server.client().search_runs(home)) == runs
    # What is equal is remembered again: who changes it now is known.
    plain_sqlite.client().set_tag(run, "later", "1")
    server.client().set_tag(server.copy_of(plain_sqlite.run_ids[2]).info.run_id, "mine", "1")
    second = sync(plain_sqlite, server)
    assert server.copy_of(run).data.tags["later"] == "1"
    assert ("runs", "tags.mine") in done(second, "keep")


def test_rebase_takes_what_differs_as_the_servers(copied, server, forget):
    plain_sqlite, run, name = copied, copied.run_ids[0], copied.model_name
    forget()
    edit_both(plain_sqlite, server)

    assert sync(plain_sqlite, server, rebase=True).exit_code == 0

    kept = sync(plain_sqlite, server)
    assert kept.exit_code == 0
    assert ("runs", "tags.team") in done(kept, "keep")
    assert server.copy_of(run).data.tags["team"] == "there"
    assert server.client().get_model_version(name, "1").description == "recalled"
    plain_sqlite.client().set_tag(run, "other", "new")
    assert ("runs", "tags.other") in done(sync(plain_sqlite, server), "update")


def test_files_of_an_earlier_bundle_count_as_sent(plain_sqlite, server, tmp_path, forget):
    client, run = plain_sqlite.client(), plain_sqlite.run_ids[0]
    for path in ("changed.txt", "edited.txt", "both.txt"):
        client.log_text(run, "as sent", path)
    bundle, part = tmp_path / "bundle", {"selection": mlporter.Selection(runs=(run,))}
    mlporter.export(plain_sqlite.tracking_uri, bundle, **part)
    mlporter.import_(bundle, server.address)
    forget()
    client.set_tag(run, "went", "on")
    copy, there = server.copy_of(run).info.run_id, server.client()
    for path in ("changed.txt", "both.txt"):
        client.log_text(run, "changed at the source", path)
    for path in ("edited.txt", "both.txt"):
        there.log_text(copy, "edited on the server, too", path)

    asked = {"state": bundle, "on_conflict": "update", **part}
    with pytest.raises(mlporter.ConflictError, match="artifact "):
        mlporter.copy(plain_sqlite.tracking_uri, server.address, **asked)
    result = mlporter.sync(plain_sqlite.tracking_uri, server.address, state=bundle, **part)

    assert files_of(result, run) == {
        ("update", "artifacts.changed.txt"),
        ("keep", "artifacts.edited.txt"),
        ("conflict", "artifacts.both.txt"),
    }
    assert text_of(there, copy, "changed.txt") == "changed at the source"
    assert text_of(there, copy, "edited.txt") == "edited on the server, too"
    assert text_of(there, copy, "both.txt") == "edited on the server, too"
