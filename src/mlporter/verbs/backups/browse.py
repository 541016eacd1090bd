"""`browse`: MLflow's own UI over a backup, or any other place that has none."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from mlporter.errors import UsageError
from mlporter.progress import OnProgress, Phases, silent, without_phases
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.addresses.locating import locate
from mlporter.stores.needing_mlflow import check_mlflow
from mlporter.stores.opening import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from mlporter.execute.result import Result
    from mlporter.stores.addresses.address import Address, Place
    from mlporter.stores.protocols import Source

__all__ = ["Browsing", "browse", "browse_place"]

_OPENING = "opening"
_READING = "reading tables"
_STARTING = "starting MLflow's server"
_NAMED = 10
"""How many things are named that are not shown."""
_NO_FILES = "It holds no artifact files, as it was exported without them: only the rows are shown."


@dataclass(frozen=True)
class Browsing:
    """MLflow's UI over a place, for as long as it is open: a context manager.

    Attributes:
        url: Where it is: on this machine only.
        address: What is shown; redacted.
        notes: What of it is not shown, and why.
        seconds: How long it took to get there.
    """

    url: str
    address: str
    notes: tuple[str, ...]
    seconds: float
    _wait: Callable[[], None] = field(repr=False)
    _close: Callable[[], None] = field(repr=False)

    def wait(self) -> None:
        """Show it until this process is interrupted (Ctrl-C: `KeyboardInterrupt`).

        Raises:
            UnreachableError: MLflow's server ended by itself.
        """
        self._wait()

    def close(self) -> None:
        """Stop the server, and remove what was made for it; does nothing the second time."""
        self._close()

    def __enter__(self) -> Browsing:  # noqa: PYI034 -- Self is newer than Python 3.10
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "verb": "browse",
            "address": self.address,
            "url": self.url,
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def browse(
    address: Place,
    *,
    port: int | None = None,
    registry: Place | None = None,
    allow_root: Sequence[Place] = (),
    uri_map: Sequence[str] = (),
    source_env: str | None = None,
    on_progress: OnProgress = silent,
) -> Browsing:
    """Start MLflow's own UI over a place, to look at it: nothing in it is changed.

    The rows go into a scratch database, in a temporary folder; files are read from where they are,
    when somebody looks at them. MLflow's server runs in a process of its own, which ends with this
    one, and takes the temporary folder away. It serves this machine only, and refuses to write.

    MLflow's clients read from it, too: ``mlflow.set_tracking_uri(browsing.url)``.

    Args:
        address: A bundle, a snapshot, a database or a file store.
        port: Of 127.0.0.1; None for a free one.
        registry: Where its registered models are, if not there.
        allow_root: Folders of this machine that files may be read from, though they are no
            artifact roots of the registry.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        source_env: What the names of the place's own variables begin with, such as ``DEV_``.
        on_progress: Called with how far it is.

    Returns:
        Where it is. Whoever asks for it closes it.

    Raises:
        UsageError: it is a tracking server, which has a UI.
        RefusedError: the port is taken.
        NeedsMlflowError: MLflow is not installed.
        RevisionError: it is of a newer MLflow, whose schema the installed one cannot make.
        BundleError: the bundle is damaged or unfinished.
        UnreachableError: it cannot be reached; or MLflow's server did not start.
    """
    return browse_place(
        locate(address, source_env),
        port=port,
        registry=None if registry is None else locate(registry, source_env),
        allow_root=allow_root,
        uri_map=uri_map,
        on_progress=on_progress,
    )


def browse_place(
    place: Address,
    *,
    port: int | None = None,
    registry: Address | None = None,
    allow_root: Sequence[Place] = (),
    uri_map: Sequence[str] = (),
    on_progress: OnProgress = silent,
) -> Browsing:
    """The same of a place that was located. Raises as `browse`."""
    _check(place)
    # It loads much, and nobody but `browse` needs it.
    from mlporter.browsing.scratch import (  # noqa: PLC0415
        has_workspaces,
        make_scratch,
        remove_mlflows_own,
    )
    from mlporter.browsing.ui_server import UiServer  # noqa: PLC0415

    started, phases = monotonic(), Phases(on_progress, (_OPENING, _READING, _STARTING))
    phases.begin(_OPENING)
    with ExitStack() as stack:
        source = open_source(
            place,
            uri_map=tuple(uri_map),
            allow_root=allow_root,
            dedupe=True,
            registry=registry,
            include_tables=(),
            on_progress=on_progress,
        )
        stack.callback(source.close)
        server = UiServer(port, workspaces=has_workspaces(source))
        stack.callback(server.close)
        phases.begin(_READING)
        result = make_scratch(source, server.folder, without_phases(on_progress))
        phases.begin(_STARTING)
        server.begin(source)
        remove_mlflows_own(source, server.folder)
        notes = tuple(_notes(source, result))
        opened = stack.pop_all()
    return Browsing(server.url, str(place), notes, monotonic() - started, server.wait, opened.close)


def _check(place: Address) -> None:
    if place.kind is AddressKind.SERVER:
        raise UsageError(
            "is a tracking server, which has a UI of its own",
            subject=str(place),
            hint="open it in a browser; or export it, and browse the bundle",
        )
    check_mlflow("MLflow's UI", str(place))


def _notes(source: Source, result: Result) -> Iterator[str]:
    if source.description.artifacts != "copy":
        yield _NO_FILES
    # Secrets are shown by no UI.
    gone = [i for i in result.left_out.first if not i.expected and i.reason != "secret"]
    for item in gone[:_NAMED]:
        name = f"{item.id}.{item.path}" if item.path else item.id
        yield f"Not shown: {item.kind} {name}: {item.detail}"
    if len(gone) > _NAMED:
        yield f"Not shown: {len(gone) - _NAMED} more things; a newer MLflow shows more."
