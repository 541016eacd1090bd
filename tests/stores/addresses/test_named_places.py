"""What the config file says of a place: where its files are, and how its secrets are got."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

import mlporter
from mlporter.errors import UnreachableError, UsageError
from mlporter.stores.addresses import credentials
from mlporter.stores.addresses.locating import locate
from mlporter.stores.addresses.named_places import LOCAL

SECRET = "s3cret-of-prod-9"


@pytest.fixture
def users(tmp_path, monkeypatch):
    """Write the user's config file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(credentials, "_printed", {})

    def write(text):
        path = tmp_path / "home/mlporter/config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def printing(text):
    """A program that counts its calls in a file and prints a text, as a list in TOML."""
    script = f"echo x >> calls; printf '{text}'"
    return f'["sh", "-c", "{script}"]'


@pytest.mark.parametrize(
    ("address", "variable"),
    [
        ("postgresql://me@db/mlflow", "PGPASSWORD"),
        ("mysql+pymysql://me@db/mlflow", "MYSQL_PWD"),
        ("https://mlflow.example.com", "MLFLOW_TRACKING_PASSWORD"),
    ],
)
def test_a_password_is_the_first_line_that_a_program_prints(users, address, variable):
    asked = printing(SECRET + "\\\\nmore")
    user = 'variables = {MLFLOW_TRACKING_USERNAME = "me"}' if variable.startswith("MLFLOW") else ""
    users(f'[places.prod]\naddress = "{address}"\npassword_command = {asked}\n{user}\n')
    for _ in range(2):
        place = locate("prod")
        assert place.environment.get(variable) == SECRET
    assert Path("calls").read_text() == "x\n"  # asked once for both
    assert SECRET not in repr(place) + str(place)


def test_each_side_has_its_own_log_in(users, monkeypatch):
    users(f"""
[places.dev]
address = "https://dev"
[places.dev.variables]
MLFLOW_TRACKING_TOKEN = {{command = {printing("token-of-dev-1")}}}

[places.prod]
address = "https://prod"
[places.prod.variables]
MLFLOW_TRACKING_USERNAME = "deployer"
MLFLOW_TRACKING_PASSWORD = {{command = {printing(SECRET)}}}
AWS_PROFILE = "prod"
""")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "everybody")
    dev, prod = locate("dev").environment, locate("prod").environment
    assert dev.get("MLFLOW_TRACKING_TOKEN") == "token-of-dev-1"
    assert dev.get("MLFLOW_TRACKING_USERNAME") is dev.get("MLFLOW_TRACKING_PASSWORD") is None
    assert prod.get("MLFLOW_TRACKING_USERNAME") == "deployer"
    assert prod.get("MLFLOW_TRACKING_PASSWORD") == SECRET
    assert (prod.get("AWS_PROFILE"), prod.get("MLFLOW_TRACKING_TOKEN")) == ("prod", None)


def test_a_variable_that_is_set_goes_before_the_program_and_an_option_before_the_file(
    users, monkeypatch
):
    users('[places.prod]\naddress = "postgresql://h/x"\nenv = "PROD_"\n'
          f"password_command = {printing(SECRET)}\n")  # fmt: skip
    monkeypatch.setenv("PROD_PGPASSWORD", "of-variable-1")
    monkeypatch.setenv("OTHER_PGUSER", "somebody")
    assert locate("prod").environment.get("PGPASSWORD") == "of-variable-1"
    assert locate("prod", "OTHER_").environment.get("PGPASSWORD") is None
    assert not Path("calls").exists()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"echo {SECRET}; exit 3", "exit code 3"),
        ("true", "first line"),
        ("printf '\\\\377'", "UTF-8"),
    ],
)
def test_a_program_that_fails_is_named_with_its_file_and_key(users, script, said):
    command = f'["sh", "-c", "{script}"]'
    file = users(f'[places.prod]\naddress = "mysql://h/x"\npassword_command = {command}')
    with pytest.raises(UnreachableError) as failed:
        locate("prod")
    assert str(file) in str(failed.value)
    assert said in str(failed.value)
    assert "places.prod.password_command" in str(failed.value)


def test_a_program_that_is_not_there_is_named(users, cli):
    users('[places.prod]\naddress = "mysql://h/x"\npassword_command = ["nowhere-to-be-found"]\n')
    done = cli("inspect", "prod")
    assert done.code == 6
    assert "places.prod.password_command" in done.err
    assert "nowhere-to-be-found" in done.err


class _Keyring(types.ModuleType):
    """The package `keyring`, as far as it is asked: a real one would open a desktop's dialogue."""

    errors = types.SimpleNamespace(KeyringError=ZeroDivisionError)

    def get_password(self, service, user):
        if user == "locked":
            raise ZeroDivisionError("the keyring is locked")
        return SECRET if (service, user) == ("mlflow", "me") else None


def test_a_password_comes_from_the_keyring(users, monkeypatch):
    config = '[places.prod]\naddress = "mysql://h/x"\npassword_keyring = ["mlflow", "{}"]\n'
    users(config.format("me"))
    monkeypatch.setitem(sys.modules, "keyring", _Keyring("keyring"))
    monkeypatch.setitem(sys.modules, "keyring.errors", _Keyring.errors)
    assert locate("prod").environment.get("MYSQL_PWD") == SECRET
    for user, said in (("you", "not in the keyring"), ("locked", "the keyring is locked")):
        users(config.format(user))
        with pytest.raises(UnreachableError, match=said):
            locate("prod")
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UnreachableError, match="package keyring") as missing:
        locate("prod")
    assert "mlporter[keyring]" in str(missing.value.hint)


@pytest.mark.parametrize(
    "lines",
    [
        f"variables = {{MLFLOW_TRACKING_TOKEN = '{SECRET}'}}",
        f"variables = {{HTTPS_PROXY = 'http://me:{SECRET}@proxy'}}",
        "variables = {MLFLOW_TRACKING_URI = 'http://h'}",
        "variables = {PATH = '/bin'}",
        "variables = {PGUSER = 3}",
        "variables = {PGUSER = {program = ['a']}}",
        "variables = {PGUSER = {command = 'a'}}",
        "variables = 3",
        "password_command = 'pass show mlflow'",
        "password_command = []",
        "password_command = ['a']",
        "password_keyring = ['mlflow']",
        "password_command = ['a']\npassword_keyring = ['a', 'b']",
        "artifact_root = '/srv'",
        "map_uri = '/a=/b'",
        "map_uri = ['/a']",
        f"map_uri = ['s3://a=http://me:{SECRET}@h/a']",
    ],
)
def test_what_cannot_be_said_is_refused_with_its_file_place_and_key(users, lines):
    file = users(f"[places.prod]\naddress = 'https://h'\n{lines}\n")
    with pytest.raises(UsageError) as refused:
        locate("prod")
    text = f"{refused.value} {refused.value.hint}"
    assert str(file) in text
    assert "places.prod" in text
    assert lines.partition(" ")[0] in text or "password" in text
    assert SECRET not in text


@pytest.mark.parametrize(
    "lines",
    [
        "password_command = ['touch', 'ran']",
        "password_keyring = ['mlflow', 'me']",
        "variables = {AWS_CONFIG_FILE = 'theirs'}",
    ],
)
def test_the_file_of_a_folder_runs_no_program_and_reads_no_keyring(users, lines):
    Path(LOCAL).write_text(f"[places.prod]\naddress = 'https://h'\n{lines}\n")
    with pytest.raises(UsageError, match="cannot have"):
        locate("prod")
    assert not Path("ran").exists()


def test_a_place_without_a_password_says_which_variable_to_name(users):
    users("[places.saved]\naddress = 's3://b/x'\npassword_command = ['a']\n")
    with pytest.raises(UsageError) as refused:
        locate("saved")
    assert "AWS_SECRET_ACCESS_KEY" in str(refused.value.hint)


def test_artifact_root_and_maps_are_those_of_each_side(users, cli, plain_sqlite, tmp_path):
    home_text = plain_sqlite.artifact_root.removeprefix("file://")
    moved = tmp_path / "moved"
    users(
        f'[places.dev]\naddress = "{plain_sqlite.tracking_uri}"\n'
        f'map_uri = ["{home_text}={home_text}"]\n'
        f'[places.new]\naddress = "sqlite:///new.db"\nartifact_root = "{moved}"\n'
        f'[places.lost]\naddress = "{plain_sqlite.tracking_uri}"\n'
        f'map_uri = ["{home_text}={tmp_path}/nowhere"]\n'
    )
    done = cli("copy", "dev", "new", "--plan-out", "plan.json")
    assert done.code == 0, done.err
    assert str(moved) in Path("plan.json").read_text()  # a plan holds where files will go
    assert mlporter.copy("dev", "new").exit_code == 0
    assert any(path.is_file() for path in moved.rglob("*"))
    assert mlporter.diff("dev", "new").identical
    # The map of one side is not the other's, and an option goes before it.
    assert mlporter.diff("lost", "new").exit_code != 0
    given = [f"{home_text}={home_text}"]
    assert mlporter.diff("lost", "new", uri_map=given).identical
