r"""Names that any file system takes, for artifacts that are written as plain files.

Artifacts are logged on Linux and unpacked on Windows or macOS, where a name may not end in a dot,
hold ``:`` or ``\``, be ``aux.txt``, or differ from its neighbour in case or in its Unicode form
only. A name that all take stays as it is; of the others it is noted what they were.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import unicodedata
from typing import IO, TYPE_CHECKING

from mlporter.artifacts.uris.layout import quote_name
from mlporter.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NAMES", "PortableNames", "check_windows_names", "portable_name"]

NAMES = "names.jsonl"
"""The file, beside what was unpacked, that says which names were changed."""

_BAD = re.compile(r'[<>:"\\|?*/\x00-\x1f\x7f]')
_END = re.compile(r"[. ]+$")
_RESERVED = re.compile(
    r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])\s*(\..*)?$", re.IGNORECASE | re.DOTALL
)
_LONGEST = 200
"""Bytes of a name; file systems take 255, and temporary names are longer."""
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}$")


def portable_name(name: str) -> str:
    r"""A name as any file system takes it: itself, or with ``=XX`` for what some do not take.

    >>> portable_name("a:b?.txt"), portable_name("aux.txt"), portable_name("plain.txt")
    ('a=3Ab=3F.txt', '=61ux.txt', 'plain.txt')
    """
    text = _BAD.sub(lambda found: _escape(found[0]), name)
    text = _END.sub(lambda found: _escape(found[0]), text) or "="
    if _RESERVED.match(text):
        text = _escape(text[0]) + text[1:]
    return text if len(text.encode()) <= _LONGEST else _marked(text, name)


def check_windows_names(path: str) -> None:
    """Refuse a path that Windows takes for another one: a device's, or one without its last dot.

    Raises:
        RefusedError: it does.
    """
    for part in path.split("/"):
        if portable_name(part) != part:
            raise RefusedError(
                f"Windows has no file that is called {part!r}",
                subject=path,
                hint="keep the target's files in an object store, or run this on another system",
            )


def _escape(text: str) -> str:
    return "".join(f"={byte:02X}" for byte in text.encode())


def _marked(text: str, original: str) -> str:
    """A shorter name, or another one, that says by a sum which it stands for."""
    found = _SUFFIX.search(text)
    suffix = found[0] if found else ""
    stem = text.removesuffix(suffix).encode()[:150].decode(errors="ignore")
    return f"{stem}~{hashlib.sha256(original.encode()).hexdigest()[:12]}{suffix}"


def _same(name: str) -> str:
    """What names that some file system takes for one another have in common."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class PortableNames:
    """Gives paths below one folder names that differ everywhere, and notes what they were.

    Memory grows with the files of one owner, and with the owners whose ids have capitals: ids are
    quoted to ASCII, where of names that differ in case only the one without capitals sorts last.

    Args:
        keep: Whether owners take turns, so that the names of each are kept.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._owners: dict[str, dict[str, str]] = {"": {_same(NAMES): f"file {NAMES}"}}
        self._files: dict[str, dict[str, dict[str, str]]] = {}
        self._changes: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self.changed = 0

    def place(self, owner: Sequence[str], path: str) -> tuple[str, str]:
        """Where a file of an owner goes: the owner's folder, and the path in it.

        Args:
            owner: The folder's parts; ids among them are quoted.
            path: The artifact's path.
        """
        folder = ""
        for part in owner:
            taken = self._owners.get(folder, {})
            name = self._name(taken, folder, part, quote_name(part), "folder")
            if name == part and part == part.lower():
                taken.pop(_same(name), None)
            if taken:
                self._owners[folder] = taken
            folder = f"{folder}/{name}" if folder else name
        if folder not in self._files and not self._keep:
            self._files.clear()
        files = self._files.setdefault(folder, {})
        *parents, last = path.split("/")
        below = ""
        for kind, part in (*(("folder", part) for part in parents), ("file", last)):
            taken = files.setdefault(below, {})
            where = f"{folder}/{below}" if below else folder
            name = self._name(taken, where, part, part, kind)
            below = f"{below}/{name}" if below else name
        return folder, below

    def _name(
        self, taken: dict[str, str], where: str, original: str, wanted: str, kind: str
    ) -> str:
        """The name in a folder of which `taken` says what has which name."""
        whose, name = f"{kind} {original}", portable_name(wanted)
        if taken.get(_same(name), whose) != whose:
            name = _marked(name, f"{kind} {original}")
        if _same(name) not in taken:
            taken[_same(name)] = whose
            if name != original:
                self._note(f"{where}/{name}" if where else name, original)
        return name

    def _note(self, written: str, original: str) -> None:
        self.changed += 1
        line = json.dumps({"written": written, "name": original}, ensure_ascii=False)
        self._changes.write(line + "\n")

    def changes(self) -> bytes:
        """All that was noted: a JSON object a line, with ``written`` (a path) and ``name``."""
        self._changes.seek(0)
        return self._changes.read().encode()

    def close(self) -> None:
        """Forget it."""
        self._changes.close()
