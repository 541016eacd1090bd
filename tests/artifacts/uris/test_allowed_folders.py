"""Which folders may be read: nothing but texts, of a machine that is made up."""

from pathlib import Path

import pytest

from mlporter.artifacts.uris.allowed_folders import Machine, Roots, is_below

MACHINE = Machine(
    system=frozenset({"/etc", "/proc", "/root", "/var/log"}),
    homes=frozenset({"/srv/me"}),
    homes_in=frozenset({"/home"}),
)


def roots(named=(), recorded=()):
    usable = frozenset(one for one in recorded if not MACHINE.refuses(one))
    return Roots(frozenset(named), usable, MACHINE)


@pytest.mark.parametrize(
    "folder",
    ["/etc", "/etc/x", "/proc/self", "/root", "/root/.ssh", "/", "/home", "/home/ann", "/srv/me",
     "/srv", "/srv/me/.ssh", "/home/ann/.config/x", "/var/log/mlflow"],
)  # fmt: skip
def test_what_is_no_root_whatever_a_row_says(folder):
    assert not roots(recorded=[folder]).holds(folder)
    assert not roots(recorded=[folder]).holds(f"{folder.rstrip('/')}/1/artifacts")


@pytest.mark.parametrize(
    "folder",
    ["/mlruns", "/srv/mlruns", "/srv/me/mlruns", "/home/ann/x", "/var/mlflow", "/etcetera"],
)
def test_what_a_row_makes_a_root(folder):
    found = roots(recorded=[folder])
    assert found.holds(folder)
    assert found.holds(f"{folder}/1/artifacts")
    assert not found.holds(f"{folder}-2")
    assert not found.holds(str(Path(folder).parent))


def test_private_folders_in_a_root_stay_private():
    found = roots(recorded=["/var"], named=["/srv/me", "/"])
    assert found.holds("/var/lib/x")
    assert not found.holds("/var/log/x")
    assert found.holds("/srv/me/mlruns")
    assert not found.holds("/srv/me/.ssh/id")
    assert found.holds("/anywhere")
    assert not found.holds("/etc/shadow")


@pytest.mark.parametrize("folder", ["/etc", "/etc/x", "/srv/me/.cache", "/srv/me/.cache/x"])
def test_what_the_user_names_counts_wherever_it_is(folder):
    found = roots(named=[folder])
    assert found.holds(f"{folder}/1")
    assert not found.holds("/etc-2")
    assert not found.holds("/srv/me/.ssh")


def test_the_folder_that_experiments_lie_in_by_their_numbers_is_one(tmp_path):
    by_number = Roots.of(experiments=[("3", tmp_path / "root/3"), ("4", tmp_path / "other/name")])
    real = tmp_path.resolve()
    assert by_number.holds(f"{real}/root/registered_models/m/1")
    assert by_number.holds(f"{real}/other/name/x")
    assert not by_number.holds(f"{real}/other/x")
    assert not by_number.holds(str(real))


def test_real_paths_are_compared(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for name in ("real", "link", "link/../real", "real/."):
        found = Roots.of(experiments=[("1", tmp_path / name)])
        assert found.holds(f"{tmp_path.resolve()}/real/x")


def test_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    here = Machine.here()
    real = str(tmp_path.resolve())
    assert here.is_wide(real)
    assert here.is_wide("/")
    assert here.private_part(f"{real}/.ssh/id") == f"{real}/.ssh"
    assert here.private_part(f"{real}/mlruns/.ssh") is None
    assert here.private_part("/etc/passwd") == str(Path("/etc").resolve())


def test_below():
    assert is_below("/a/b", "/a")
    assert is_below("/a", "/a")
    assert is_below("/a", "/")
    assert not is_below("/ab", "/a")


@pytest.mark.parametrize("link", ["root", "root/1", "root/1/run", "root/1/run/artifacts", None])
@pytest.mark.parametrize("inside", [True, False])
def test_where_a_place_really_is(link, inside, tmp_path):
    real = tmp_path.resolve()
    place = tmp_path / "root/1/run/artifacts"
    if link is None:
        place.mkdir(parents=True)
    else:
        target = real / ("named/x" if inside else "elsewhere/x")
        target.mkdir(parents=True)
        (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / link).symlink_to(target)
    found = Roots.of([tmp_path / "named"])
    if link is None:
        found = Roots.of([tmp_path / "root"])
        inside = True
    for path in (place, tmp_path / "root/1/../1/run/artifacts", place.parent / "../run/artifacts"):
        assert found.locate(path) == (str(path.resolve()), inside)


def test_a_place_that_leads_out_of_what_is_remembered(tmp_path):
    (tmp_path / "root/1/a").mkdir(parents=True)
    (tmp_path / "root/1/b").symlink_to(tmp_path)
    found = Roots.of([tmp_path / "root"])
    real = tmp_path.resolve()
    assert found.locate(tmp_path / "root/1/a/x") == (f"{real}/root/1/a/x", True)
    assert found.locate(tmp_path / "root/1/b/x") == (f"{real}/x", False)
    assert found.locate(tmp_path / "root/1/../..") == (str(real), False)
