"""macOS and Windows, as far as they can be simulated on Linux."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlporter.artifacts.disk.portable_names import check_windows_names
from mlporter.artifacts.uris.layout import run_root, windows_root
from mlporter.artifacts.uris.uri_text import canonical, is_windows_path
from mlporter.errors import RefusedError, UsageError
from mlporter.stores.addresses.address import AddressKind, parse_address

PACKAGE = Path(__file__).parents[2] / "src" / "mlporter"
BUNDLE = PACKAGE.parents[1] / "samples" / "bundle-format-1"

NOT_ON_WINDOWS = {
    "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty",
}  # fmt: skip
LINUX_ONLY = {
    "copy_file_range", "posix_fadvise", "posix_fallocate", "sched_getaffinity", "sendfile",
    "splice", "memfd_create", "O_PATH", "O_DIRECT", "O_TMPFILE",
}  # fmt: skip
MISSING = LINUX_ONLY | {
    "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "chown", "fchmod", "fork", "getegid",
    "geteuid", "getgid", "getloadavg", "getpgid", "getuid", "killpg", "mkfifo", "pread", "preadv",
    "pwrite", "setsid", "statvfs", "sync", "sysconf", "uname", "waitid",
}  # fmt: skip
NO_SIGNALS = {
    "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGTSTP",
    "SIGUSR1", "SIGUSR2", "SIGWINCH", "alarm", "pause", "pthread_kill", "pthread_sigmask",
    "setitimer", "sigwait",
}  # fmt: skip

GUARDED = {
    ("artifacts/uris/allowed_folders.py", "pwd"),
    ("artifacts/uris/allowed_folders.py", "os.getuid"),
    ("stores/database/engines/sqlite_copy.py", "os.copy_file_range"),
    ("browsing/ui_server.py", "os.killpg"),
    ("browsing/ui_server.py", "signal.SIGKILL"),
    ("cli/terminal/streams.py", "signal.pthread_kill"),
}
"""What is used nevertheless: it was asked before whether it is there, or which system this is."""


def used(module):
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            yield from NOT_ON_WINDOWS.intersection(name.partition(".")[0] for name in names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            missing = {"os": MISSING, "signal": NO_SIGNALS}.get(node.value.id, set())
            if node.attr in missing:
                yield f"{node.value.id}.{node.attr}"


def test_nothing_is_used_that_another_system_lacks_unless_it_was_asked_for():
    found = {
        (str(module.relative_to(PACKAGE)), name)
        for module in PACKAGE.rglob("*.py")
        for name in used(module)
    }
    assert found == GUARDED


NEEDED = {"uname", "getuid", "pwd", "statvfs"}
"""Without these, NumPy, platformdirs and `shutil` do not work on Linux."""
HIDING = f"""
import importlib.resources, os, select, shutil, signal, socket, subprocess, sys
import tempfile
for name in {sorted(NOT_ON_WINDOWS - NEEDED)!r}:
    sys.modules[name] = None
for module, names in ((os, {sorted(MISSING - NEEDED)!r}), (signal, {sorted(NO_SIGNALS)!r})):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
del select.poll
os.supports_dir_fd = set()
sys.modules["mlflow"] = None
from mlporter.cli.app import VERBS, run
from importlib import import_module
for module in VERBS.values():
    if not module.endswith("demo"):
        import_module(module)
from types import SimpleNamespace
from mlporter.artifacts.disk import durable
durable.sys = SimpleNamespace(platform="darwin")
bundle, database = sys.argv[1:]
for words in (
    ("import", bundle, database, "--artifact-root", "files"),
    ("export", database, "again"),
    ("verify", "again"),
    ("backup", "again", "repository"),
):
    code = run([*words, "-q"])
    print(words[0], code)
"""


def test_verbs_work_without_what_other_systems_lack(mlflow_sqlite):
    done = subprocess.run(
        [sys.executable, "-c", HIDING, BUNDLE, f"sqlite:///{mlflow_sqlite}"],
        capture_output=True,
        check=False,
        text=True,
    )
    codes = dict(line.split() for line in done.stdout.splitlines())
    # A logged model of the sample has no files, which an export of a database says.
    assert codes == {"import": "0", "export": "3", "verify": "0", "backup": "0"}, done.stderr


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("sqlite:///C:/data/mlflow.db", AddressKind.SQLITE, "C:/data/mlflow.db"),
        (r"sqlite:///C:\data\mlflow.db", AddressKind.SQLITE, r"C:\data\mlflow.db"),
        (r"C:\backup", AddressKind.BUNDLE, r"C:\backup"),
        ("C:/backup", AddressKind.BUNDLE, "C:/backup"),
        (r"\\host\share\backup", AddressKind.BUNDLE, r"\\host\share\backup"),
    ],
)
def test_addresses_with_drive_letters_are_what_they_look_like(text, kind, path):
    place = parse_address(text)
    assert (place.kind, str(place.path)) == (kind, path)


def test_one_folder_of_windows_is_one_place_however_it_is_spelt():
    spelt = (
        r"C:\data\x",
        "c:/data/x/",
        "file:///C:/data/x",
        "file:C:/data//x",
        "file:///C|/data/x",
    )
    assert all(map(is_windows_path, spelt))
    assert len({canonical(uri).path for uri in spelt}) == 1


def test_an_artifact_root_on_windows_is_a_uri_that_mlflow_can_append_to():
    root = windows_root(r"C:\my files")
    assert run_root(f"{root}/1", "abc") == "file:///C:/my%20files/1/abc/artifacts"
    assert windows_root(r"\\host\share\x") == r"\\host\share\x"
    with pytest.raises(UsageError):
        windows_root("C:relative")


@pytest.mark.parametrize(
    "path", ["aux", "model/CON.txt", "a.", "a ", "what?.txt", "a:b", "x/nul/y"]
)
def test_a_name_that_windows_takes_for_another_is_refused_there(path):
    check_windows_names("model/MLmodel")
    with pytest.raises(RefusedError):
        check_windows_names(path)


def test_a_copy_of_a_database_is_whole_on_systems_without_their_own_call(tmp_path, monkeypatch):
    from mlporter.stores.database.engines import sqlite_copy  # noqa: PLC0415

    monkeypatch.delattr(os, "copy_file_range", raising=False)
    monkeypatch.delattr(os, "pread", raising=False)
    monkeypatch.setattr(sqlite_copy, "_BLOCK", 64)
    original = tmp_path / "x.db"
    original.write_bytes(bytes(range(256)) * 3)
    copy = sqlite_copy.DatabaseCopy(original, "x")
    try:
        assert copy.make()
        assert copy.path.read_bytes() == original.read_bytes()
    finally:
        copy.close()
