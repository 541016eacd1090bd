from dataclasses import replace

from tests.cli.examples import INVENTORY


def test_a_bundle(mlporter, fake, golden):
    fake("inspect", INVENTORY)

    finished = mlporter("inspect", "backup")

    assert (finished.code, finished.err) == (0, "")
    golden("inspect", finished.out)


def test_workspaces_get_a_column_where_there_are_several(mlporter, fake):
    several = replace(INVENTORY, workspaces=("default", "team-b"))
    fake("inspect", several)

    out = mlporter("inspect", "backup").out

    assert "workspaces   default, team-b" in out
    assert "  workspace  id  name" in out


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
