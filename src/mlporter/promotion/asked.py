"""What a promotion is asked for, and what became of each version."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.promotion.checks.gates import Gates

if TYPE_CHECKING:
    from mlporter.promotion.checks.gates import GateResult
    from mlporter.promotion.checks.model_names import ModelName
    from mlporter.promotion.target.receipt import Receipt
    from mlporter.promotion.target.target_model import Pointers
    from mlporter.workers.task_pool import TaskPool

__all__ = ["Asked", "VersionResult"]


@dataclass(frozen=True)
class Asked:
    """What a promotion is asked to do; see `mlporter.promote`."""

    model: ModelName
    name: str
    gates: Gates = field(default_factory=Gates)
    aliases: tuple[str, ...] = ()
    stage: str | None = None
    archive: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    description: str | None = None
    with_parents: bool = False
    model_only: bool = False
    keep_version: bool = False
    reference: bool = False
    load_check: bool = False
    sign: str | None = None
    require_signature: str | None = None
    artifact_root: str | None = None
    uri_map: tuple[str, ...] = ()
    allow_root: tuple[str, ...] = ()
    workers: int = 4
    processes: int | None = None
    dask: str | None = None
    pool: TaskPool | None = field(default=None, compare=False)
    """Who carries files, once they are there."""
    retry_time: float = 120.0
    dry_run: bool = False
    plan: str = ""
    """The digest of the plan file that is carried out."""
    agreed: tuple[Pointers, ...] = ()
    """What moves by that plan; if somebody moved it since, nothing else is moved either."""


@dataclass(frozen=True)
class VersionResult:
    """What became of one version.

    Attributes:
        source: What it is called at the source.
        target: What it is called in the target.
        gates: What each gate found.
        status: ``promoted``, ``planned``, or ``already promoted``.
        load_check: What loading it found; "" where it was not asked for.
        pointers: What moved, or would.
        receipt: The receipt; None of a plan.
        stored: The URI of the receipt in the target.
        files: The model's files.
        bytes: Their bytes.
    """

    source: str
    target: str
    gates: tuple[GateResult, ...]
    status: str
    pointers: Pointers
    files: int
    bytes: int
    load_check: str = ""
    receipt: Receipt | None = None
    stored: str = ""
