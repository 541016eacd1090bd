"""What is in the target after a promotion: its files, read back and held against the source's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.artifacts.disk.copying import hash_stream
from mlporter.compare.file_sums import Unreadable, hash_file
from mlporter.errors import ReadBackError
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.id_strings import names_ids, with_new_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.compare.file_sums import SumReaders
    from mlporter.progress import OnProgress
    from mlporter.promotion.checks.facts import VersionFacts
    from mlporter.stores.protocols import Source

__all__ = ["prove_files", "sums_of", "with_target_ids"]


def sums_of(  # noqa: PLR0913, PLR0917 -- whose, how, and who hears of it
    source: Source,
    facts: VersionFacts,
    readers: SumReaders,
    on_progress: OnProgress,
    step: str,
    known: Mapping[tuple[str, str, str], str],
) -> dict[str, str]:
    """SHA-256 (hex) of each file of a model, by its path below the model's folder.

    Args:
        source: The registry.
        facts: The version there.
        readers: Read the files.
        on_progress: Called with how far it is.
        step: What it is called.
        known: Sums that need no reading, by owner kind, owner id and path below the owner's root.

    Raises:
        OSError: a file cannot be read.
    """
    sums: dict[str, str] = {}
    done = 0
    pending = [
        (one, had or readers.ask(source, one.file))
        for one in facts.files
        for had in [known.get((one.file.owner_kind, one.file.owner_id, one.file.path))]
    ]
    for one, asked in pending:
        found = asked if isinstance(asked, str) else asked.result()
        sums[one.path] = hash_file(source, one.file) if isinstance(found, Unreadable) else found
        done += one.size
        on_progress(step, done, facts.size, "bytes")
    return sums


def with_target_ids(
    source: Source, facts: VersionFacts, there: VersionFacts, sums: Mapping[str, str]
) -> dict[str, str]:
    """The sums that files have once the ids in them are the target's: in MLmodel, and nowhere else.

    A server gives runs and logged models ids of its own, and MLmodel names them.
    """
    ids = IdMap()
    for table, old, new in (
        ("runs", facts.run_id, there.run_id),
        ("logged_models", facts.model_id, there.model_id),
    ):
        if old and new and old != new:
            ids.change(table, {old: new})
    found = dict(sums)
    for one in facts.files:
        if names_ids(one.path, one.size) and not ids.is_identity:
            with source.open_file(one.file) as stream:
                found[one.path] = hash_stream(with_new_ids(one.path, stream, ids))[0]
    return found


def prove_files(mine: Mapping[str, str], theirs: Mapping[str, str], subject: str) -> None:
    """Refuse a copy that is not bit for bit what was sent.

    Raises:
        ReadBackError: files are missing, added or changed; the first are named.
    """
    wrong = [
        f"{path}: {'is not there' if path not in theirs else 'reads back otherwise'}"
        for path, digest in sorted(mine.items())
        if theirs.get(path) != digest
    ]
    wrong += [f"{path}: it is only in the target" for path in sorted(theirs.keys() - mine.keys())]
    if wrong:
        raise ReadBackError(
            "the model's files in the target are not the source's; alias and stage did not move",
            subject=subject,
            hint="delete that version, and promote again",
            reasons=tuple(wrong[:20]),
        )
