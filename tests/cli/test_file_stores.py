"""What people see of a file store, and of what is wrong with it."""

from __future__ import annotations

from tests.support.file_stores import FolderStore, put


def test_what_is_wrong_with_a_store_is_shown(mlporter, tmp_path):
    store = FolderStore(tmp_path / "mlruns")
    experiment = store.experiment("1", "same")
    store.experiment("2", "same", trash=True)
    bad = store.run(experiment)
    put(bad / "meta.yaml", "")
    shown = mlporter("inspect", str(store.root))
    assert shown.code == 0
    assert "kind      filestore" in shown.out
    assert "left out  2 things" in shown.out
    assert "Not readable (1)" in shown.out
    words = " ".join(shown.out.split())
    assert f"! run 1/{bad.name}/meta.yaml: unreadable: line 1: is empty" in words
    assert "note: experiment .trash/2: another experiment has the name 'same'" in words

    exported = mlporter("export", str(store.root), str(tmp_path / "bundle"))
    assert exported.code == 3
    assert "Left out: 1 thing" in exported.err
    assert "note: experiment .trash/2" in exported.err


def test_a_file_store_is_no_target(mlporter, tmp_path):
    store = FolderStore(tmp_path / "mlruns")
    store.experiment("1")
    for verb in ("export", "copy"):
        refused = mlporter(verb, str(store.root), str(store.root))
        assert refused.code == 4
        assert "is a file store" in refused.err
