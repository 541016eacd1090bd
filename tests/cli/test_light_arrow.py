"""What the command line makes of pyarrow, and of who would import more than is needed."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import atexit, sys
from mlporter.cli import main

def tell():
    import pyarrow
    large = [name for name in ("pandas", "polars") if name in sys.modules]
    print(pyarrow.default_memory_pool().backend_name, *large)

atexit.register(tell)
main()
"""


def told(*argv, **environment):
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, *argv],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return finished.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("verb", "given", "expected"), [("import", "", "system"), ("inspect", "mimalloc", "mimalloc")]
)
def test_arrow_uses_the_allocator_of_the_system_unless_told(
    mlporter, plain_sqlite, verb, given, expected
):
    """A database is inspected by its driver, which imports polars where it finds it.

    What an import says when it is interrupted is known before its work begins.
    """
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 0
    environment = {"ARROW_DEFAULT_MEMORY_POOL": given} if given else {}
    place = plain_sqlite.tracking_uri
    words = ["backup", place, "--artifacts=none", "--dry-run"] if verb == "import" else [place]
    assert told(verb, *words, **environment) == expected
