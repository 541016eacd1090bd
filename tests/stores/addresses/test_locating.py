"""Places that have a name in a config file."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlporter
from mlporter.errors import UsageError
from mlporter.stores.addresses.locating import locate, locate_users, tracking_uri
from mlporter.stores.addresses.named_places import LOCAL

PROD = '[places.prod]\naddress = "https://mlflow.example.com/x"\nenv = "PROD_"\n'


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Write the config file of this folder, or of the user."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))

    def write(text, *, of_user=False):
        path = tmp_path / "home/mlporter/config.toml" if of_user else Path(LOCAL)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_a_name_is_what_the_file_says(config, monkeypatch):
    config(PROD)
    monkeypatch.setenv("PROD_MLFLOW_TRACKING_TOKEN", "of-prod-1")
    place = locate("prod")
    assert place.text == "https://mlflow.example.com/x"
    assert (place.as_typed, str(place)) == ("prod", "https://mlflow.example.com/x")
    assert place.environment.get("MLFLOW_TRACKING_TOKEN") == "of-prod-1"


def test_an_option_goes_before_the_file_and_the_folder_before_the_user(config, monkeypatch):
    config('[places.prod]\naddress = "sqlite:///user.db"\n[places.dev]\naddress = "d/"\n',
           of_user=True)  # fmt: skip
    config(PROD)
    monkeypatch.setenv("OTHER_MLFLOW_TRACKING_TOKEN", "other-1")
    place = locate("prod", "OTHER_")
    assert place.text == "https://mlflow.example.com/x"
    assert place.environment.get("MLFLOW_TRACKING_TOKEN") == "other-1"
    assert locate("dev").text == "d/"


def test_a_path_is_no_name(config):
    config(PROD)
    for path in (Path("prod"), "./prod", "prod/"):
        assert locate(path).path == Path("prod")
    assert locate("staging").path == Path("staging")


def test_a_name_that_is_a_folder_too_is_refused(config):
    config(PROD)
    Path("prod").mkdir()
    with pytest.raises(UsageError) as refused:
        locate("prod")
    assert "./prod" in str(refused.value.hint)
    assert locate("./prod").path == Path("prod")


@pytest.mark.parametrize(
    ("address", "variable"),
    [
        ("postgresql://me:s3cret-w@db/mlflow", "PROD_PGPASSWORD"),
        ("postgresql://me@db/mlflow?password=s3cret-w", "PROD_PGPASSWORD"),
        ("mysql+pymysql://me:s3cret-w@db/mlflow", "PROD_MYSQL_PWD"),
        ("https://me:s3cret-w@host", "PROD_MLFLOW_TRACKING_PASSWORD"),
        ("https://s3cret-w-that-is-a-token@host", "PROD_MLFLOW_TRACKING_PASSWORD"),
        ("postgresql://me:s3cret-w@/#more@db/mlflow", "PROD_PGPASSWORD"),
    ],
)
def test_a_password_in_the_file_is_refused_with_its_variable(config, address, variable):
    config(f"[places.prod]\naddress = '{address}'\n")
    with pytest.raises(UsageError) as refused:
        locate("prod")
    assert variable in str(refused.value.hint)
    assert "s3cret-w" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    "text",
    [
        "places = 1",
        "[places.prod]\nadress = 'x'\naddress = 'y'",
        "[places.prod]\nenv = 'PROD_'",
        "[places.prod]\naddress = 3",
        "[places]\nprod = 'x'",
        "[places.'a/b']\naddress = 'x'",
        "[places.databricks]\naddress = 'x'",
        "[profiles.prod]\naddress = 'x'",
        "[places.prod\npassword = 's3cret-w'",
    ],
)
def test_what_the_file_cannot_say_is_refused_with_its_name(config, text):
    file = config(text)
    with pytest.raises(UsageError) as refused:
        locate("prod")
    assert str(file) in str(refused.value)
    assert "s3cret-w" not in str(refused.value)


def test_users_are_reached_as_their_registry_unless_they_have_a_name(config, monkeypatch):
    config('[places.users]\naddress = "postgresql://u@h/auth"\nenv = "USERS_"\n')
    monkeypatch.setenv("PROD_PGPASSWORD", "of-prod-1")
    monkeypatch.setenv("USERS_PGPASSWORD", "of-users-1")
    registry = locate("postgresql://h/mlflow", "PROD_")
    assert "of-prod-1" in locate_users("postgresql://h/auth", registry).libpq
    assert "of-users-1" in locate_users("users", registry).libpq


def test_a_side_has_its_own_tracking_uri(cli, monkeypatch, plain_sqlite):
    monkeypatch.setenv("DEV_MLFLOW_TRACKING_URI", plain_sqlite.tracking_uri)
    assert tracking_uri("DEV_") == plain_sqlite.tracking_uri
    done = cli("export", "bundle", "--source-env", "DEV_", "--artifacts", "none")
    assert done.code == 0, done.err


def test_every_verb_takes_a_name(config, cli, plain_sqlite):
    config(
        f'[places.dev]\naddress = "{plain_sqlite.tracking_uri}"\n'
        '[places.new]\naddress = "sqlite:///new.db"\n'
        '[places.copied]\naddress = "sqlite:///copied.db"\n'
        '[places.saved]\naddress = "b/"\n'
    )
    none = ("--artifacts", "none")
    for words in (
        ("export", "dev", "saved", *none),
        ("verify", "saved", "--against", "dev"),
        ("import", "saved", "new", *none),
        ("copy", "dev", "copied", *none),
        ("diff", "dev", "new", *none),
        ("inspect", "dev"),
        ("show", "dev", "runs"),
        ("doctor", "dev"),
        ("relocate", "new", "--map-uri", "/nowhere=/elsewhere"),
        ("unpack", "saved", "out"),
        ("rebuild", "b", "new"),
    ):
        done = cli(*words)
        wanted = 2 if words[0] == "rebuild" else 0
        assert done.code == wanted, (words, done.err)
        assert "no such directory" not in done.err


def test_what_to_do_next_is_said_as_it_was_typed(config, cli, monkeypatch, plain_sqlite):
    config('[places.new]\naddress = "sqlite:///new.db"\n')
    monkeypatch.setenv("DEV_PGUSER", "nobody")
    url = plain_sqlite.tracking_uri
    words = ("copy", url, "new", "--artifacts", "none", "--source-env", "DEV_")
    planned = cli(*words, "--dry-run", "--json").json["next_command"]
    assert planned == f"mlporter copy {url} new --artifacts none --source-env DEV_"
    done = cli(*words, "--json").json["next_command"]
    assert done == f"mlporter diff {url} new --source-env DEV_"


def test_a_prefix_without_variables_is_refused_by_every_verb(cli, plain_sqlite):
    url = plain_sqlite.tracking_uri
    for words in (
        ("export", url, "b", "--source-env", "DEV_"),
        ("import", "b", url, "--target-env", "DEV_"),
        ("copy", url, "sqlite:///x.db", "--target-env", "DEV_"),
        ("diff", url, url, "--target-env", "DEV_"),
        ("verify", "b", "--against", url, "--source-env", "DEV_"),
        ("inspect", url, "--source-env", "DEV_"),
        ("show", url, "runs", "--source-env", "DEV_"),
        ("doctor", url, "--source-env", "DEV_"),
        ("relocate", url, "--map-uri", "a=b", "--source-env", "DEV_"),
        ("rebuild", ".", url, "--source-env", "DEV_"),
    ):
        done = cli(*words)
        assert done.code == 2, (words, done.err)
        assert "DEV_" in done.err
    assert not Path("x.db").exists()


def test_functions_take_names_and_prefixes_too(config, plain_sqlite):
    config(f'[places.dev]\naddress = "{plain_sqlite.tracking_uri}"\n')
    with mlporter.open("dev") as registry:
        assert registry.count("runs") > 0
    with pytest.raises(UsageError, match="DEV_"):
        mlporter.inspect("dev", source_env="DEV_")


def test_a_word_that_is_no_name_is_told_the_names(config, cli, plain_sqlite):
    config(PROD + '[places.dev]\naddress = "sqlite:///dev.db"\n')
    for words in (
        ("inspect", "prdo"),
        ("verify", "prdo"),
        ("copy", plain_sqlite.tracking_uri, "prdo"),
    ):
        assert "dev, prod" in cli(*words).err
    assert cli("export", plain_sqlite.tracking_uri, "prdo", "--artifacts", "none").code == 0
