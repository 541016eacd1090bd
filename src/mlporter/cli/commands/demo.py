"""`mlporter demo`: the whole job on a registry made for it, with a model that predicts the same."""

from __future__ import annotations

import io
import logging
import os
import shlex
import shutil
import tempfile
import time
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.text import Text

from mlporter.cli.app import run
from mlporter.cli.options import CONTEXT, output_options
from mlporter.cli.render.layout import columns
from mlporter.cli.render.text import human_seconds
from mlporter.errors import ExitCode, UsageError
from mlporter.redaction import redact
from mlporter.stores.needing_mlflow import needing_mlflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.cli.render.layout import Side
    from mlporter.cli.session import Session

__all__ = ["command"]

_log = logging.getLogger(__name__)

_SOURCE = "sqlite:///dev.db"
_SOURCE_FILES = "dev-artifacts"
_TARGET = "sqlite:///prod.db"
_TARGET_FILES = "prod-artifacts"
_BUNDLE = "backup/"
_KEPT_SETTINGS = (
    "MLFLOW_CONFIGURE_LOGGING",
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR",
    "MLFLOW_HTTP_",
    "MLFLOW_S3_",
    "MLFLOW_SUPPRESS_",
)


@dataclass
class _Story:
    """What happened, as it is said at the end."""

    directory: str
    commands: list[dict[str, Any]] = field(default_factory=list)
    source_predictions: list[float] = field(default_factory=list)
    target_predictions: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether both registries' models predict the very same numbers."""
        return bool(self.source_predictions) and self.source_predictions == self.target_predictions


class _Target(NamedTuple):
    """Where the demo imports to."""

    address: str
    artifact_root: str


class _FailedError(Exception):
    """A command of the demo failed, and has said so itself."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@click.command("demo", context_settings=CONTEXT, short_help="See it all work, on a small registry.")
@click.option("--to", metavar="ADDRESS", help="Import into this empty database.  [default: SQLite]")
@click.option("--artifact-root", metavar="URI", help="Where that one is to keep its files.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Work in this new directory, and keep it.",
)
@output_options
def command(
    session: Session, /, *, to: str | None, artifact_root: str | None, directory: Path | None
) -> int:
    """Train three models, move their registry, and prove that nothing was lost.

    Trains in a fresh SQLite registry, exports it, verifies the bundle, imports it into a second
    registry, compares the two, and loads the model from both: the predictions must be equal. Takes
    about half a minute.
    """
    started = time.monotonic()
    target = _Target(_absolute(to) or _TARGET, _absolute(artifact_root) or _TARGET_FILES)
    with ExitStack() as stack:
        place = _directory(stack, directory, keep=to is not None)
        stack.enter_context(_working_in(place))
        stack.enter_context(_own_settings())
        story = _Story(str(place))
        try:
            _play(session, story, target)
        except _FailedError as failed:
            return failed.exit_code
        story.seconds = time.monotonic() - started
    code = ExitCode.OK if story.equal else ExitCode.DIFFERENT
    kept = directory is not None or to is not None
    data = {**asdict(story), "equal": story.equal, "exit_code": int(code)}
    is_quiet = session.output.terse and story.equal
    session.output.told(data, () if is_quiet else _ending(story, target, kept=kept))
    return code


def _absolute(place: str | None) -> str | None:
    """A place as it is called from anywhere, because the demo works in a directory of its own."""
    if place is None:
        return None
    scheme, separator, path = place.partition(":///")
    if separator and scheme.startswith("sqlite") and not path.startswith("/"):
        return f"{scheme}:///{Path(path).absolute()}"
    return place if ":" in place else str(Path(place).absolute())


def _directory(stack: ExitStack, directory: Path | None, *, keep: bool) -> Path:
    if directory is None:
        made = Path(tempfile.mkdtemp(prefix="mlporter-demo-"))
        if not keep:  # the registry that was asked for may have its files here
            stack.callback(shutil.rmtree, made, ignore_errors=True)
        return made
    try:
        directory.mkdir(parents=True, exist_ok=True)
        used = any(directory.iterdir())
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", subject=str(directory)) from error
    if used:
        raise UsageError("is not empty", subject=str(directory), hint="name a new directory")
    return directory.absolute()


@contextmanager
def _working_in(directory: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _own_settings() -> Iterator[None]:
    """Hide the user's own MLflow settings, lest the demo trains in their registry."""
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name.lstrip("_").startswith("MLFLOW_") and not name.startswith(_KEPT_SETTINGS)
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        # MLflow writes the tracking URI that it is given into the environment.
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        os.environ.update(hidden)


def _play(session: Session, story: _Story, target: _Target) -> None:
    _say(session, f"$ cd {shlex.quote(story.directory)}")
    _train(session, story)
    _command(session, story, "export", _SOURCE, _BUNDLE)
    _command(session, story, "inspect", _BUNDLE)
    _command(session, story, "verify", _BUNDLE)
    root = ("--artifact-root", target.artifact_root)
    _command(session, story, "import", _BUNDLE, target.address, *root)
    _command(session, story, "diff", _SOURCE, target.address)
    story.source_predictions = _predict(session, story, _SOURCE)
    # Out of sight: what the second registry loads must be its own.
    _say(session, f"\n$ mv {_SOURCE_FILES} {_SOURCE_FILES}.away")
    Path(_SOURCE_FILES).rename(f"{_SOURCE_FILES}.away")
    try:
        story.target_predictions = _predict(session, story, target.address)
    finally:
        Path(f"{_SOURCE_FILES}.away").rename(_SOURCE_FILES)
    _say(session, f"\n$ mv {_SOURCE_FILES}.away {_SOURCE_FILES}")


def _say(session: Session, text: str) -> None:
    lines = text.split("\n")
    shown = [Text(line, style="bold" if line.startswith("$ ") else "") for line in lines]
    session.output.narrated(shown)


def _command(session: Session, story: _Story, *arguments: str) -> None:
    """Run a command of ours as a user would, after showing it."""
    line = redact(shlex.join(["mlporter", *arguments]))
    _say(session, f"\n$ {line}")
    stream = session.output.stream
    started = time.monotonic()
    with redirect_stdout(stream), redirect_stderr(stream):
        code = run([*arguments, *(["--quiet"] if session.output.terse else [])])
    took = round(time.monotonic() - started, 3)
    story.commands.append({"command": line, "exit_code": code, "seconds": took})
    if code != ExitCode.OK:
        _say(session, f"\nThe demo ends here: exit code {code}.")
        raise _FailedError(code)


def _train(session: Session, story: _Story) -> None:
    line = "python -m mlporter.quickstart.train_and_register "
    line += f"--tracking-uri {_SOURCE} --artifact-location {_SOURCE_FILES}"
    _say(session, f"\n$ {line}")
    started = time.monotonic()
    with _chatter_logged(), needing_mlflow("the demo, which trains a model,"):
        # MLflow and scikit-learn take seconds to import, and only the demo needs them.
        from mlporter.quickstart import train_and_register as quickstart  # noqa: PLC0415

        versions = quickstart.train_and_register(_SOURCE, _SOURCE_FILES)
    for version, candidate in zip(versions, quickstart.CANDIDATES, strict=True):
        _say(
            session,
            f"{quickstart.MODEL} version {version}: {candidate.run_name}, {candidate.stage}",
        )
    took = round(time.monotonic() - started, 3)
    story.commands.append({"command": line, "exit_code": 0, "seconds": took})


def _predict(session: Session, story: _Story, address: str) -> list[float]:
    line = f"python -m mlporter.quickstart.load_and_predict --tracking-uri {redact(address)}"
    _say(session, f"\n$ {line}")
    started = time.monotonic()
    with _chatter_logged():
        from mlporter.quickstart.load_and_predict import predict  # noqa: PLC0415 -- as above

        predictions = predict(address)
    for row, value in enumerate(predictions):
        _say(session, f"row {row}: {value:.6f}")
    took = round(time.monotonic() - started, 3)
    story.commands.append({"command": line, "exit_code": 0, "seconds": took})
    return predictions


@contextmanager
def _chatter_logged() -> Iterator[None]:
    """MLflow prints some of what it says; it goes to the log with the rest."""
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            yield
    finally:
        for line in said.getvalue().splitlines():
            _log.debug("MLflow: %s", line)


def _equality(a: float, b: float) -> Text:
    return Text("equal", style="green") if a == b else Text("DIFFERENT", style="bold red")


def _ending(story: _Story, target: _Target, *, kept: bool) -> Iterator[RenderableType]:
    yield Text()
    pairs = enumerate(zip(story.source_predictions, story.target_predictions, strict=True))
    rows = [(f"row {row}", f"{a:.6f}", f"{b:.6f}", _equality(a, b)) for row, (a, b) in pairs]
    names: list[tuple[str, Side]]
    names = [("models:/rf_regressor/Production", "left"), (_SOURCE, "right")]
    yield columns([*names, (redact(target.address), "right"), ("", "left")], rows, indent=0)
    yield Text()
    if story.equal:
        text = "Nothing was lost: the registries are identical, and their models predict the same."
        yield Text(text, style="bold green")
    else:
        yield Text("The predictions differ.", style="bold red")
    where = f"; it is all in {story.directory}" if kept else ""
    yield Text(f"That took {human_seconds(story.seconds)}{where}.")
