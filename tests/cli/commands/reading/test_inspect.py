from dataclasses import replace

from mlporter.verbs.reading.inspect import ModelInfo, VersionInfo
from tests.cli.examples import INVENTORY


def test_a_bundle(mlporter, fake, golden):
    fake("inspect", INVENTORY)

    finished = mlporter("inspect", "backup")

    assert (finished.code, finished.err) == (0, "")
    golden("inspect", finished.out)


def test_workspaces_are_named_where_there_are_several(mlporter, fake):
    several = replace(INVENTORY, workspaces=("default", "team-b"))
    fake("inspect", several)

    out = mlporter("inspect", "backup").out

    assert "workspaces  default, team-b" in out
    assert "├── default/Default" in out


def test_verbose_shows_the_rows_of_every_table(mlporter, fake, golden):
    fake("inspect", INVENTORY)

    golden("inspect-verbose", mlporter("inspect", "backup", "-v").out)


def test_of_many_versions_those_with_a_name_and_the_newest_are_shown(mlporter, fake):
    versions = tuple(
        VersionInfo(number, "Production" if number == 2 else "None", "READY", None,
                    ("old",) if number == 3 else (), None)
        for number in range(1, 31)
    )  # fmt: skip
    model = ModelInfo("default", "many", is_prompt=False, aliases={}, versions=versions)
    fake("inspect", replace(INVENTORY, models=(model,)))

    lines = mlporter("inspect", "backup").out.splitlines()

    shown = [line.split("── ")[1] for line in lines if line.startswith("    ") and "── " in line]
    assert shown[:2] == ["2  Production", "3  @old"]
    assert shown[2:] == [*map(str, range(25, 31)), "…and 22 more (-v)"]
    assert "── 1" in mlporter("inspect", "backup", "-v").out


def test_json_is_the_inventory(mlporter, fake):
    fake("inspect", INVENTORY)

    data = mlporter("inspect", "backup", "--json").json

    assert data["models"][0]["versions"][1]["aliases"] == ["champion", "live"]


def test_bundle_and_database_hold_the_same(mlporter, plain_sqlite):
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 0

    database = mlporter("inspect", plain_sqlite.tracking_uri, "--json").json
    bundle = mlporter("inspect", "backup", "--json").json

    assert bundle["experiments"] == database["experiments"]
    assert bundle["models"] == database["models"]
    assert plain_sqlite.model_name in mlporter("inspect", "backup").out


def test_one_run_and_one_experiment(mlporter, plain_sqlite):
    run = plain_sqlite.run_ids[2]

    out = mlporter("inspect", plain_sqlite.tracking_uri, "--run", run).out
    assert out.startswith("Run run 2 at ")
    assert "  started     2020-09-13T12:28:40Z\n" in out
    assert "\nParams (2)\n" in out
    assert "  metric 0   2.02     2  2020-09-13T12:28:40.002Z       3\n" in out
    assert "\n2 files, 32 B\n" in out
    numbers = mlporter("inspect", plain_sqlite.tracking_uri, "--run", run, "--epoch").out
    assert "  started     1600000120000\n" in numbers

    out = mlporter("inspect", plain_sqlite.tracking_uri, "--experiment", "plain").out
    assert "\n4 runs\n" in out
    assert f"  {run}  2020-09-13T12:28:40Z  FINISHED  run 2\n" in out
    both = ("--experiment", "plain", "--run", run)
    assert mlporter("inspect", plain_sqlite.tracking_uri, *both).code == 2


def test_one_run_as_json(mlporter, plain_sqlite):
    run = plain_sqlite.run_ids[0]

    data = mlporter("inspect", plain_sqlite.tracking_uri, "--run", run, "--json").json

    assert data["run"]["id"] == run
    assert data["run"]["start_time"] == 1_600_000_000_000
