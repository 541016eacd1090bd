"""What `browse` says once the UI is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.verbs.backups.browse import Browsing

__all__ = ["render_browsing"]


def render_browsing(browsing: Browsing) -> Iterator[RenderableType]:
    """Where it is, what is not shown, and how it ends."""
    for note in browsing.notes:
        yield Text(f"note: {visible(note)}")
    yield Text(f"MLflow's UI over {visible(browsing.address)}, read-only:")
    yield Text(f"  {browsing.url}")
    yield Text("Ctrl-C ends it.")
