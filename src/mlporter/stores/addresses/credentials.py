"""What the config file says of a place's own variables: texts, and how secrets are got.

A secret is never in the file. It is printed by a program, or lies in the keyring of the system.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from shlex import join
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlporter.errors import UnreachableError, UsageError
from mlporter.redaction import has_password, redact
from mlporter.stores.addresses.environment import KNOWN, SECRETS, TRACKING_URI

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Printed", "Stored", "Variable", "kind_of_address", "password_variable"]
__all__ += ["read_variables", "values_of"]

_PATIENCE = 120
"""Seconds for a program that prints a secret: it may ask for another one on the terminal."""
_AGE = 60
"""Seconds after which a program is asked again: a token may be good for an hour only."""
_FORMS = 'a text, {command = ["pass", "show", "mlflow"]} or {keyring = ["mlflow", "me"]}'


@dataclass(frozen=True)
class Printed:
    """A value that a program prints.

    Attributes:
        command: The program and its arguments; no shell is between.
        key: Where that is said: ``places.prod.password_command``, say.
        file: In which file.
    """

    command: tuple[str, ...]
    key: str
    file: Path

    def value(self) -> str:
        """The first line that it prints.

        Raises:
            UnreachableError: it cannot be started, fails, or prints nothing.
        """
        known = _printed.get(self.command)
        if known is None or time.monotonic() - known[0] > _AGE:
            known = (time.monotonic(), self._run())
            _printed[self.command] = known
        return known[1]

    def _run(self) -> str:
        try:
            # What it has to say to people goes to stderr, as it does anywhere.
            done = subprocess.run(  # noqa: S603 -- the user's own file says which program
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._failed(f"printed nothing within {_PATIENCE} seconds") from None
        except OSError as error:
            raise self._failed(f"could not be started: {error.strerror}") from None
        if done.returncode:
            raise self._failed(f"ended with exit code {done.returncode}")
        try:
            line = (done.stdout.splitlines() or [b""])[0].decode()
        except UnicodeDecodeError:
            raise self._failed("printed what is not UTF-8 text") from None
        if not line:
            raise self._failed("printed nothing on its first line")
        return line

    def _failed(self, what: str) -> UnreachableError:
        return UnreachableError(
            f"the program of {self.key} {what}",
            subject=str(self.file),
            hint=f"it has to print the secret when you run: {redact(join(self.command))}",
        )


@dataclass(frozen=True)
class Stored:
    """A value in the keyring of the system.

    Attributes:
        service: Under what it lies there.
        user: And whose it is.
        key: As of `Printed`.
        file: As of `Printed`.
    """

    service: str
    user: str
    key: str
    file: Path

    def value(self) -> str:
        """What lies there.

        Raises:
            UnreachableError: nothing lies there, or there is no keyring.
        """
        try:
            import keyring  # noqa: PLC0415 -- few need it
            from keyring.errors import KeyringError  # noqa: PLC0415
        except ImportError:
            raise self._failed(
                "needs the package keyring, which is not installed",
                'pip install "mlporter[keyring]"',
            ) from None
        try:
            found: str | None = keyring.get_password(self.service, self.user)
        except KeyringError as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise self._failed(f"cannot be read from the keyring: {redact(reason)}") from None
        if not found:
            raise self._failed("names what is not in the keyring")
        return found

    def _failed(self, what: str, hint: str = "") -> UnreachableError:
        words = join(["keyring", "set", self.service, self.user])
        return UnreachableError(
            f"{self.key} {what}", subject=str(self.file), hint=hint or f"put it there: {words}"
        )


Variable = str | Printed | Stored
"""What a file says of one variable."""

_printed: dict[tuple[str, ...], tuple[float, str]] = {}


def values_of(variables: Mapping[str, Variable], besides: frozenset[str]) -> dict[str, str]:
    """The values of variables, but for some that are known already.

    Raises:
        UnreachableError: one cannot be had.
    """
    return {
        name: said if isinstance(said, str) else said.value()
        for name, said in variables.items()
        if name not in besides
    }


def password_variable(address: str) -> str:
    """The variable that holds the password of a place; "" where it can have none."""
    return _PASSWORDS.get(kind_of_address(address), "")


def kind_of_address(address: str) -> str:
    """The scheme of an address, in lower case and without a driver: ``postgresql``, say."""
    return urlsplit(address).scheme.partition("+")[0].lower()


_WEB_USER, _WEB_PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
_PASSWORDS = {
    "postgresql": "PGPASSWORD",
    "postgres": "PGPASSWORD",
    "mysql": "MYSQL_PWD",
    "mariadb": "MYSQL_PWD",
    "http": _WEB_PASSWORD,
    "https": _WEB_PASSWORD,
}


def read_variables(
    said: Mapping[str, Any], address: str, place: str, file: Path
) -> dict[str, Variable]:
    """What the table of a place says of its variables.

    Args:
        said: The table.
        address: Of the place.
        place: What it is called in the file: ``places.prod``.
        file: Which file.

    Raises:
        UsageError: it says what it must not.
    """
    found: dict[str, Variable] = {}
    table = said.get("variables", {})
    if not isinstance(table, dict):
        raise UsageError(f"{place}.variables is not a table", subject=str(file))
    for name, value in table.items():
        found[name] = _variable(name, value, f"{place}.variables.{name}", file)
    for form in ("command", "keyring"):
        key = f"password_{form}"
        if key not in said:
            continue
        name = password_variable(address)
        if not name:
            raise UsageError(
                f"{place} has {key!r}, and such a place has no password",
                subject=str(file),
                hint="name the variable: [" + place + ".variables], and below it "
                'AWS_SECRET_ACCESS_KEY = {command = ["pass", "show", "minio"]}',
            )
        if name in found:
            raise UsageError(
                f"{place} says twice what its password is", subject=str(file), hint="leave one out"
            )
        found[name] = _got(form, said[key], f"{place}.{key}", file)
    _check_has_user(found, said, place, file)
    return found


def _check_has_user(
    found: Mapping[str, Variable], said: Mapping[str, Any], place: str, file: Path
) -> None:
    """A password of its own goes with no user of others; databases have theirs in the address."""
    needs_user = _WEB_PASSWORD in found and _WEB_USER not in found
    if needs_user and not said.get("env"):
        raise UsageError(
            f"{place} has a password, and no user",
            subject=str(file),
            hint=f'add variables = {{{_WEB_USER} = "me"}}; a token is '
            "MLFLOW_TRACKING_TOKEN, among the variables",
        )


def _variable(name: str, value: object, key: str, file: Path) -> Variable:
    if name not in KNOWN or name == TRACKING_URI:
        raise UsageError(
            f"{key} is no variable that a place can have of its own",
            subject=str(file),
            hint="MLFLOW_TRACKING_USERNAME, AWS_ACCESS_KEY_ID or PGSSLMODE, say; docs/places.md "
            "has all of them",
        )
    if isinstance(value, dict) and len(value) == 1:
        ((form, content),) = value.items()
        if form in {"command", "keyring"}:
            return _got(form, content, key, file)
    if not isinstance(value, str) or not value:
        raise UsageError(f"{key} is not {_FORMS}", subject=str(file))
    if name in SECRETS or has_password(value):
        raise UsageError(
            f"{key} is a secret, and such a file is no place for it",
            subject=str(file),
            hint=f'take it out, and write {name} = {{command = ["pass", "show", "mlflow"]}} or '
            f'{name} = {{keyring = ["mlflow", "me"]}}; or set the variable, and name what it '
            "begins with by env",
        )
    return value


def _got(form: str, content: object, key: str, file: Path) -> Printed | Stored:
    if form == "command":
        return Printed(_texts(content, key, file, _PROGRAM), key, file)
    words = _texts(content, key, file, _ENTRY)
    if len(words) != 2:  # noqa: PLR2004 -- the two
        raise UsageError(f"{key} is not a list of {_ENTRY}", subject=str(file))
    return Stored(words[0], words[1], key, file)


_PROGRAM = 'a program and its arguments, such as ["pass", "show", "mlflow"]'
_ENTRY = 'a service and a user, such as ["mlflow", "me"]'


def _texts(content: object, key: str, file: Path, what: str) -> tuple[str, ...]:
    words = content if isinstance(content, list) else []
    if not words or not all(isinstance(word, str) and word for word in words):
        raise UsageError(f"{key} is not a list of {what}", subject=str(file))
    return tuple(words)
