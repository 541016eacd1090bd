"""What the kinds of manifests have in common: fields, each with its type and what it means."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from mlporter.compare.scope import ArtifactDepth
from mlporter.execute.options import ArtifactsMode
from mlporter.manifests.variables import Filled
from mlporter.plan.policy import OnConflict
from mlporter.selection import KINDS
from mlporter.wording import seconds_of

__all__ = [
    "AllowRoot",
    "ArtifactRoot",
    "Artifacts",
    "Auth",
    "Compared",
    "Count",
    "Dask",
    "DropUnknown",
    "Duration",
    "Flag",
    "Force",
    "Html",
    "IncludeSecrets",
    "IncludeTables",
    "Jobs",
    "Kinds",
    "OnConflictWord",
    "Orphans",
    "Pairs",
    "Processes",
    "Rebase",
    "Registry",
    "Rename",
    "RenamePrefix",
    "Repository",
    "RequireSignature",
    "RetryTime",
    "Selected",
    "SelectionFields",
    "Share",
    "Sign",
    "Size",
    "SourceEnv",
    "SourcePlace",
    "State",
    "StrictArtifacts",
    "TargetAuth",
    "TargetEnv",
    "TargetPlace",
    "Text",
    "Texts",
    "ToWorkspace",
    "Undelete",
    "UriMap",
    "Workers",
]


def _as_list(value: object) -> object:
    """One text is a list of one."""
    return [value] if isinstance(value, str) else value


def _as_flag(value: object) -> object:
    """What a variable or ``--set`` says, which is always a text."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, Filled) else value


def _as_number(value: object) -> object:
    """The same of a number."""
    if isinstance(value, Filled):
        try:
            return int(value) if value.isdecimal() else float(value)
        except ValueError:
            return value
    return value


def _as_share(value: object) -> object:
    """A share is written as a percentage, too."""
    if isinstance(value, str) and value.endswith("%"):
        try:
            return float(value.removesuffix("%")) / 100
        except ValueError:
            return value
    return _as_number(value)


def _as_size(value: object) -> object:
    """A number of bytes is written as a number, too."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


def _as_seconds(value: object) -> object:
    """A length of time is written with its unit, too."""
    try:
        return seconds_of(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _is_kind(value: str) -> str:
    if value not in KINDS:
        expected = ", ".join(repr(kind) for kind in KINDS)
        raise PydanticCustomError("literal_error", "is no kind", {"expected": expected})
    return value


Text = Annotated[str, Field(min_length=1)]
_List = Annotated[list[Text], Field(min_length=1)]
_OneOrMore = BeforeValidator(_as_list, json_schema_input_type=Text | _List)
Texts = Annotated[tuple[Text, ...], Field(min_length=1, strict=False), _OneOrMore]
"""One text, or several; never none, which would read as if nothing were said."""

_Pair = Annotated[str, Field(pattern=r"^[^=]+=.+$")]
_PairList = Annotated[list[_Pair], Field(min_length=1)]
Pairs = Annotated[
    tuple[_Pair, ...],
    Field(min_length=1, strict=False),
    BeforeValidator(_as_list, json_schema_input_type=_Pair | _PairList),
]
_Kind = Annotated[
    str, AfterValidator(_is_kind), WithJsonSchema({"enum": list(KINDS), "type": "string"})
]
Kinds = Annotated[
    tuple[_Kind, ...],
    Field(min_length=1, strict=False),
    BeforeValidator(
        _as_list, json_schema_input_type=_Kind | Annotated[list[_Kind], Field(min_length=1)]
    ),
]
Flag = Annotated[bool, BeforeValidator(_as_flag, json_schema_input_type=bool)]
_Count = Annotated[int, Field(ge=0)]
Count = Annotated[_Count, BeforeValidator(_as_number, json_schema_input_type=_Count)]
_Share = Annotated[float, Field(gt=0, le=1)]
_Percentage = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?%$")]
Share = Annotated[_Share, BeforeValidator(_as_share, json_schema_input_type=_Percentage | _Share)]
_DurationText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?[smhd]?$")]
_Seconds = Annotated[float, Field(gt=0)]
Duration = Annotated[
    _Seconds, BeforeValidator(_as_seconds, json_schema_input_type=_DurationText | _Seconds)
]
"""Seconds, or a text such as `30d`."""
Size = Annotated[Text, BeforeValidator(_as_size, json_schema_input_type=Text | int)]

Repository = Annotated[
    Text, Field(description="The folder of the repository, or its place in object storage.")
]
SourcePlace = Annotated[Text, Field(description="Where to read: an address, a path or a name.")]
TargetPlace = Annotated[Text, Field(description="Where to write: a database or a server.")]
Artifacts = Annotated[
    ArtifactsMode,
    Field(description="Copy the files, keep only their URIs, or leave them out."),
]
Compared = Annotated[
    ArtifactDepth,
    Field(description="Compare files by SHA-256, by path and size, or not at all."),
]
OnConflictWord = Annotated[
    OnConflict,
    Field(
        description=(
            "What is there and differs: refuse everything; leave it out; copy it under a new "
            "name or id; or update what is unchanged there since it was sent."
        )
    ),
]
ArtifactRoot = Annotated[
    Text, Field(description="Where a database's files go: a directory, or a URI such as s3://b/x.")
]
UriMap = Annotated[
    Pairs,
    Field(description="`FROM=TO`: files are looked for under TO where their URI begins with FROM."),
]
AllowRoot = Annotated[
    Texts,
    Field(description="Folders that files may be read from, though the source keeps none there."),
]
Workers = Annotated[
    int,
    Field(ge=1, le=64, description="How many files, or requests to a server, at a time."),
    BeforeValidator(_as_number, json_schema_input_type=Annotated[int, Field(ge=1, le=64)]),
]
Jobs = Annotated[
    int,
    Field(
        ge=1,
        le=64,
        description="Read or fill large tables of PostgreSQL by so many connections; default: by "
        "the processors.",
    ),
    BeforeValidator(_as_number, json_schema_input_type=Annotated[int, Field(ge=1, le=64)]),
]
Processes = Annotated[
    int,
    Field(ge=1, le=256, description="Hand files to this many processes instead of threads."),
    BeforeValidator(_as_number, json_schema_input_type=Annotated[int, Field(ge=1, le=256)]),
]
Dask = Annotated[
    str, Field(description="Hand files to the workers of this Dask scheduler, or local:N.")
]
RetryTime = Annotated[
    float,
    Field(ge=0, description="For how many seconds to retry what fails at a server."),
    BeforeValidator(_as_number, json_schema_input_type=Annotated[float, Field(ge=0)]),
]
IncludeSecrets = Annotated[
    Flag, Field(description="Copy secrets too, encrypted as they are, instead of leaving them out.")
]
IncludeTables = Annotated[
    Texts, Field(description="Tables of other programs in the same database that come, too.")
]
DropUnknown = Annotated[
    Flag, Field(description="Leave out, and name, what the target's older schema has no place for.")
]
StrictArtifacts = Annotated[
    Flag, Field(description="Refuse to start if files are missing or unreadable, and name them.")
]
Orphans = Annotated[Flag, Field(description="Copy local files that no row points to, too.")]
Auth = Annotated[Text, Field(description="The database of the source's users, if elsewhere.")]
TargetAuth = Annotated[Text, Field(description="The database of the target's users, if elsewhere.")]
Registry = Annotated[Text, Field(description="Where its registered models are, if elsewhere.")]
SourceEnv = Annotated[
    Text, Field(description="What the names of variables for the source alone begin with: `DEV_`.")
]
TargetEnv = Annotated[
    Text, Field(description="What the names of variables for the target alone begin with: `PROD_`.")
]
Rename = Annotated[
    Pairs, Field(description="`OLD=NEW`: other names for experiments and registered models.")
]
RenamePrefix = Annotated[
    str, Field(description="A prefix for the names of experiments, such as `/Shared/`.")
]
ToWorkspace = Annotated[
    Text,
    Field(
        description="The workspace in the target to copy into; default: the same as in the source."
    ),
]
Undelete = Annotated[
    Flag,
    Field(description="Restore what is marked as deleted in the target, but not in the source."),
]
State = Annotated[
    Text, Field(description="The folder that remembers what was sent; or an earlier bundle.")
]
Force = Annotated[Flag, Field(description="Let the source win, whoever changed the target.")]
Rebase = Annotated[
    Flag,
    Field(description="Forget what was sent: what differs now counts as edited at the target."),
]
Html = Annotated[Text, Field(description="Write a report to this file, to open in a browser.")]
Sign = Annotated[Text, Field(description="The file of a private key that signs what is written.")]
RequireSignature = Annotated[
    Text, Field(description="The file of a public key: it must be signed with its private one.")
]


class SelectionFields(BaseModel):
    """A part of a registry, with all that it depends on; names may be globs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    experiment: Texts = Field(default=(), description="Experiments, and all they hold.")
    run: Texts = Field(default=(), description="Runs, by id.")
    model: Texts = Field(default=(), description="Registered models and prompts.")
    version: Texts = Field(
        default=(), description="Of the models only: a number in quotes, latest, @alias or a stage."
    )
    since: Text | None = Field(
        default=None, description="Runs that started at this date or time or later."
    )
    until: Text | None = Field(
        default=None, description="Runs that started at this date or time or earlier."
    )
    filter: Text | None = Field(
        default=None, description="Runs that MLflow's search finds, such as `metrics.rmse < 0.1`."
    )
    workspace: Texts = Field(default=(), description="Nothing outside these workspaces.")
    exclude_deleted: Flag = Field(
        default=False, alias="exclude-deleted", description="Nothing that is marked as deleted."
    )
    only: Kinds = Field(default=(), description="Nothing of other kinds.")
    no_parents: Flag = Field(
        default=False, alias="no-parents", description="Leave out parent runs, and name them."
    )

    def words(self) -> dict[str, Any]:
        """What it says, in the words of `Selection.from_words`."""
        return self.model_dump(by_alias=True, exclude_unset=True)


Selected = Annotated[
    SelectionFields,
    Field(description="The part to copy, with what it depends on; default: everything."),
]
