"""What `import`, `copy` and `sync` have in common: one registry into another."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.errors import UnsupportedError, UsageError
from mlporter.execute.into_target import into_target
from mlporter.execute.memory import opened_memory, write_plan
from mlporter.execute.options import TransferOptions, check_options
from mlporter.execute.orphans import check_orphans
from mlporter.execute.unreadable_files import check_strict
from mlporter.selection import select
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.addresses.mistypings import folder_hint
from mlporter.stores.addresses.named_places import names_hint
from mlporter.stores.opening import open_source
from mlporter.verbs.moving.overlap import check_apart, check_outside
from mlporter.wording import command_line

if TYPE_CHECKING:
    from mlporter.execute.result import Result
    from mlporter.progress import OnProgress

__all__ = ["transfer"]


def transfer(
    verb: str, origin: Address, place: Address, options: TransferOptions, on_progress: OnProgress
) -> Result:
    """Carry a registry into a database or a server.

    Args:
        verb: ``import``, ``copy`` or ``sync``.
        origin: The source.
        place: The target.
        options: What the caller asked for.
        on_progress: Told how far it is.
    """
    check_options(options.artifacts, options.workers)
    check_strict(options.artifacts, strict_artifacts=options.strict_artifacts)
    check_orphans(options.artifacts, options.selection, orphans=options.orphans)
    _check_target(place)
    if options.registry is not None:
        check_apart(options.registry, place)
    check_apart(origin, place, options)
    if options.auth is not None and options.target_auth is not None:
        check_apart(options.auth, options.target_auth)
    check_outside(origin, place.path, "the target")
    check_outside(origin, options.artifact_root, "the artifact root")
    started = monotonic()
    opened = open_source(
        origin,
        uri_map=options.uri_map,
        allow_root=options.allow_root,
        workers=options.workers,
        include_secrets=options.include_secrets,
        retry_time=options.retry_time,
        part=_reads_a_part(options),
        orphans=options.orphans,
        dedupe=True,
        auth=options.auth,
        registry=options.registry,
        include_tables=options.include_tables,
        on_progress=on_progress,
    )
    try:
        chosen = select(opened, options.selection)
        if place.kind is not AddressKind.SERVER:
            options.check(chosen)
        with opened_memory(origin, place, options) as memory:
            memory.whole, memory.lists = opened, bool(options.plan_out or options.expected)
            result = into_target(
                verb, chosen, place, options, memory, on_progress=on_progress, started=started
            )
            if options.plan_out is not None:
                write_plan(options.plan_out, options.header, memory.book)
        return _with_next_command(result, (origin, place), options)
    finally:
        opened.close()


def _reads_a_part(options: TransferOptions) -> bool:
    """Whether less is read, as a rule, than a copy of the whole place would take."""
    some = options.selection is not None and not options.selection.is_everything
    return some or options.policy.is_quick


def _with_next_command(
    result: Result, places: tuple[Address, Address], options: TransferOptions
) -> Result:
    if result.conflicts or result.misfits or result.unreadable:
        return result
    if options.plan_out is not None:
        return replace(result, next_command=command_line("apply", [options.plan_out], []))
    if options.expected is not None and options.dry_run:
        return replace(result, next_command=command_line("apply", [options.expected.path], []))
    following = _following(result.verb, places, options, renamed=bool(result.renamed))
    return replace(result, next_command=following)


def _following(
    verb: str, places: tuple[Address, Address], options: TransferOptions, *, renamed: bool
) -> str:
    """What to run now: what was planned, or else what shows that it was done.

    `diff` would not find what has another name now.
    """
    part = options.selection.options() if options.selection else ""
    typed = [place.as_typed for place in places]
    if options.dry_run:
        return command_line(verb, typed, options.words(), part)
    if renamed:
        return command_line("inspect", typed[1:], [("source-env", options.target_env or "")])
    named = [option for option in options.words() if option[0] == "registry"]
    return command_line("diff", typed, [*named, *options.sides()], part)


def _check_target(place: Address) -> None:
    if place.kind is AddressKind.FILESTORE:
        raise UnsupportedError(
            "is a file store: MLflow is phasing these out, and mlporter does not write them",
            subject=str(place),
            hint="the target is a database: sqlite:///name.db, say",
        )
    if place.kind is AddressKind.BUNDLE:
        raise UsageError(
            "the target is a database or a server; a directory is written by `mlporter export`",
            subject=str(place),
            hint=(folder_hint(place.path) if place.path is not None else None)
            or names_hint(place.text)
            or "name it as sqlite:///name.db, postgresql://user@host/name, "
            "mysql://user@host/name or http://host:5000",
        )
