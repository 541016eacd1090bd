"""What `run` says beside what the verbs say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.layout import bullets, heading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.verbs.run import ManifestResult, RunResult

__all__ = ["render_manifest_head", "render_not_run"]


def render_manifest_head(one: ManifestResult) -> Iterator[RenderableType]:
    """Which manifest it is, of several."""
    yield heading(f"{one.file}: {one.kind}")


def render_not_run(result: RunResult) -> Iterator[RenderableType]:
    """The manifests that were not carried out."""
    if result.not_run:
        stopper = result.manifests[-1]
        yield Text()
        yield Text(
            f"Not run, as {stopper.file} ended with exit code {int(stopper.exit_code)}:",
            style="bold red",
        )
        yield bullets((("!", file) for file in result.not_run), style="red")
