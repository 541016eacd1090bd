"""Folders that may not be entered: by root neither, whom permissions do not bind otherwise."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION = 0x20080522
_READS_ALL = (1 << 1) | (1 << 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
_NOBODY = 65534


def deny(folder: Path) -> None:
    """Let nobody but its owner into a folder, who is somebody else; see `permissions_bind`."""
    if os.geteuid() == 0:
        os.chown(folder, _NOBODY, _NOBODY)
        folder.chmod(0o700)
    else:
        folder.chmod(0)


def allow(folder: Path) -> None:
    """Undo `deny`."""
    if os.geteuid() == 0:
        os.chown(folder, 0, 0)
    folder.chmod(0o755)


@contextmanager
def permissions_bind() -> Iterator[None]:
    """Within, this thread and those that begin in it may read what they have the right to."""
    if os.geteuid() != 0:
        yield
        return
    if not sys.platform.startswith("linux"):
        pytest.skip("root may read everything")
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()  # twice: effective, permitted, inheritable
    assert libc.capget(header, data) == 0
    effective = data[0]
    data[0] = effective & ~_READS_ALL
    assert libc.capset(header, data) == 0
    try:
        yield
    finally:
        data[0] = effective
        assert libc.capset(header, data) == 0


@contextmanager
def denied(folder: Path) -> Iterator[None]:
    """Within, a folder may not be entered."""
    deny(folder)
    try:
        with permissions_bind():
            yield
    finally:
        allow(folder)
