"""An import into a database, from the plan to the summary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.catalogue import described
from mlporter.errors import LeftOut
from mlporter.execute.database.changed_files import ChangedFiles, SentFiles
from mlporter.execute.database.existing_files import with_existing_files
from mlporter.execute.database.load import Load, check
from mlporter.execute.database.prepare import prepare
from mlporter.execute.database.proof import Proof
from mlporter.execute.database.rewrite import Rewrite
from mlporter.execute.database.target_files import TargetFiles
from mlporter.execute.files.unreadable_files import find_unreadable
from mlporter.execute.findings.dangling import WithoutDangling
from mlporter.execute.findings.left_out import LeftOutCollector, left_out_of
from mlporter.execute.findings.remarks import Nuls, look_through
from mlporter.execute.phases import LISTING, PLANNING, into_database
from mlporter.execute.plan_files import check_expected
from mlporter.execute.result import ActionsResult, FilesResult, Result
from mlporter.plan.merge.remembering import remember_sent
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.database.preview import has_no_tables, open_preview
from mlporter.stores.database.target import open_database_target
from mlporter.stores.rows.unknown_fields import field_losses
from mlporter.wording import plural
from mlporter.workers.threads import Threads

if TYPE_CHECKING:
    from mlporter.catalogue.types import Table
    from mlporter.execute.database.prepared import Prepared, Target
    from mlporter.execute.findings.remarks import Seen
    from mlporter.execute.options import TransferOptions
    from mlporter.progress import OnProgress, Phases
    from mlporter.stores.database.target import DatabaseTarget
    from mlporter.stores.protocols import Source

_NO_PLACE = "a field of a newer MLflow's server, for which a database has no known place"


@dataclass(frozen=True)
class DatabaseTransfer:
    """One import or copy: planned, and perhaps carried out."""

    verb: str
    source: Source
    place: Address
    options: TransferOptions
    on_progress: OnProgress
    memory: Memory

    @property
    def phases(self) -> Phases:
        """How far it is."""
        options = self.options
        copies = options.artifacts == "copy"
        return into_database(self.on_progress, dry=options.dry_run, copies=copies)

    def run(self, started: float) -> Result:
        """Carry it out."""
        self.phases.begin(PLANNING)
        self._refuse_early()
        target = open_database_target(
            self.place,
            self.source.description.revision,
            self.options.target_auth,
            jobs=self.options.jobs,
        )
        try:
            work = self._prepare(target)
            files = self._target_files(work)
            changed = self._changed_files(work, files)
            check_expected(self.options.expected, self.memory.book)
            sent = SentFiles(self.memory.base)
            proof = Proof(work, target, self.memory)
            pool = self.options.pool or Threads(self.options.workers)
            load = Load(work, target, files, sent, changed, proof, pool, self.phases)
        except BaseException:
            target.rollback()
            raise
        load.run(partial(self._remember, work, target.tables, changed))
        self._tell_of_upgrade(target, load.left_out)
        for item in field_losses(work.source, _NO_PLACE):
            load.left_out.add(item)
        self.memory.base.commit()
        if changed is not None and changed.replaces:
            load.replace_files()
            changed.remember()
            self.memory.base.commit()
        moved = load.files_result or FilesResult(self.options.artifacts)
        return self._result(work, moved, load.left_out, started)

    def _tell_of_upgrade(self, target: DatabaseTarget, left_out: LeftOutCollector) -> None:
        """Say that MLflow upgraded what was made at the source's revision, or could not."""
        mine = target.revision
        if target.upgraded_to:
            self.memory.notes.append(
                f"The tables were made at revision {described(mine)}, as the source has them, and "
                f"MLflow then upgraded them to {described(target.upgraded_to)}."
            )
        if target.not_upgraded:
            detail = (
                f"all is in it, at revision {described(mine)}; {target.not_upgraded}. Upgrade it "
                f"before MLflow uses it: {self.place.upgrade_command}"
            )
            left_out.add(LeftOut("database", str(self.place), "", "not-upgraded", detail))

    def _target_files(self, work: Prepared) -> TargetFiles | None:
        """Where files go, if any are copied."""
        if not (isinstance(work.rewrite, Rewrite) and self.options.copies(self.source)):
            return None
        return TargetFiles(work.rewrite, self._uri_map, self.place.environment)

    @property
    def _uri_map(self) -> tuple[str, ...]:
        """Where the target's files are really found."""
        return self.place.map_or(self.options.uri_map)

    def _changed_files(self, work: Prepared, files: TargetFiles | None) -> ChangedFiles | None:
        """What becomes of files of owners that are there, where changes are sent."""
        policy = self.options.policy
        if files is None or work.fresh or not policy.updates:
            return None
        self.on_progress("comparing artifacts", 0, None)
        changed = ChangedFiles(work, files, self.memory.base, policy, self.memory.book)
        changed.plan()
        if changed.elsewhere:
            self.memory.notes.append(
                f"Files of {plural(changed.elsewhere, 'run or model', 'runs and models')} lie in "
                "another place than the artifact root in the target, and were not looked at."
            )
        return changed

    def _remember(
        self,
        work: Prepared,
        there: tuple[Table, ...],
        changed: ChangedFiles | None,
        on_progress: OnProgress,
    ) -> None:
        """Note what is sent, before it is committed; the note is kept right after.

        So who stops it stops both, but for a moment: then what was sent and not remembered is the
        same on both sides the next time.
        """
        remember_sent(
            self.memory.base,
            work.origin,
            tables=work.plan.tables,
            there=there,
            merge=work.merge,
            on_progress=on_progress,
        )
        if changed is not None:
            changed.remember()

    def _refuse_early(self) -> None:
        """Refuse what needs no tables to be known, before an empty database gets some.

        MLflow makes them in transactions of its own. A new SQLite file appears with the commit.
        """
        if self.place.kind is AddressKind.SQLITE or not has_no_tables(self.place):
            return
        target = open_preview(
            self.place,
            self.source.description.revision,
            self.options.target_auth,
            tables=self.source.tables,
        )
        memory = Memory(whole=self.memory.whole)
        try:
            check(self._prepare(target, memory), ())
        finally:
            memory.book.close()
            target.close()

    def preview(self, started: float) -> Result:
        """Say what would be done."""
        self.phases.begin(PLANNING)
        target = open_preview(
            self.place,
            self.source.description.revision,
            self.options.target_auth,
            tables=self.source.tables,
        )
        try:
            work = self._prepare(target)
            changed = self._changed_files(work, self._target_files(work))
            check_expected(self.options.expected, self.memory.book)
            left_out = LeftOutCollector()
            for item in work.left_out():
                left_out.add(item)
            for item in field_losses(work.source, _NO_PLACE):
                left_out.add(item)
            files = self._files(work, left_out, changed)
            return self._result(work, files, left_out, started)
        finally:
            target.close()

    def _prepare(self, target: Target, memory: Memory | None = None) -> Prepared:
        options, memory = self.options, memory or self.memory
        memory.count = target.count
        source, remarks, later = self._looked_through(target)
        if options.copies(source) and not target.is_fresh:
            source = with_existing_files(source, target, self._uri_map, self.place.environment)
        work = prepare(
            source,
            target,
            options.policy,
            options.artifact_root,
            remap=options.uri_map if options.artifacts == "reference" else (),
            include_secrets=options.include_secrets,
            on_progress=self.on_progress,
            memory=memory,
        )
        work.remarks, work.later = remarks, later
        work.losses = partial(left_out_of, self.source)
        if options.strict_artifacts and options.copies(self.source):
            work.unreadable = find_unreadable(
                work.source, workers=options.workers, on_progress=self.on_progress
            )
        return work

    def _looked_through(self, target: Target) -> tuple[Source, tuple[LeftOut, ...], Nuls]:
        """What of the source the target takes, what there is to be said of its rows, and by whom.

        Beside rows of its own, a target has no place for rows of nobody. What is said of rows that
        nobody compares is said when they are written.
        """
        takes_all = target.is_fresh and not target.enforces_caps
        if takes_all and self.source.description.kind == AddressKind.BUNDLE.value:
            return self.source, (), Nuls()  # its export reported them
        writes_all = target.is_fresh and not self.options.dry_run
        seen = self._seen_but_points if writes_all else self._seen
        if seen.dangling and not takes_all:
            source = WithoutDangling(self.source, seen.dangling)
            return source, (*source.entries(), *seen.others), seen.later
        return self.source, seen.carried() if seen.is_news else (), seen.later

    @cached_property
    def _seen_but_points(self) -> Seen:
        """The same of all rows but metric points, which are looked at when they are written."""
        return look_through(self.source, self.on_progress, points_later=True)

    @cached_property
    def _seen(self) -> Seen:
        """What a look at all rows found: it takes long, and hangs on no target."""
        # Points of runs that the target has are not read again where all seem to be there.
        is_quick = self.options.policy.is_quick and self.memory.base.is_known
        skip = frozenset({"metrics"}) if is_quick else frozenset[str]()
        return look_through(self.source, self.on_progress, skip)

    def _files(
        self, work: Prepared, left_out: LeftOutCollector, changed: ChangedFiles | None
    ) -> FilesResult:
        """Count the files that would be copied."""
        if not self.options.copies(self.source):
            return FilesResult(self.options.artifacts)
        self.phases.begin(LISTING)
        count = size = 0
        for file in work.source.files(left_out.add):
            count += 1
            size += file.size
            self.on_progress("looking for artifacts", count, None, "files")
        if changed is not None:
            for item in changed.left_out:
                left_out.add(item)
            files = [file for file, _ in changed.sends]
            files += [one.file for one in changed.replaces if one.file is not None]
            count, size = count + len(files), size + sum(file.size for file in files)
        return FilesResult("copy", count, size)

    def _result(
        self, work: Prepared, files: FilesResult, left_out: LeftOutCollector, started: float
    ) -> Result:
        planned = self.options.dry_run
        address = self.source.description.address
        merge, misfits = work.merge, work.misfits() if planned else ()
        return Result(
            verb=self.verb,
            source=address,
            target=str(self.place),
            tables=work.counted,
            files=files,
            left_out=left_out.summary(),
            notes=(*work.origin.notes, *merge.notes, *self.memory.notes),
            seconds=monotonic() - started,
            dry_run=planned,
            fresh=work.fresh,
            units=tuple(merge.units),
            on_conflict=self.options.policy.on_conflict,
            renamed=tuple(merge.renamed),
            conflicts=tuple(merge.conflicts),
            misfits=misfits,
            unreadable=work.unreadable.reasons,
            actions=ActionsResult.of(self.memory.book),
        )
