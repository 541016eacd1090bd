import threading
from collections.abc import Iterator
from itertools import islice

import pytest

from mlporter.artifacts import scan as scan_module
from mlporter.artifacts.disk import sorting
from mlporter.artifacts.places import LocalPlace
from mlporter.artifacts.scan import Owner, scan_owners
from mlporter.artifacts.uris.uri_text import local_path
from mlporter.errors import AccessDeniedError, UnreachableError
from tests.support.memory import traced_peak


def open_local(uri):
    path = local_path(uri)
    if path is None:
        raise UnreachableError("no such scheme", subject=uri, hint="--map-uri x=y")
    return LocalPlace(path)


def scan(owners, open_place=open_local, workers=4):
    left_out = []
    files = list(scan_owners(owners, open_place, left_out.append, workers))
    return [(f.owner_kind, f.owner_id, f.path) for f in files], left_out


def run_with(root, name, *paths):
    folder = root / name / "artifacts"
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return Owner("run", name, str(folder), experiment_uri=str(root))


@pytest.mark.parametrize("workers", [1, 3])
def test_owners_in_order_each_ones_files_sorted(tmp_path, workers):
    owners = [run_with(tmp_path, f"r{i:02}", "b", "a/x", "a.txt") for i in range(30)]
    files, left_out = scan(owners, workers=workers)
    assert files == [("run", f"r{i:02}", p) for i in range(30) for p in ("a.txt", "a/x", "b")]
    assert left_out == []


def test_a_file_can_be_opened_again_by_its_token(tmp_path):
    [file] = scan_owners([run_with(tmp_path, "r", "a/x")], open_local, pytest.fail)
    with open_local(file.token).open(file.path) as stream:
        assert stream.read() == b"a/x"
    assert file.size == 3
    assert file.stamp


def test_a_run_without_a_folder_has_no_artifacts(tmp_path):
    exp = tmp_path / "mlruns/1"
    owner = Owner("run", "r", str(exp / "r/artifacts"), experiment_uri=str(exp))
    exp.mkdir(parents=True)
    assert scan([owner]) == ([], [])
    exp.rmdir()
    assert scan([owner]) == ([], [])  # the experiment just holds no files
    exp.parent.rmdir()
    files, [left_out] = scan([owner])
    assert files == []
    assert (left_out.kind, left_out.id, left_out.path) == ("run", "r", "")
    assert left_out.reason == "unreachable"
    assert f"--map-uri '{exp}=" in left_out.detail


@pytest.mark.parametrize("uri", [None, "", "{tmp}/absent", "{tmp}"])
def test_expected_files_that_are_not_there_are_missing(tmp_path, uri):
    uri = uri and uri.format(tmp=tmp_path)
    assert scan([Owner("run", "r", uri, experiment_uri=str(tmp_path))]) == ([], [])
    owner = Owner("logged_model", "m", uri, expects_files=True, experiment_uri=str(tmp_path))
    files, [left_out] = scan([owner])
    assert files == []
    assert (left_out.kind, left_out.id, left_out.reason) == ("logged_model", "m", "missing")


def test_problems_are_reported_by_path(tmp_path):
    owner = run_with(tmp_path, "r", "a")
    (tmp_path / "r/artifacts/out").symlink_to("/etc")
    files, [left_out] = scan([owner])
    assert files == [("run", "r", "a")]
    assert (left_out.kind, left_out.id, left_out.path) == ("artifact", "r", "out")
    assert left_out.reason == "unsafe-path"
    assert not left_out.expected


def test_a_model_whose_files_are_unsafe_is_not_missing_too(tmp_path):
    (tmp_path / "out").symlink_to("/etc")
    owner = Owner("logged_model", "m", str(tmp_path), expects_files=True)
    assert [entry.reason for entry in scan([owner])[1]] == ["unsafe-path"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnreachableError("gone", hint="do this"), "unreachable"),
        (AccessDeniedError("no", hint="do this"), "unreachable"),
        (OSError("do this: broken"), "unreadable"),
    ],
)
def test_one_owner_that_fails_does_not_stop_the_others(tmp_path, error, reason):
    class Failing(LocalPlace):
        def list(self):
            raise error

    def open_place(uri):
        return Failing(tmp_path) if uri == "bad" else open_local(uri)

    good = run_with(tmp_path, "z", "a")
    files, [left_out] = scan([Owner("run", "r", "bad"), good], open_place)
    assert files == [("run", "z", "a")]
    assert left_out.reason == reason
    assert "do this" in left_out.detail


def test_unknown_places_are_told_with_the_way_out():
    _, [left_out] = scan([Owner("run", "r", "what:/x")])
    assert left_out.reason == "unreachable"
    assert "--map-uri" in left_out.detail


def test_owners_are_read_only_a_little_ahead(tmp_path):
    taken = []

    def owners() -> Iterator[Owner]:
        for number in range(1000):
            taken.append(number)
            yield run_with(tmp_path, f"r{number}", "a") if number < 1 else Owner("run", "r", None)

    found = scan_owners(owners(), open_local, pytest.fail, workers=2)
    next(found)
    assert len(taken) < 20
    found.close()


def test_slow_owners_are_listed_at_the_same_time(tmp_path):
    together = threading.Barrier(3, timeout=30)

    class Slow(LocalPlace):
        def list(self):
            together.wait()
            return super().list()

    owners = [run_with(tmp_path, f"r{i}", "a") for i in range(3)]
    files, _ = scan(owners, lambda uri: Slow(local_path(uri)), workers=3)
    assert [owner for _, owner, _ in files] == ["r0", "r1", "r2"]


def test_what_mlflow_writes_when_it_loads_a_model_is_no_artifact(tmp_path):
    mark = "registered_model_meta"
    owner = run_with(tmp_path, "r", "model/MLmodel", f"model/{mark}", f"other/{mark}")
    files, left_out = scan([owner])
    assert [path for _, _, path in files] == ["model/MLmodel", f"other/{mark}"]
    assert [(item.path, item.reason, item.expected) for item in left_out] == [
        (f"model/{mark}", "transient", True)
    ]


def test_many_files_are_sorted_on_disk_and_none_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(sorting, "_FEW", 50)
    monkeypatch.setattr(scan_module, "_AT_FIRST", 50)
    peaks = []
    for count in (200, 1_000):
        names = [f"{number * 7919 % 1_000_003:07d}" for number in range(count)]
        owner = run_with(tmp_path, f"r{count}", *names)
        paths = []
        peaks.append(traced_peak(lambda owner=owner, paths=paths: paths.append(last(owner))))
        assert [path for _, _, path in scan([owner])[0]] == sorted(names)
        assert paths == [max(names)] * 3
    assert peaks[1] - peaks[0] < 800 * 60  # A list of them takes 250 bytes each.


def last(owner):
    path = ""
    for file in scan_owners([owner], open_local, pytest.fail, workers=1):
        path = file.path
    return path


def test_an_owner_whose_listing_ends_early_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(scan_module, "_AT_FIRST", 2)

    class Failing(LocalPlace):
        def list(self):
            yield from islice(super().list(), 3)
            raise UnreachableError("it went away")

    owner = run_with(tmp_path, "r", "a", "b", "c", "d")
    files, [left_out] = scan([owner], lambda uri: Failing(local_path(uri)))
    assert [path for _, _, path in files] == ["a", "b", "c"]
    assert (left_out.id, left_out.path, left_out.reason) == ("r", "", "unreachable")


def test_marks_are_told_from_files_of_the_same_name_wherever_models_lie(tmp_path):
    mark = "registered_model_meta"
    paths = ["MLmodel", mark, f"a/{mark}", "a/b/MLmodel", f"a/b/{mark}", f"a/b/c/{mark}"]
    files, left_out = scan([run_with(tmp_path, "r", *paths)])
    assert [path for _, _, path in files] == sorted({*paths} - {mark, f"a/b/{mark}"})
    assert {item.path for item in left_out} == {mark, f"a/b/{mark}"}
