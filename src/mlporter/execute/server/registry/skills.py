"""The skill registry: skills with their versions and files, tags and aliases (MLflow 3.18)."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mlporter.catalogue.tables.own import skill_owner_id
from mlporter.execute.files.artifact_files import SourceFileError, open_guarded
from mlporter.execute.server.shared.objects import lacking, leave_other, source_rows, try_one
from mlporter.stores.server.writing.skills import SkillWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from mlporter.execute.server.files import Files
    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.execute.server.shared.objects import Row
    from mlporter.stores.protocols import ArtifactFile

__all__ = ["write_skills"]

_SKILL = ("workspace", "organization", "name")
_DRAFT, _ACTIVE, _DEPRECATED, _DELETED = "draft", "active", "deprecated", "deleted"
_SAID = ("source_type", "source", "ref", "subpath", "digest")
"""What a version is, for good."""
_UPLOADED = "mlflow"


def write_skills(context: ServerContext, files: Files, *, copies: bool) -> None:
    """Skills, versions, tags and aliases, in an order in which they go.

    Args:
        context: The import.
        files: Counts the files of versions, which go with the request that makes them.
        copies: Whether files are copied.
    """
    if context.is_offered("skills", "skills"):
        for row, mapped, changed in lacking(context, "skills"):
            if changed and not _is_unfinished(row, _there(context, "skills", row)):
                leave_other(context, "skills", _name(row))
                continue
            write = partial(_skill, _api(context, mapped), row, new=not changed)
            try_one(context, "skills", _name(row), write)
    if context.is_offered("skills", "skill_versions"):
        _Versions(context, files, copies=copies).write()
    for table, set_one in (
        ("skill_tags", _tag),
        ("skill_version_tags", _version_tag),
        ("skill_aliases", _alias),
    ):
        if context.is_offered("skills", table):
            _set(table, set_one, context)


def _api(context: ServerContext, mapped: Row) -> SkillWriter:
    """What writes a skill into the workspace of a row, which is in the server's terms."""
    writer = context.writer_of(mapped["workspace"] or "default")
    return SkillWriter(writer, mapped["organization"], mapped["name"])


def _name(row: Row) -> str:
    """What people call a skill, or a version of one."""
    whose = f"@{row['organization']}/" if row["organization"] else ""
    version = f"/{row['version']}" if "version" in row else ""
    return f"{whose}{row['name']}{version}"


def _there(context: ServerContext, table: str, row: Row) -> Row:
    """What the server has under the key of a row."""
    key = context.tables[table].key
    rows = (found for batch in context.there.read(table) for found in batch.to_pylist())
    return next(found for found in rows if all(found[name] == row[name] for name in key))


def _read(text: str | None) -> Any:  # noqa: ANN401 -- JSON
    return None if text is None else json.loads(text)


def _is_unfinished(row: Row, there: Row) -> bool:
    """Whether the server's lacks something, and has nothing else: made with a first version."""
    return all(not there[name] or there[name] == row[name] for name in ("description", "icons"))


def _skill(api: SkillWriter, row: Row, *, new: bool) -> None:
    said = {"description": row["description"], "icons": _read(row["icons"])}
    if new:
        api.make(said)
    else:
        api.update(said)


class _Versions:
    """Makes versions in the order of their numbers, which the server gives out one by one."""

    def __init__(self, context: ServerContext, files: Files, *, copies: bool) -> None:
        self._context, self._files, self._copies = context, files, copies
        self._last: dict[tuple[str, ...], int] = {}
        for batch in context.server.read("skill_versions", (*_SKILL, "version")):
            for row in batch.to_pylist():
                self._last[_skill_of(row)] = max(self._last.get(_skill_of(row), 0), row["version"])

    def write(self) -> None:
        """All that the server has not, and how far others are; deleted ones are not shown."""
        context, found = self._context, self._contents()
        for row, mapped, changed in lacking(context, "skill_versions"):
            if row["status"] == _DELETED:
                detail = "it is deleted, and a server does not show deleted ones"
                context.leave("skill_versions", _name(row), "", "hidden", detail, expected=True)
                continue
            there = _there(context, "skill_versions", row) if changed else None
            if there is not None and _said(there) != _said(row):
                leave_other(context, "skill_versions", _name(row))
            elif there is not None:
                write = partial(_bring, _api(context, mapped), row, there["status"])
                try_one(context, "skill_versions", _name(row), write)
            else:
                self._new(row, mapped, found.get(_owner(row), []))

    def _contents(self) -> dict[str, list[ArtifactFile]]:
        """The files of versions that are to be made, by owner."""
        found: dict[str, list[ArtifactFile]] = defaultdict(list)
        if not self._copies:
            return found
        new = {
            _owner(row)
            for row, _, changed in lacking(self._context, "skill_versions")
            if row["source_type"] == _UPLOADED and not changed and row["status"] != _DELETED
        }

        def is_new(kind: str, owner: str) -> bool:
            return kind == "skill_version" and owner in new

        if new:
            for file in self._context.source.files(self._context.left_out.add, is_new):
                found[file.owner_id].append(file)
        return found

    def _new(self, row: Row, mapped: Row, files: list[ArtifactFile]) -> None:
        context = self._context
        why = self._why_not(row, files)
        if why:
            context.leave("skill_versions", _name(row), "", "unsupported", why)
            context.fail("skill_versions")
            return
        api, last = _api(context, mapped), self._last.get(_skill_of(mapped), 0)
        write = partial(self._make, api, row, last, files)
        try:
            is_made = try_one(context, "skill_versions", _name(row), write)
        except _NotMadeError as error:
            context.leave("skill_versions", _name(row), "", error.reason, str(error))
            context.fail("skill_versions")
            is_made = False
        if is_made:
            self._last[_skill_of(mapped)] = row["version"]
        if is_made and files:
            self._files.count_sent(len(files), sum(file.size for file in files))

    def _why_not(self, row: Row, files: list[ArtifactFile]) -> str:
        if row["source_type"] != _UPLOADED:
            return ""
        if row["subpath"]:
            return "it is a part of something else's files, and a server takes only its own"
        if not self._copies:
            return "a server accepts it only with its files, which are not copied"
        return "" if files else "its files were not found, and a server accepts it only with them"

    def _make(self, api: SkillWriter, row: Row, last: int, files: list[ArtifactFile]) -> None:
        """Make a version under its number, and bring it as far as it is to be."""
        wanted = row["version"]
        while last + 1 < wanted:
            last = api.skip_version(last + 1)
        body = {name: row[name] for name in _SAID if row[name] is not None} | {"status": _DRAFT}
        if files and self._context.rehearsed:
            number = wanted
        elif files:
            body = {name: body[name] for name in ("digest", "status") if name in body}
            with self._archive(files) as (size, opened):
                number = api.upload_version(body, size, opened, wanted)
        else:
            number = api.make_version(body, wanted)
        if number != wanted:
            api.delete_version(number)
            detail = f"the server gives it the number {number}, and it was deleted again"
            raise _NotMadeError(detail, "conflict")
        _bring(api, row, _DRAFT)

    @contextmanager
    def _archive(
        self, files: list[ArtifactFile]
    ) -> Iterator[tuple[int, Callable[[], AbstractContextManager[BinaryIO]]]]:
        """Files as MLflow takes them, in a private file: its size, and what opens it."""
        with tempfile.NamedTemporaryFile(prefix="mlporter-", suffix=".tar.gz") as packed:
            with tarfile.open(fileobj=packed, mode="w:gz") as archive:
                for file in files:
                    self._pack(archive, file)
            packed.flush()
            path = Path(packed.name)
            yield path.stat().st_size, lambda: path.open("rb")

    def _pack(self, archive: tarfile.TarFile, file: ArtifactFile) -> None:
        member = tarfile.TarInfo(file.path)
        member.size = file.size
        try:
            with open_guarded(self._context.source, file) as stream:
                archive.addfile(member, stream)
        except (SourceFileError, OSError) as error:  # tarfile's own where it ends too early
            raise _NotMadeError(f"{file.path} cannot be read: {error}", "unreadable") from None


class _NotMadeError(Exception):
    """A version that was not made, and why."""

    def __init__(self, detail: str, reason: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _owner(row: Row) -> str:
    workspace = row["workspace"] or "default"
    return skill_owner_id(workspace, row["organization"], row["name"], row["version"])


def _skill_of(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in _SKILL)


def _said(row: Row) -> list[object]:
    is_uploaded = row["source_type"] == _UPLOADED
    return [row[name] for name in _SAID if name != "source" or not is_uploaded]


_STEPS = {
    (_DRAFT, _ACTIVE): (_ACTIVE,),
    (_DRAFT, _DEPRECATED): (_ACTIVE, _DEPRECATED),
    (_ACTIVE, _DRAFT): (_DRAFT,),
    (_ACTIVE, _DEPRECATED): (_DEPRECATED,),
    (_DEPRECATED, _ACTIVE): (_ACTIVE,),
    (_DEPRECATED, _DRAFT): (_ACTIVE, _DRAFT),
}
"""How MLflow lets a version come from one status to another."""


def _bring(api: SkillWriter, row: Row, status: str) -> None:
    """Bring a version as far as it is to be."""
    for step in _STEPS.get((status, row["status"]), ()):
        api.set_status(row["version"], step)


# --- What hangs on them ---------------------------------------------------------------------------


def _set(table: str, set_one: Callable[[SkillWriter, Row], None], context: ServerContext) -> None:
    """Set tags or aliases that the server has not, or has otherwise; not of deleted versions."""
    versions = source_rows(context, "skill_versions")
    gone = {(*_skill_of(row), row["version"]) for row in versions if row["status"] == _DELETED}
    for row, mapped, _ in lacking(context, table):
        if (*_skill_of(row), row.get("version")) not in gone:
            write = partial(set_one, _api(context, mapped), row)
            try_one(context, table, _name(row), write, row.get("alias") or row["key"])


def _tag(api: SkillWriter, row: Row) -> None:
    api.set_tag(row["key"], row["value"] or "")


def _version_tag(api: SkillWriter, row: Row) -> None:
    api.set_version_tag(row["version"], row["key"], row["value"] or "")


def _alias(api: SkillWriter, row: Row) -> None:
    api.set_alias(row["alias"], row["version"])
