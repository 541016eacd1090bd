"""The kinds of manifests. Fields are named as the arguments of the verbs; a test holds that."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from mlporter.manifests import fields as f
from mlporter.selection import Selection

__all__ = ["KINDS", "Kind", "Manifest"]

_NOT_ARGUMENTS = {"kind", "selection"}


class Manifest(BaseModel):
    """What a manifest says. What it does not say is left to the verb."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def arguments(self) -> dict[str, Any]:
        """What the verb is called with.

        Raises:
            UsageError: the selection makes no sense.
        """
        names = self.model_fields_set - _NOT_ARGUMENTS
        said = {name: getattr(self, name) for name in names}
        selection: f.SelectionFields | None = getattr(self, "selection", None)
        if selection is not None:
            said["selection"] = Selection.from_words(selection.words())
        return said


class Export(Manifest):
    """A registry, or a part of it, into a new bundle."""

    kind: Literal["export"]
    source: f.SourcePlace
    bundle: f.Text = Field(description="The directory of the bundle, which must be new or empty.")
    selection: f.Selected | None = None
    artifacts: f.Artifacts = "copy"
    strict_artifacts: f.StrictArtifacts = False
    uri_map: f.UriMap = ()
    allow_root: f.AllowRoot = ()
    orphans: f.Orphans = False
    include_tables: f.IncludeTables = ()
    include_secrets: f.IncludeSecrets = False
    registry: f.Registry | None = None
    auth: f.Auth | None = None
    source_env: f.SourceEnv | None = None
    sign: f.Sign | None = None
    resume: f.Flag = Field(default=False, description="Continue an export that was interrupted.")
    restart: f.Flag = Field(default=False, description="Start over, and replace what is there.")
    workers: f.Workers = 4
    jobs: f.Jobs | None = None
    processes: f.Processes | None = None
    dask: f.Dask | None = None
    retry_time: f.RetryTime = 120.0


class Import(Manifest):
    """A bundle into a database or a server."""

    kind: Literal["import"]
    bundle: f.Text = Field(description="The directory that an export wrote.")
    target: f.TargetPlace
    selection: f.Selected | None = None
    rename: f.Rename = ()
    rename_prefix: f.RenamePrefix = ""
    to_workspace: f.ToWorkspace | None = None
    on_conflict: f.OnConflictWord = "fail"
    undelete: f.Undelete = False
    force: f.Force = False
    rebase: f.Rebase = False
    state: f.State | None = None
    artifact_root: f.ArtifactRoot | None = None
    artifacts: f.Artifacts = "copy"
    strict_artifacts: f.StrictArtifacts = False
    uri_map: f.UriMap = ()
    include_tables: f.IncludeTables = ()
    include_secrets: f.IncludeSecrets = False
    drop_unknown: f.DropUnknown = False
    target_auth: f.TargetAuth | None = None
    target_env: f.TargetEnv | None = None
    require_signature: f.RequireSignature | None = None
    workers: f.Workers = 4
    jobs: f.Jobs | None = None
    processes: f.Processes | None = None
    dask: f.Dask | None = None
    retry_time: f.RetryTime = 120.0


class Copy(Manifest):
    """A registry, or a part of it, straight into another."""

    kind: Literal["copy"]
    source: f.SourcePlace
    target: f.TargetPlace
    selection: f.Selected | None = None
    rename: f.Rename = ()
    rename_prefix: f.RenamePrefix = ""
    to_workspace: f.ToWorkspace | None = None
    on_conflict: f.OnConflictWord = "fail"
    undelete: f.Undelete = False
    force: f.Force = False
    rebase: f.Rebase = False
    state: f.State | None = None
    artifact_root: f.ArtifactRoot | None = None
    artifacts: f.Artifacts = "copy"
    strict_artifacts: f.StrictArtifacts = False
    uri_map: f.UriMap = ()
    allow_root: f.AllowRoot = ()
    orphans: f.Orphans = False
    include_tables: f.IncludeTables = ()
    include_secrets: f.IncludeSecrets = False
    drop_unknown: f.DropUnknown = False
    registry: f.Registry | None = None
    auth: f.Auth | None = None
    target_auth: f.TargetAuth | None = None
    source_env: f.SourceEnv | None = None
    target_env: f.TargetEnv | None = None
    workers: f.Workers = 4
    jobs: f.Jobs | None = None
    processes: f.Processes | None = None
    dask: f.Dask | None = None
    retry_time: f.RetryTime = 120.0


class Sync(Manifest):
    """A registry that follows another: what is new there, what changed, and what moved."""

    kind: Literal["sync"]
    source: f.SourcePlace
    target: f.TargetPlace
    selection: f.Selected | None = None
    delete: f.Flag = Field(
        default=False, description="Delete what the source has no more, if it is as it was sent."
    )
    max_delete: f.Count | None = Field(
        default=None,
        description="Refuse to delete more of a kind; without it, than 10 and than 20% of it.",
    )
    prefer: Literal["ours", "theirs"] | None = Field(
        default=None,
        description="`ours`: the source wins where the target was edited. `theirs`: the target's "
        "is kept where both sides changed, and is no conflict.",
    )
    full: f.Flag = Field(
        default=False, description="Read everything, not only what seems to have changed."
    )
    rename: f.Rename = ()
    rename_prefix: f.RenamePrefix = ""
    to_workspace: f.ToWorkspace | None = None
    force: f.Force = False
    rebase: f.Rebase = False
    state: f.State | None = None
    artifact_root: f.ArtifactRoot | None = None
    artifacts: f.Artifacts = "copy"
    strict_artifacts: f.StrictArtifacts = False
    uri_map: f.UriMap = ()
    allow_root: f.AllowRoot = ()
    orphans: f.Orphans = False
    include_tables: f.IncludeTables = ()
    include_secrets: f.IncludeSecrets = False
    drop_unknown: f.DropUnknown = False
    registry: f.Registry | None = None
    auth: f.Auth | None = None
    target_auth: f.TargetAuth | None = None
    source_env: f.SourceEnv | None = None
    target_env: f.TargetEnv | None = None
    workers: f.Workers = 4
    jobs: f.Jobs | None = None
    processes: f.Processes | None = None
    dask: f.Dask | None = None
    retry_time: f.RetryTime = 120.0


class Promote(Manifest):
    """A model version with its run and files into another registry, behind gates."""

    kind: Literal["promote"]
    model: f.Texts = Field(description="`models:/NAME/3`, `models:/NAME@ALIAS`, and so on.")
    source: f.SourcePlace
    target: f.TargetPlace
    name: f.Text | None = Field(default=None, description="What the model is called there.")
    alias: f.Texts = Field(default=(), description="Aliases that name it then, last of all.")
    stage: f.Text | None = Field(default=None, description="The stage to put it in.")
    archive_existing: f.Flag = Field(
        default=False, description="Archive what is in that stage now."
    )
    tag: f.Pairs = Field(default=(), description="`KEY=VALUE`: tag it there.")
    description: f.Text | None = Field(
        default=None, description="Its description there; else as in the source."
    )
    require_tag: f.Pairs = Field(
        default=(), description="Gate, `KEY=VALUE`: it, or its run, has this tag."
    )
    require: f.Texts = Field(default=(), description="Gate: such as `metrics.rmse < 0.2`.")
    better_than: f.Texts = Field(
        default=(),
        description="Gate: better than what an alias names there: `champion:metrics.rmse:min`.",
    )
    require_finished: f.Flag = Field(default=False, description="Gate: its run is FINISHED.")
    require_model_signature: f.Flag = Field(
        default=False, description="Gate: it has a model signature."
    )
    flavor: f.Texts = Field(default=(), description="Gate: it has one of these flavors.")
    no_pickle: f.Flag = Field(default=False, description="Gate: no file that Python unpickles.")
    max_size: f.Size | None = Field(
        default=None, description="Gate: not larger than this, such as `500MB`."
    )
    require_signature: f.RequireSignature | None = None
    load_check: f.Flag = Field(
        default=False, description="Load it in the target, and compare predictions."
    )
    sign: f.Sign | None = None
    receipt: f.Text | None = Field(default=None, description="Where the receipt is written.")
    html: f.Html | None = None
    with_parents: f.Flag = Field(default=False, description="Copy the parents of its run too.")
    model_only: f.Flag = Field(default=False, description="Do not copy the other files of its run.")
    keep_version: f.Flag = Field(
        default=False, description="Keep its number; else it gets the next free one."
    )
    reference: f.Flag = Field(
        default=False, description="Point at the files of the source; copy none."
    )
    artifact_root: f.ArtifactRoot | None = None
    uri_map: f.UriMap = ()
    allow_root: f.AllowRoot = ()
    source_env: f.SourceEnv | None = None
    target_env: f.TargetEnv | None = None
    workers: f.Workers = 4
    processes: f.Processes | None = None
    dask: f.Dask | None = None
    retry_time: f.RetryTime = 120.0


class Diff(Manifest):
    """Two places, compared field by field and file by file."""

    kind: Literal["diff"]
    a: f.Text = Field(description="One place: an address, a path or a name.")
    b: f.Text = Field(description="The other one.")
    selection: f.Selected | None = None
    strict: f.Flag = Field(
        default=False, description="Compare file locations, JSON as text and derived tables too."
    )
    artifacts: f.Compared = "content"
    limit: f.Count = Field(
        default=1000, description="How many differences to list; all are counted."
    )
    uri_map: f.UriMap = ()
    allow_root: f.AllowRoot = ()
    include_tables: f.IncludeTables = ()
    registry: f.Text | None = Field(
        default=None, description="Where the registered models of A are, if elsewhere."
    )
    auth: f.Text | None = Field(default=None, description="The database of A's users.")
    target_auth: f.Text | None = Field(default=None, description="The database of B's users.")
    source_env: f.Text | None = Field(
        default=None, description="What the names of variables for A alone begin with."
    )
    target_env: f.Text | None = Field(
        default=None, description="What the names of variables for B alone begin with."
    )
    html: f.Html | None = None
    workers: f.Workers = 4
    jobs: f.Jobs | None = None
    processes: f.Processes | None = None
    dask: f.Dask | None = None
    retry_time: f.RetryTime = 120.0


class Verify(Manifest):
    """A bundle, a repository or a snapshot, checked for damage."""

    kind: Literal["verify"]
    bundle: f.Text = Field(description="The bundle, the repository, or a snapshot of it.")
    quick: f.Flag = Field(
        default=False, description="Check names and sizes only; read no file's content."
    )
    sample: f.Share | None = Field(
        default=None, description="Read only this share of the artifact files, such as 5%."
    )
    against: f.Text | None = Field(
        default=None, description="Compare the bundle with this place too."
    )
    uri_map: f.UriMap = ()
    allow_root: f.AllowRoot = ()
    restore_test: f.Flag = Field(
        default=False,
        description="Restore it into a scratch database, where MLflow counts and loads models.",
    )
    restore_models: f.Count = Field(
        default=3, description="How many model versions the restore test loads."
    )
    require_signature: f.RequireSignature | None = None
    source_env: f.Text | None = Field(
        default=None, description="What the names of variables for that place alone begin with."
    )
    html: f.Html | None = None
    workers: f.Workers = 4
    jobs: f.Jobs | None = None
    processes: f.Processes | None = None
    dask: f.Dask | None = None
    retry_time: f.RetryTime = 120.0


class Backup(Manifest):
    """A registry, or a part of it, as one more snapshot in a repository."""

    kind: Literal["backup"]
    source: f.SourcePlace
    repository: f.Repository
    tags: f.Texts = Field(
        default=(), description="Words by which the snapshot can be chosen and kept."
    )
    selection: f.Selected | None = None
    artifacts: f.Artifacts = "copy"
    strict_artifacts: f.StrictArtifacts = False
    full: f.Flag = Field(
        default=False,
        description="Read all metric points and list all files, also of what looks as it did.",
    )
    reread: f.Flag = Field(
        default=False, description="Read all files, also those that look unchanged."
    )
    append_only: f.Flag = Field(
        default=False, description="For a new repository: nothing is ever removed from it."
    )
    encrypt: f.Texts = Field(
        default=(), description="For a new repository: public keys that all is encrypted to."
    )
    metrics: f.Text | None = Field(
        default=None, description="A file for Prometheus that says how it ended (`*.prom`)."
    )
    notify: f.Text | None = Field(
        default=None, description="A URL called at the end; `{exit}` in it is the exit code."
    )
    uri_map: f.UriMap = ()
    allow_root: f.AllowRoot = ()
    orphans: f.Orphans = False
    include_tables: f.IncludeTables = ()
    include_secrets: f.IncludeSecrets = False
    registry: f.Registry | None = None
    auth: f.Auth | None = None
    source_env: f.SourceEnv | None = None
    workers: f.Workers = 4
    jobs: f.Jobs | None = None
    processes: f.Processes | None = None
    dask: f.Dask | None = None
    retry_time: f.RetryTime = 120.0


class Forget(Manifest):
    """Snapshots of a repository that no rule keeps are removed."""

    kind: Literal["forget"]
    repository: f.Repository
    keep_last: f.Count = Field(
        default=0, description="Keep the last so many snapshots of each registry."
    )
    keep_hourly: f.Count = Field(
        default=0, description="Keep the last one of each of the last so many hours that have any."
    )
    keep_daily: f.Count = Field(default=0, description="So of days (UTC).")
    keep_weekly: f.Count = Field(default=0, description="So of weeks.")
    keep_monthly: f.Count = Field(default=0, description="So of months.")
    keep_yearly: f.Count = Field(default=0, description="So of years.")
    keep_within: f.Duration | None = Field(
        default=None, description="Keep what is younger than this: `30d`, `12h`, or seconds."
    )
    keep_tags: f.Texts = Field(default=(), description="Keep what has one of these tags.")
    prune_unused: f.Flag = Field(
        default=False, description="Free the space of what no snapshot needs, too."
    )
    grace: f.Duration = Field(
        default=3600.0, description="Leave alone what was written so recently: `1h`, or seconds."
    )


Kind: TypeAlias = Literal[
    "export", "import", "copy", "sync", "promote", "backup", "forget", "diff", "verify"
]
KINDS: dict[Kind, type[Manifest]] = {
    "export": Export,
    "import": Import,
    "copy": Copy,
    "sync": Sync,
    "promote": Promote,
    "backup": Backup,
    "forget": Forget,
    "diff": Diff,
    "verify": Verify,
}
"""Kinds by their names."""
