import sqlite3

from tests.cli.examples import DIFFERENT, IDENTICAL


def test_differences(mlporter, fake, golden):
    fake("diff", DIFFERENT)

    finished = mlporter("diff", "sqlite:///dev.db", "backup")

    assert (finished.code, finished.err) == (1, "")
    golden("diff-lines", finished.out)


def test_no_difference(mlporter, fake, golden):
    fake("diff", IDENTICAL)

    finished = mlporter("diff", "sqlite:///dev.db", "backup")

    assert (finished.code, finished.err) == (0, "")
    golden("diff-identical", finished.out)


def test_quiet_is_the_verdict_alone(mlporter, fake):
    fake("diff", DIFFERENT)

    assert mlporter("diff", "a", "b", "-q").out == "Different: 4 rows or files.\n"


def test_passwords_in_values_are_hidden_and_escape_codes_shown(mlporter, fake):
    fake("diff", DIFFERENT)

    for options in ([], ["--json"]):
        text = mlporter("diff", "a", "b", *options).out
        assert "geheim" not in text
        assert "\x1b" not in text


def test_one_line_for_a_difference_found_in_a_real_registry(mlporter, plain_sqlite):
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 0
    with sqlite3.connect(plain_sqlite.database_path) as database:
        database.execute("UPDATE model_versions SET current_stage = 'Archived' WHERE version = 2")
    database.close()

    finished = mlporter("diff", "backup", plain_sqlite.tracking_uri)

    assert finished.code == 1
    line = f"* model_versions  default/{plain_sqlite.model_name}/2  current_stage: Production → "
    assert [x for x in finished.out.splitlines() if x.startswith("*")] == [line + "Archived"]
    as_json = mlporter("diff", "backup", plain_sqlite.tracking_uri, "--json")
    assert as_json.json["exit_code"] == as_json.code == 1
    assert not as_json.json["identical"]
