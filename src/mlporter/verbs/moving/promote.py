"""`promote`: one model version from one registry to another; and `undo_promotion`, its way back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlporter.errors import (
    ExitCode,
    InterruptedByUserError,
    MlporterError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from mlporter.progress import OnProgress, silent
from mlporter.promotion.asked import Asked, VersionResult
from mlporter.promotion.carry import Promotion, refuse_closed
from mlporter.promotion.checks.gates import Gates, parse_tag
from mlporter.promotion.checks.model_names import ModelName, check_alias, check_stage
from mlporter.promotion.target.pointers import move_pointers
from mlporter.promotion.target.receipt import Receipt, now_text, write_receipts
from mlporter.promotion.target.target_model import former, read_target
from mlporter.reports.report_file import check_report_file
from mlporter.stores.addresses.address import Address, AddressKind, place_text
from mlporter.stores.addresses.locating import locate
from mlporter.stores.addresses.same_place import is_same_place
from mlporter.stores.opening import open_source
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.verbs.reports import write_promotion, write_refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from mlporter.errors import LeftOut
    from mlporter.execute.result import Result
    from mlporter.stores.addresses.address import Place

__all__ = ["PromotionResult", "promote", "undo_promotion"]

_TARGETS = (AddressKind.SERVER, AddressKind.SQLITE, AddressKind.POSTGRESQL, AddressKind.MYSQL)


@dataclass(frozen=True)
class PromotionResult:
    """What a promotion did, for people and for ``--json``.

    Attributes:
        source: Where it read, redacted.
        target: Where it wrote, redacted.
        versions: What became of each version.
        transfers: What was carried, by table: one for each model.
        receipts: The receipts' files on this machine.
        left_out: What was not done beside the promotion itself: a receipt that could not be kept.
        dry_run: Whether this is a plan.
        undone: Whether this is a way back.
    """

    source: str
    target: str
    versions: tuple[VersionResult, ...]
    transfers: tuple[Result, ...] = ()
    receipts: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    dry_run: bool = False
    undone: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """4 if it would be refused; 3 where something was left out; or 0."""
        for transfer in self.transfers:
            if transfer.exit_code is not ExitCode.OK:
                return transfer.exit_code
        return ExitCode.INCOMPLETE if self.left_out else ExitCode.OK

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "verb": "promote",
            "source": self.source,
            "target": self.target,
            "dry_run": self.dry_run,
            "undone": self.undone,
            "versions": [_as_dict(one) for one in self.versions],
            "transfers": [transfer.as_dict() for transfer in self.transfers],
            "receipts": list(self.receipts),
            "left_out": [
                {"kind": one.kind, "id": one.id, "path": one.path, "detail": one.detail}
                for one in self.left_out
            ],
            "exit_code": int(self.exit_code),
        }


def _as_dict(one: VersionResult) -> dict[str, Any]:
    moved = former(one.pointers)
    return {
        "source": one.source,
        "target": one.target,
        "status": one.status,
        "files": one.files,
        "bytes": one.bytes,
        "gates": [gate.as_dict() for gate in one.gates],
        "load_check": one.load_check,
        "aliases": moved["aliases"],
        "stages": moved["stages"],
        "receipt": None if one.receipt is None else dict(one.receipt.data),
        "stored": one.stored,
    }


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
    retry_time: float = RETRY_TIME,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> PromotionResult:
    """Bring a model version, its run and what it stands on into another registry.

    Gates are judged before anything is written. Then the version is carried, its files are read
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
        stage: The stage that it goes to.
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
        with_parents: Bring the parents of its run.
        model_only: Leave the run's files that are not the model's.
        keep_version: Keep the version's number; else it gets the next free one.
        reference: The target points at the source's files; nothing is copied.
        artifact_root: Where a database keeps files.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        allow_root: Folders of this machine that files may be read from.
        source_env: What the names of the source's own variables begin with.
        target_env: Likewise of the target.
        receipt: The file of the receipt; None for one in the current folder.
        html: Write a report to this file, too, also where a gate is closed.
        workers: Files and requests at a time.
        retry_time: Seconds after which a server that keeps failing is given up.
        dry_run: Judge and plan only.
        on_progress: Told how far it is.

    Raises:
        UsageError: it makes no sense.
        RefusedError: there is no such version, a gate is closed, or the target has another one;
            alias and stage did not move.
        ReadBackError: the files in the target are not the source's; neither did they.
        UnreachableError: a side cannot be reached.
    """
    page = check_report_file(html)
    models = [ModelName.parse(text) for text in ([model] if isinstance(model, str) else model)]
    origin, place = locate(source, source_env), locate(target, target_env)
    stage = None if stage is None else check_stage(stage)
    _check(models, origin, place, name=name, aliases=alias, stage=stage, archive=archive_existing)
    needs_root = place.kind is not AddressKind.SERVER and not is_same_place(origin, place)
    if needs_root and not reference and artifact_root is None:
        raise UsageError(
            "say where the target keeps artifact files",
            subject=str(place),
            hint="--artifact-root /srv/mlartifacts or s3://bucket/mlflow; or --reference to point "
            "at the source's",
        )
    gates = Gates.parse(
        require_tag=tuple(require_tag),
        require=tuple(require),
        better_than=tuple(better_than),
        finished=require_finished,
        signature=require_model_signature,
        flavors=tuple(flavor),
        no_pickle=no_pickle,
        max_size=max_size,
    )
    asked = [
        Asked(
            one,
            name or one.model,
            gates,
            tuple(alias),
            stage,
            archive=archive_existing,
            tags=tuple(map(parse_tag, tag)),
            description=description,
            with_parents=with_parents,
            model_only=model_only,
            keep_version=keep_version,
            reference=reference,
            load_check=load_check,
            sign=None if sign is None else str(sign),
            require_signature=None if require_signature is None else str(require_signature),
            artifact_root=None if artifact_root is None else place_text(artifact_root),
            uri_map=tuple(uri_map),
            allow_root=tuple(map(place_text, allow_root)),
            workers=workers,
            retry_time=retry_time,
            dry_run=dry_run,
        )
        for one in models
    ]
    try:
        result = _promoted(origin, place, asked, receipt, on_progress)
    except MlporterError as error:
        if page is not None and not isinstance(error, InterruptedByUserError):
            write_refusal(origin, place, asked, error, page)
        raise
    if page is not None:
        write_promotion(origin, place, asked, result, page)
    return result


def _promoted(
    origin: Address,
    place: Address,
    asked: Sequence[Asked],
    receipt: str | PathLike[str] | None,
    on_progress: OnProgress,
) -> PromotionResult:
    """Carry out what was asked for, model by model.

    Raises:
        MlporterError: as `promote`.
    """
    if len(asked) > 1:
        # Of several, none is carried if a gate of one is closed.
        each = [Promotion(origin, place, one, on_progress) for one in asked]
        names = ", ".join(str(one.model) for one in asked)
        refuse_closed([line for one in each for line in one.closed()], names)
    done = [Promotion(origin, place, one, on_progress).run() for one in asked]
    results = [version for versions, _, _ in done for version in versions]
    return PromotionResult(
        str(origin),
        str(place),
        tuple(results),
        tuple(transfer for _, transfer, _ in done if transfer is not None),
        write_receipts([one.receipt for one in results if one.receipt is not None], receipt),
        tuple(item for _, _, left in done for item in left),
        asked[0].dry_run,
    )


def _check(
    models: Sequence[ModelName],
    origin: Address,
    place: Address,
    *,
    name: str | None,
    aliases: Sequence[str],
    stage: str | None,
    archive: bool,
) -> None:
    """Refuse what makes no sense.

    Raises:
        UsageError: it does not.
    """
    if not models:
        raise UsageError("no model is named", hint="models:/NAME/3, say")
    for alias in aliases:
        check_alias(alias)
    if place.kind not in _TARGETS:
        raise UsageError("the target of a promotion is a database or a server", subject=str(place))
    if archive and stage is None:
        raise UsageError("--archive-existing needs --stage", hint="name the stage")
    if name is not None and len({one.model for one in models}) > 1:
        raise UsageError("--as gives one name, and several models are named")
    is_many = len(models) > 1 and len({one.model for one in models}) == 1
    if (aliases or stage) and (is_many or any(not one.version for one in models)):
        raise UsageError(
            f"several versions of {models[0].model!r} cannot share an alias or a stage",
            hint=f"name one: models:/{models[0].model}/latest",
        )
    if is_same_place(origin, place) and any(name in {None, one.model} for one in models):
        raise UsageError(
            "source and target are the same registry",
            subject=str(place),
            hint="--as gives the version another model's name there",
        )


def undo_promotion(
    receipt: str | PathLike[str],
    *,
    target: Place | None = None,
    target_env: str | None = None,
    retry_time: float = RETRY_TIME,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> PromotionResult:
    """Put alias and stages back where they were before a promotion. The version stays.

    Args:
        receipt: The promotion's receipt.
        target: The target, where the receipt does not say how it is reached.
        target_env: What the names of its own variables begin with.
        retry_time: Seconds after which a server that keeps failing is given up.
        dry_run: Look only.
        on_progress: Told how far it is.

    Raises:
        UsageError: it is no receipt.
        RefusedError: somebody moved alias or stage since; nothing was moved.
    """
    path = str(receipt)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnreachableError(f"cannot read: {error.strerror or error}", subject=path) from error
    found = Receipt.parse(data, path)
    said = str(found.data["target"]["address"])
    place = locate(said if target is None else target, target_env)
    way_back = found.pointers().reversed({})
    on_progress("looking at the target", 0, None)
    with closing(open_source(place, retry_time=retry_time, part=True)) as there:
        model = read_target(there, way_back.workspace, way_back.name)
        revision = there.description.revision
    noted = next((one for one in model.promoted() if one.number == way_back.number), None)
    if noted is None:
        raise RefusedError(
            f"has no version {way_back.number} that was promoted",
            subject=f"models:/{way_back.name}",
        )
    status = "already undone" if noted.noted.get("undone") else "undone"
    if status == "undone":
        way_back.check(model)
        note = {**noted.noted, "undone": now_text()}
        if not dry_run:
            move_pointers(
                place,
                revision,
                [(found.pointers().reversed(note), None)],
                restore_times=True,
                retry_time=retry_time,
            )
    source = found.data["source"]
    result = VersionResult(
        f"models:/{source['model']}/{source['version']}",
        f"models:/{way_back.name}/{way_back.number}",
        (),
        status,
        way_back,
        int(found.data["files"]["count"]),
        int(found.data["files"]["bytes"]),
        receipt=None,
    )
    return PromotionResult(
        str(source["address"]), str(place), (result,), dry_run=dry_run, undone=True
    )
