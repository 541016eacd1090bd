"""`undo_promotion`: alias and stages back where they were before a promotion."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.errors import RefusedError, UnreachableError
from mlporter.progress import OnProgress, silent
from mlporter.promotion.asked import VersionResult
from mlporter.promotion.target.pointers import move_pointers
from mlporter.promotion.target.receipt import Receipt, now_text
from mlporter.promotion.target.target_model import read_target
from mlporter.stores.addresses.locating import locate
from mlporter.stores.opening import open_source
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.stores.server.capabilities import asking_once
from mlporter.verbs.promoting.promotion_result import PromotionResult

if TYPE_CHECKING:
    from os import PathLike

    from mlporter.stores.addresses.address import Place

__all__ = ["undo_promotion"]


@asking_once()
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
        on_progress: Called with how far it is.

    Raises:
        UsageError: it is not a receipt.
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
