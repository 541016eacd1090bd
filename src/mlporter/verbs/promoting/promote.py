"""`promote`: one model version from one registry to another."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from mlporter.errors import ExitCode, InterruptedByUserError, MlporterError
from mlporter.execute.options import reads_runs
from mlporter.execute.plan_files import check_expected, write_plan
from mlporter.plan.three_sides.actions import ActionBook
from mlporter.progress import OnProgress, silent
from mlporter.promotion.checks.gates import refuse_closed
from mlporter.promotion.transfer import Promotion
from mlporter.stores.addresses.address import Address
from mlporter.stores.addresses.locating import locate
from mlporter.stores.addresses.same_place import is_same_place
from mlporter.stores.opening import settled
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.stores.server.capabilities import asking_once
from mlporter.verbs.moving.request import Request
from mlporter.verbs.promoting.promotion_files import checked_files, write_receipts
from mlporter.verbs.promoting.promotion_request import asked_of
from mlporter.verbs.promoting.promotion_result import PromotionResult
from mlporter.verbs.reports import write_promotion, write_refusal
from mlporter.workers.choice import task_pool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from mlporter.errors import LeftOut
    from mlporter.execute.result import Result
    from mlporter.promotion.asked import Asked, VersionResult
    from mlporter.stores.addresses.address import Address, Place

    _Done = tuple[list[VersionResult], Result | None, list[LeftOut]]

__all__ = ["promote", "run_promotion"]


def promote(
    model: str | Sequence[str],
    source: Place,
    target: Place,
    *,
    name: str | None = None,
    alias: Sequence[str] = (),
    stage: str | None = None,
    archive_existing: bool = False,
    tag: Sequence[str] = (),
    description: str | None = None,
    require_tag: Sequence[str] = (),
    require: Sequence[str] = (),
    better_than: Sequence[str] = (),
    require_finished: bool = False,
    require_model_signature: bool = False,
    flavor: Sequence[str] = (),
    no_pickle: bool = False,
    max_size: str | int | None = None,
    load_check: bool = False,
    sign: str | PathLike[str] | None = None,
    require_signature: str | PathLike[str] | None = None,
    with_parents: bool = False,
    model_only: bool = False,
    keep_version: bool = False,
    reference: bool = False,
    artifact_root: Place | None = None,
    uri_map: Sequence[str] = (),
    allow_root: Sequence[Place] = (),
    source_env: str | None = None,
    target_env: str | None = None,
    receipt: str | PathLike[str] | None = None,
    html: str | PathLike[str] | None = None,
    workers: int = 4,
    processes: int | None = None,
    dask: str | None = None,
    retry_time: float = RETRY_TIME,
    plan_out: str | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> PromotionResult:
    """Bring a model version, its run and what it depends on into another registry.

    Gates are judged before anything is written. Then the version is copied, its files are read
    back and held against the source's, and only then its stage and aliases move: so nobody loads
    a model that is not whole. What is there already is not sent again; a promotion that was
    stopped goes on where it is repeated.

    Args:
        model: ``models:/NAME/3``, ``models:/NAME@ALIAS``, ``models:/NAME/Production``,
            ``models:/NAME/latest``, or ``models:/NAME`` for all versions.
        source: A database, a server, a bundle, or a file store.
        target: A database or a server.
        name: What the registered model is called in the target; None for the same.
        alias: Aliases that name the version in the target, last of all.
        stage: The stage to put it in.
        archive_existing: Versions that are in that stage go to Archived.
        tag: ``KEY=VALUE`` tags that the version gets in the target.
        description: The version's description in the target; None for its own.
        require_tag: ``KEY=VALUE`` that the version or its run must be tagged with.
        require: Limits such as ``metrics.rmse < 0.2``.
        better_than: ``ALIAS:metrics.NAME:min`` or ``…:max``: better than what the alias names.
        require_finished: The run must be FINISHED.
        require_model_signature: The model must have a signature.
        flavor: The model must have one of these flavors.
        no_pickle: The model must have no file that Python unpickles.
        max_size: The most bytes that the model may have: ``500MB``, ``2GiB``, or a number.
        load_check: Load the model from the target in a fresh process, and compare what it
            predicts on its input example with what the source's does.
        sign: The file of a private key: the model's files in the target are signed with it, in the
            OpenSSF model-signing format.
        require_signature: The file of a public key: the model must be signed with its private one,
            and unchanged since.
        with_parents: Copy the parents of its run too.
        model_only: Leave the run's files that are not the model's.
        keep_version: Keep the version's number; else it gets the next free one.
        reference: The target points at the source's files; nothing is copied.
        artifact_root: Where a database keeps files.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        allow_root: Folders of this machine that files may be read from.
        source_env: What the names of the source's own variables begin with.
        target_env: Likewise of the target.
        receipt: The file of the receipt; None for one in the current folder.
        html: Write a report to this file, too, also of a plan, and where a gate is closed.
        workers: Files and requests at a time.
        processes: So many processes of this machine carry files instead of threads.
        dask: The workers of this Dask scheduler do; or ``local:4``.
        retry_time: Seconds after which a server that keeps failing is given up.
        plan_out: Write the plan to this file, for `apply`; nothing is written to the target then.
        dry_run: Judge and plan only.
        on_progress: Called with how far it is.

    Raises:
        UsageError: it makes no sense.
        RefusedError: there is no such version, a gate is closed, or it is different in the target;
            alias and stage did not move.
        ReadBackError: the files in the target are not the source's; neither did they.
        UnreachableError: a side cannot be reached.
    """
    arguments = {
        "model": model if isinstance(model, str) else list(model),
        "name": name,
        "alias": alias,
        "stage": stage,
        "archive_existing": archive_existing,
        "tag": tag,
        "description": description,
        "require_tag": require_tag,
        "require": require,
        "better_than": better_than,
        "require_finished": require_finished,
        "require_model_signature": require_model_signature,
        "flavor": flavor,
        "no_pickle": no_pickle,
        "max_size": max_size,
        "load_check": load_check,
        "sign": sign,
        "require_signature": require_signature,
        "with_parents": with_parents,
        "model_only": model_only,
        "keep_version": keep_version,
        "reference": reference,
        "artifact_root": artifact_root,
        "uri_map": uri_map,
        "allow_root": allow_root,
        "source_env": source_env,
        "target_env": target_env,
        "receipt": receipt,
        "html": None if html is None else str(html),
        "workers": workers,
        "processes": processes,
        "dask": dask,
        "retry_time": retry_time,
        "plan_out": plan_out,
        "dry_run": dry_run,
    }
    return run_promotion(Request("promote", source, target, arguments), on_progress)


@asking_once()
def run_promotion(request: Request, on_progress: OnProgress) -> PromotionResult:
    """Plan what `promote` is asked, and carry it out unless a plan is all.

    Raises:
        MlporterError: as `promote` says.
    """
    given = request.arguments
    origin = settled(locate(request.source, given["source_env"]))
    place = locate(request.target, given["target_env"])
    request = request if is_same_place(origin, place) else request.into(place)
    asked = asked_of(request, origin, place)
    page = checked_files(request, len(asked))
    try:
        needed = reads_runs(origin) or not request.only_plans
        with task_pool(given["workers"], given["processes"], given["dask"], needed=needed) as pool:
            asked = [replace(one, pool=pool) for one in asked]
            result = _promoted(request, origin, place, asked, on_progress)
    except MlporterError as error:
        if page is not None and not isinstance(error, InterruptedByUserError):
            write_refusal(origin, place, asked, error, page)
        raise
    if page is not None:
        write_promotion(origin, place, asked, result, page)
    return result


def _promoted(
    request: Request,
    origin: Address,
    place: Address,
    asked: list[Asked],
    on_progress: OnProgress,
) -> PromotionResult:
    """Plan, and carry out unless a plan is all.

    Raises:
        MlporterError: as `promote` says.
    """
    if request.lists:
        planned = _planned(request, origin, place, asked, on_progress)
        if request.only_plans:
            return planned
        agreed = tuple(one.pointers for one in planned.versions if one.status == "planned")
        digest = "" if request.expected is None else request.expected.digest
        asked = [
            replace(one, plan=digest, agreed=tuple(way for way in agreed if way.name == one.name))
            for one in asked
        ]
    if len(asked) > 1:
        # Of several, none is copied if a gate of one is closed.
        each = [Promotion(origin, place, one, on_progress) for one in asked]
        subject = ", ".join(str(one.model) for one in asked)
        refuse_closed([line for one in each for line in one.closed()], subject)
    done = _each(origin, place, asked, on_progress)
    return _result(origin, place, done, request.arguments["receipt"], dry_run=request.only_plans)


def _planned(
    request: Request,
    origin: Address,
    place: Address,
    asked: Sequence[Asked],
    on_progress: OnProgress,
) -> PromotionResult:
    """All of it as a plan, which is written to a file, or held against the one carried out.

    Raises:
        RefusedError: it is another plan, or a gate is closed.
    """
    with closing(ActionBook()) as book:
        dry = [replace(one, dry_run=True) for one in asked]
        done = _each(origin, place, dry, on_progress, book)
        result = _result(origin, place, done, None, dry_run=True)
        check_expected(request.expected, book)
        if request.plan_out is not None:
            header = request.header(origin, place)
            write_plan(request.plan_out, header, book, result.transfers)
    is_refused = result.exit_code is ExitCode.REFUSED
    return replace(result, next_command="" if is_refused else request.next_command)


def _each(
    origin: Address,
    place: Address,
    asked: Sequence[Asked],
    on_progress: OnProgress,
    book: ActionBook | None = None,
) -> list[_Done]:
    """One after the other; in a plan, what is new by one stands before what is new by the next."""
    done: list[_Done] = []
    planned: Counter[str] = Counter()
    for one in asked:
        work = Promotion(origin, place, one, on_progress, book, planned[one.name])
        done.append(work.run())
        planned[one.name] += sum(version.status == "planned" for version in done[-1][0])
    return done


def _result(
    origin: Address,
    place: Address,
    done: Sequence[_Done],
    receipt: str | PathLike[str] | None,
    *,
    dry_run: bool,
) -> PromotionResult:
    results = [version for versions, _, _ in done for version in versions]
    return PromotionResult(
        str(origin),
        str(place),
        tuple(results),
        tuple(transfer for _, transfer, _ in done if transfer is not None),
        write_receipts(results, receipt),
        tuple(item for _, _, left in done for item in left),
        dry_run,
    )
