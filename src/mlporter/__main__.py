"""``python -m mlporter`` is the command `mlporter`."""

from __future__ import annotations

from mlporter.cli import main

if __name__ == "__main__":
    main()
