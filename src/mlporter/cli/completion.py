"""What the tabulator completes: places and their names, folders, experiments, models and tables.

Nothing here fails: whatever is wrong is said by the command once it is typed.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import click

    _Words = Callable[[click.Context, str], Iterable[CompletionItem[str]]]
    _Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]

__all__ = ["experiments", "files", "folders", "models", "places", "tables"]

_SCHEMES = (
    *("sqlite:///", "postgresql://", "mysql://", "http://", "https://", "databricks://"),
    *("s3://", "gs://", "abfs://"),
)
_SQLITE = "sqlite:///"
_DATABASES = (".db", ".sqlite", ".sqlite3")
_PLACES = ("address", "a", "bundle", "source", "place", "database", "repository")
"""What the first place of a command is called, in whatever command."""


def _completing(words: _Words) -> _Completer:
    """As Click calls it; whatever goes wrong completes nothing."""

    @functools.wraps(words)
    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        try:
            found = list(words(context, incomplete))
        except Exception:  # noqa: BLE001 -- a traceback in the middle of a line helps nobody
            return []
        return [item for item in found if item.type != "plain" or item.value.isprintable()]

    return complete


@_completing
def places(_context: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Names of the config file, folders, databases in files, and how other addresses begin."""
    if incomplete.startswith(_SQLITE):
        yield from _entries(incomplete.removeprefix(_SQLITE), _SQLITE, _DATABASES)
        return
    others = [*_named(incomplete), *_schemes(incomplete)]
    if not others:
        yield CompletionItem(incomplete, type="file")
        return
    yield from others
    yield from _entries(incomplete, "", ())


@_completing
def folders(_context: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Folders of this machine."""
    yield CompletionItem(incomplete, type="dir")


@_completing
def files(_context: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Files of this machine."""
    yield CompletionItem(incomplete, type="file")


@_completing
def experiments(context: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Experiments of the place that the line names."""
    return _names(context, "experiments", incomplete)


@_completing
def models(context: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """Its registered models and prompts."""
    prefix = "models:/" if incomplete.startswith("models:/") else ""
    return _names(context, "registered_models", incomplete, prefix)


@_completing
def tables(_context: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """MLflow's tables."""
    from mlporter.catalogue import TABLES  # noqa: PLC0415 -- `--help` does without

    return (CompletionItem(t.name) for t in TABLES if t.name.startswith(incomplete))


def _named(incomplete: str) -> Iterator[CompletionItem[str]]:
    # Loaded when needed: `--help` does without.
    from mlporter.redaction import redact_address  # noqa: PLC0415
    from mlporter.stores.addresses.named_places import named_places  # noqa: PLC0415

    for name, place in sorted(named_places().items()):
        if name.startswith(incomplete):
            yield CompletionItem(name, help=redact_address(place.address))


def _schemes(incomplete: str) -> Iterator[CompletionItem[str]]:
    for scheme in _SCHEMES:
        if incomplete and scheme.startswith(incomplete):
            yield CompletionItem(scheme)


def _entries(
    incomplete: str, prefix: str, endings: tuple[str, ...]
) -> Iterator[CompletionItem[str]]:
    """Folders, and files with one of some endings, that begin so."""
    folder, beginning = os.path.split(incomplete)
    with os.scandir(folder or ".") as found:
        listed = sorted((entry.name, entry.is_dir()) for entry in found)
    for name, is_folder in listed:
        if not name.startswith(beginning) or (name.startswith(".") and not beginning):
            continue
        if is_folder or name.endswith(endings or ("\0",)):
            path = os.path.join(folder, name)  # noqa: PTH118 -- as typed: ./x stays ./x
            yield CompletionItem(f"{prefix}{path}{'/' if is_folder else ''}")


def _names(
    context: click.Context, table: str, incomplete: str, prefix: str = ""
) -> Iterator[CompletionItem[str]]:
    # Loaded when needed: `--help` does without.
    from mlporter.verbs.reading.names import quick_names_of  # noqa: PLC0415

    given = _given(context)
    place = _place(given)
    if not place:
        return
    beginning, env = incomplete.removeprefix(prefix), given.get("source_env")
    for name in quick_names_of(place, table, beginning, env):
        yield CompletionItem(f"{prefix}{name}")


def _given(context: click.Context) -> dict[str, Any]:
    """What the line says already; where it ends in an option, what it says before that."""
    words = context.obj if isinstance(context.obj, list) else []
    if len(words) < 2 or not words[-1].startswith("-"):  # noqa: PLR2004 -- a verb and an option
        return context.params
    verb, *rest = words[:-1]
    return context.command.make_context(verb, rest, resilient_parsing=True).params


def _place(given: dict[str, Any]) -> str:
    """The place that the line names; the first one, where there are two."""
    several = given.get("places") or ()
    named = (given.get(name) for name in _PLACES)
    place = next(iter(several), None) or next((one for one in named if one), None)
    return str(place or os.environ.get("MLFLOW_TRACKING_URI", ""))
