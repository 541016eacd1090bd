"""What a caller of `import_`, `copy` or `sync` asked for, as a plan file can hold it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlporter.bundle.signing import check_manifest
from mlporter.errors import UsageError
from mlporter.execute.options import Expected, TransferOptions
from mlporter.plan.policy import InStep, Policy
from mlporter.redaction import redact
from mlporter.selection import as_selection
from mlporter.stores.addresses.address import AddressKind, place_text
from mlporter.stores.addresses.locating import locate, locate_users
from mlporter.stores.opening import bundle_address
from mlporter.verbs.moving.transfer import transfer

if TYPE_CHECKING:
    from mlporter.execute.result import Result
    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Address, Place

__all__ = ["Request"]

_PLACES = ("auth", "registry", "target_auth")
_FOLDERS = ("artifact_root", "state")
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

    def run(self, on_progress: OnProgress) -> Result:
        """Plan it, and carry it out unless only a plan is asked for.

        Raises:
            MlporterError: as `import_` and `copy` say.
        """
        given = self.arguments
        origin = locate(self.source, given.get("source_env"))
        place = locate(self.target, given.get("target_env"))
        if self.verb == "import" and origin.kind is not AddressKind.BUNDLE:
            raise UsageError("import reads a bundle", subject=str(origin), hint="use mlporter copy")
        if given.get("require_signature") is not None:
            check_manifest(Path(bundle_address(origin)), given["require_signature"])
        return transfer(self.verb, origin, place, self._options(origin, place), on_progress)

    def _options(self, origin: Address, place: Address) -> TransferOptions:
        given = self.arguments

        def users(name: str, side: Address) -> Address | None:
            return None if given.get(name) is None else locate_users(given[name], side)

        def text(name: str) -> str | None:
            return None if given.get(name) is None else place_text(given[name])

        return TransferOptions(
            text("artifact_root"),
            given["artifacts"],
            tuple(given["uri_map"]),
            given["workers"],
            self._policy(),
            as_selection(given["selection"]),
            include_secrets=given["include_secrets"],
            strict_artifacts=given["strict_artifacts"],
            dry_run=given["dry_run"] or given.get("plan_out") is not None,
            retry_time=given["retry_time"],
            orphans=given.get("orphans", False),
            auth=users("auth", origin),
            registry=users("registry", origin),
            target_auth=users("target_auth", place),
            include_tables=tuple(given["include_tables"]),
            source_env=given.get("source_env"),
            target_env=given.get("target_env"),
            allow_root=tuple(map(place_text, given.get("allow_root", ()))),
            state=text("state"),
            plan_out=given.get("plan_out"),
            expected=self.expected,
            header=self._header(origin, place),
        )

    def _policy(self) -> Policy:
        given = self.arguments
        is_sync = self.verb == "sync"
        return Policy(
            "update" if is_sync else given["on_conflict"],
            tuple(given["rename"]),
            given["to_workspace"],
            given["rename_prefix"],
            undelete=given.get("undelete", False),
            step=InStep(
                delete=given["delete"],
                max_delete=given["max_delete"],
                prefer=given["prefer"],
                full=given["full"],
            )
            if is_sync
            else None,
            force=given["force"],
            rebase=given["rebase"],
            drop_unknown=given.get("drop_unknown", False),
        )

    def _header(self, origin: Address, place: Address) -> dict[str, Any]:
        """What a plan file says of it; no password is among it."""
        kept = {name: value for name, value in self.arguments.items() if name not in _NOT_KEPT}
        for name in _PLACES:
            if kept.get(name) is not None:
                kept[name] = locate(kept[name]).as_typed
        for name in _FOLDERS:
            if kept.get(name) is not None:
                kept[name] = redact(place_text(kept[name]))
        kept["allow_root"] = [place_text(root) for root in kept.get("allow_root", ())]
        kept["uri_map"] = [redact(pair) for pair in kept.get("uri_map", ())]
        selection = as_selection(kept["selection"])
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
    def of_plan(cls, head: dict[str, Any], subject: str) -> Request:
        """What a plan file asks for.

        Raises:
            UsageError: an address in it had a password, which is not kept.
        """
        given = dict(_DEFAULTS) | head["arguments"]
        named = (given.get(name) for name in (*_PLACES, *_FOLDERS))
        for text in (head["source"], head["target"], *named, *given["uri_map"]):
            if text and _HIDDEN in str(text):
                raise UsageError(
                    f"was made with a password in an address, and does not contain it: {text}",
                    subject=subject,
                    hint="name the place in the config file, or give its log-in by variables "
                    "(PGPASSWORD, MLFLOW_TRACKING_PASSWORD …), and make a new plan",
                )
        return cls(
            head["verb"], head["source"], head["target"], given, Expected(subject, head["digest"])
        )


_DEFAULTS: dict[str, Any] = {
    "artifacts": "copy",
    "uri_map": (),
    "workers": 4,
    "selection": None,
    "include_secrets": False,
    "strict_artifacts": False,
    "dry_run": False,
    "retry_time": 120.0,
    "include_tables": (),
    "on_conflict": "fail",
    "rename": (),
    "to_workspace": None,
    "rename_prefix": "",
    "delete": False,
    "max_delete": None,
    "prefer": None,
    "full": False,
    "force": False,
    "rebase": False,
}
"""What is meant where a plan file does not say it."""
