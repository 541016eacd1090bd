"""What a caller of a verb that moves something asked for, as a plan file can hold it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlporter.errors import UsageError
from mlporter.execute.options import Expected
from mlporter.redaction import redact
from mlporter.selection import Selection, as_selection
from mlporter.stores.addresses.address import place_text
from mlporter.stores.addresses.locating import locate
from mlporter.wording import command_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.execute.plan_files import PlanFile
    from mlporter.stores.addresses.address import Address, Place

__all__ = ["Request"]

_PLACES = ("auth", "registry", "target_auth")
_FOLDERS = ("artifact_root", "state", "dask")
_FILES = ("sign", "require_signature", "receipt", "html", "metrics", "notify")
_NOT_KEPT = ("dry_run", "plan_out")
_HIDDEN = "***"


@dataclass(frozen=True)
class Request:
    """A verb, its two places, and its other arguments by the names that Python callers give them.

    Attributes:
        expected: The plan file that is carried out; other actions than its are refused.
    """

    verb: str
    source: Place
    target: Place
    arguments: dict[str, Any] = field(default_factory=dict)
    expected: Expected | None = None

    @property
    def plan_out(self) -> str | None:
        """The file that the plan is to be written to."""
        return self.arguments.get("plan_out")

    @property
    def only_plans(self) -> bool:
        """Whether nothing is to be written but a plan."""
        return self.arguments["dry_run"] or self.plan_out is not None

    @property
    def lists(self) -> bool:
        """Whether every action is to be noted, for a plan file."""
        return self.plan_out is not None or self.expected is not None

    @property
    def next_command(self) -> str:
        """What carries out a plan that is written to a file, or that still holds; or nothing."""
        path = self.plan_out or (self.expected.path if self.expected is not None else "")
        return command_line("apply", [path], ()) if path and self.only_plans else ""

    def into(self, place: Address) -> Request:
        """The same into a target whose artifact root the config file knows.

        It is an argument from here on, so that a plan file holds it.
        """
        given = self.arguments
        keeps = given.get("artifacts") == "reference" or given.get("reference", False)
        if not place.artifact_root or keeps or given["artifact_root"] is not None:
            return self
        return replace(self, arguments={**given, "artifact_root": place.artifact_root})

    def header(self, origin: Address, place: Address) -> dict[str, Any]:
        """What a plan file says of it; no password is among it."""
        kept = {name: value for name, value in self.arguments.items() if name not in _NOT_KEPT}
        for name in _PLACES:
            if kept.get(name) is not None:
                kept[name] = locate(kept[name]).as_typed
        for name in (*_FOLDERS, *_FILES):
            if kept.get(name) is not None:
                kept[name] = redact(place_text(kept[name]))
        kept["allow_root"] = [place_text(root) for root in kept.get("allow_root", ())]
        kept["uri_map"] = [redact(pair) for pair in kept.get("uri_map", ())]
        selection = as_selection(kept.get("selection"))
        kept["selection"] = None if selection is None else selection.words()
        return {
            "verb": self.verb,
            "source": origin.as_typed,
            "target": place.as_typed,
            "arguments": {
                name: value for name, value in kept.items() if value not in (None, (), [])
            },
        }

    @classmethod
    def of_plan(cls, plan: PlanFile, unless_said: Mapping[str, Any]) -> Request:
        """What a plan file asks for.

        Args:
            plan: The file.
            unless_said: What its verb does unless told.

        Raises:
            UsageError: an address in it had a password, which is not kept.
        """
        given = {**unless_said, **plan.arguments}
        source, target = plan.head["source"], plan.head["target"]
        named = (given.get(name) for name in (*_PLACES, *_FOLDERS, "notify"))
        for text in (source, target, *named, *given.get("uri_map", ())):
            if text and _HIDDEN in str(text):
                raise UsageError(
                    f"was made with a password in an address, and does not contain it: {text}",
                    subject=plan.path,
                    hint="name the place in the config file, or give its log-in by variables "
                    "(PGPASSWORD, MLFLOW_TRACKING_PASSWORD …), and make a new plan",
                )
        if given.get("selection") is not None:
            given["selection"] = Selection.from_words(given["selection"])
        expected = Expected(plan.path, plan.head["digest"])
        return cls(plan.verb, source, target, given, expected)
