"""What a promotion is asked for, model by model, as far as it makes sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlporter.errors import UsageError
from mlporter.execute.options import reads_runs, refuse_idle_workers, refuse_workers
from mlporter.promotion.asked import Asked
from mlporter.promotion.checks.gates import Gates, parse_tag
from mlporter.promotion.checks.model_names import ModelName, check_alias, check_stage
from mlporter.stores.addresses.address import Address, AddressKind, place_text
from mlporter.stores.addresses.same_place import is_same_place
from mlporter.workers.choice import check_workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlporter.verbs.moving.request import Request

__all__ = ["asked_of"]

_TARGETS = (AddressKind.SERVER, AddressKind.SQLITE, AddressKind.POSTGRESQL, AddressKind.MYSQL)


def asked_of(request: Request, origin: Address, place: Address) -> list[Asked]:
    """What is asked of each model.

    Raises:
        UsageError: it makes no sense.
    """
    given = request.arguments
    model, root, reference = given["model"], given["artifact_root"], given["reference"]
    check_workers(given["processes"], given["dask"])
    if reference and not reads_runs(origin):
        refuse_idle_workers(given["processes"], given["dask"], "--reference")
    if place.kind is AddressKind.SERVER and not reads_runs(origin):
        refuse_workers(given["processes"], given["dask"])
    models = [ModelName.parse(text) for text in ([model] if isinstance(model, str) else model)]
    stage = None if given["stage"] is None else check_stage(given["stage"])
    _check(
        models,
        origin,
        place,
        name=given["name"],
        aliases=given["alias"],
        stage=stage,
        archive=given["archive_existing"],
    )
    needs_root = place.kind is not AddressKind.SERVER and not is_same_place(origin, place)
    if needs_root and not reference and root is None:
        raise UsageError(
            "say where the target keeps artifact files",
            subject=str(place),
            hint="--artifact-root /srv/mlartifacts or s3://bucket/mlflow; or --reference to point "
            "at the source's",
        )

    def text(name: str) -> str | None:
        return None if given[name] is None else str(given[name])

    return [
        Asked(
            one,
            given["name"] or one.model,
            _gates(given),
            tuple(given["alias"]),
            stage,
            archive=given["archive_existing"],
            tags=tuple(map(parse_tag, given["tag"])),
            description=given["description"],
            with_parents=given["with_parents"],
            model_only=given["model_only"],
            keep_version=given["keep_version"],
            reference=reference,
            load_check=given["load_check"],
            sign=text("sign"),
            require_signature=text("require_signature"),
            artifact_root=None if root is None else place_text(root),
            uri_map=tuple(given["uri_map"]),
            allow_root=tuple(map(place_text, given["allow_root"])),
            workers=given["workers"],
            processes=given["processes"],
            dask=given["dask"],
            retry_time=given["retry_time"],
            dry_run=request.only_plans,
        )
        for one in models
    ]


def _gates(given: Mapping[str, Any]) -> Gates:
    return Gates.parse(
        require_tag=tuple(given["require_tag"]),
        require=tuple(given["require"]),
        better_than=tuple(given["better_than"]),
        finished=given["require_finished"],
        signature=given["require_model_signature"],
        flavors=tuple(given["flavor"]),
        no_pickle=given["no_pickle"],
        max_size=given["max_size"],
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
        raise UsageError("no model was given", hint="models:/NAME/3, say")
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
