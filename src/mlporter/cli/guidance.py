"""What people get who name no command, or one that there is not."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mlporter.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

__all__ = ["MEANT", "first_steps", "no_such_command"]

_LISTS = "mlporter inspect ADDRESS shows what is in a place, mlporter show ADDRESS TABLE its rows"
_SAVES = (
    "mlporter export SOURCE BUNDLE writes a registry into a directory, mlporter backup "
    "SOURCE REPOSITORY adds a snapshot to a repository"
)
_BRINGS_BACK = (
    "mlporter import BUNDLE TARGET brings a registry back from a bundle, mlporter "
    "copy REPOSITORY/@latest TARGET from the last snapshot"
)
_COPIES = "mlporter copy SOURCE TARGET copies a registry into another"
_FOLLOWS = "mlporter sync SOURCE TARGET lets a registry follow another"
_OPENS = "mlporter browse ADDRESS shows a place in MLflow's own UI"
_COMPARES = "mlporter diff A B compares two places"
_CHECKS = "mlporter verify BUNDLE checks a bundle"
_REMOVES = "mlporter forget REPOSITORY removes old snapshots, with --prune what only they needed"
_TAKES_BACK = "mlporter promote --undo RECEIPT puts alias and stage back as they were"
_TAKES_OUT = "mlporter unpack BUNDLE DIR writes artifacts as plain folders"

MEANT = {
    "ls": _LISTS,
    "list": _LISTS,
    "info": _LISTS,
    "status": _LISTS,
    "tree": _LISTS,
    "query": _LISTS,
    "ui": _OPENS,
    "serve": _OPENS,
    "open": _OPENS,
    "view": _OPENS,
    "dump": _SAVES,
    "save": _SAVES,
    "snapshot": _SAVES,
    "prune": _REMOVES,
    "gc": _REMOVES,
    "rm": _REMOVES,
    "delete": _REMOVES,
    "undo": _TAKES_BACK,
    "rollback": _TAKES_BACK,
    "search": "mlporter find REPOSITORY GLOB says which snapshots hold it",
    "restore": _BRINGS_BACK,
    "load": _BRINGS_BACK,
    "cp": _COPIES,
    "clone": _COPIES,
    "migrate": _COPIES,
    "move": _COPIES,
    "mv": _COPIES,
    "transfer": _COPIES,
    "pull": _COPIES,
    "push": _COPIES,
    "merge": _COPIES,
    "mirror": _FOLLOWS,
    "replicate": _FOLLOWS,
    "watch": _FOLLOWS,
    "compare": _COMPARES,
    "cmp": _COMPARES,
    "check": _CHECKS,
    "validate": _CHECKS,
    "download": _TAKES_OUT,
    "extract": _TAKES_OUT,
    "log": "mlporter history MODEL --at ADDRESS shows a model's promotions",
    "help": "mlporter --help lists the commands, mlporter COMMAND --help says more of one",
    "version": "mlporter --version",
}
"""What people call things elsewhere, and the command that does it here. A real command of such a
name wins."""

_EXAMPLES = (
    ("inspect sqlite:///mlflow.db", "see what a registry holds"),
    ("export sqlite:///mlflow.db backup/", "save it to a directory"),
    ("import backup/ postgresql://host/mlflow", "load it into a database"),
    ("copy http://dev:5000 http://prod:5000", "copy one server to another"),
    ("diff sqlite:///mlflow.db backup/", "compare two places"),
)
"""The commands that people need first, and what they are for."""


def no_such_command(name: str, known: Iterable[str]) -> UsageError:
    """An error that leads to the command that was meant."""
    known = list(known)
    close = get_close_matches(name, known, n=3, cutoff=0.7)
    message = f"there is no command {name!r}"
    if close and name not in MEANT:
        return UsageError(message, hint=f"did you mean {' or '.join(close)}?")
    return UsageError(message, hint=MEANT.get(name, "mlporter --help"))


def first_steps() -> Iterator[RenderableType]:
    """The commands that people need first, with an example each."""
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for example, what in _EXAMPLES:
        verb, _, rest = example.partition(" ")
        grid.add_row(Text.assemble("mlporter ", (verb, "bold"), f" {rest}"), Text(what))
    yield Text("mlporter moves MLflow registries. To begin with:")
    yield Text()
    yield Padding(grid, (0, 0, 0, 2))
    yield Text()
    yield Text("mlporter demo shows it all on a small registry, mlporter --help every command.")
