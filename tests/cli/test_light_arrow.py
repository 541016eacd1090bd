"""What the command line makes of pyarrow."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import atexit, sys
from mlporter.cli import main

def tell():
    import pyarrow
    print(pyarrow.default_memory_pool().backend_name, "pandas" in sys.modules)

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


@pytest.mark.parametrize(("given", "expected"), [("", "system"), ("mimalloc", "mimalloc")])
def test_arrow_uses_the_allocator_of_the_system_unless_told(
    mlporter, plain_sqlite, given, expected
):
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 0
    environment = {"ARROW_DEFAULT_MEMORY_POOL": given} if given else {}
    assert told("verify", "backup", **environment) == f"{expected} False"
