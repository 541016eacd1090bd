"""Selection: a part of a registry that reads as a registry of its own.

`Selection` says what is asked for, in the words of the command line; `select` puts a source around
a source, in which nothing else is. Whatever reads it need not know that something was chosen.
"""

from __future__ import annotations

from mlporter.selection.criteria import KINDS, Asked, Selection, as_selection
from mlporter.selection.select import select
from mlporter.selection.selected_source import SelectedSource

__all__ = ["KINDS", "Asked", "SelectedSource", "Selection", "as_selection", "select"]
