from __future__ import annotations

import shutil

import pytest

from tests.bundle.making import make_bundle


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    """A small bundle; nobody may change it."""
    return make_bundle(tmp_path_factory.mktemp("pristine") / "backup")


@pytest.fixture
def bundle(pristine, tmp_path):
    """A copy of it, to be broken."""
    return shutil.copytree(pristine, tmp_path / "backup")
