"""What of a server is fetched already, and how the rest gets there: only what is asked for."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from itertools import chain
from math import ceil
from threading import RLock
from typing import TYPE_CHECKING, Any

from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue.tables.system import DEFAULT_WORKSPACE
from mlporter.errors import AccessDeniedError
from mlporter.stores.protocols import Among
from mlporter.stores.rest.answers import ApiError, MissingEndpointError
from mlporter.stores.server.reading import calls
from mlporter.stores.server.reading.edges import Edges
from mlporter.stores.server.reading.gathering import Gatherer
from mlporter.stores.server.reading.metric_histories import Histories
from mlporter.stores.server.reading.probing import may_have_any
from mlporter.stores.server.reading.rows import traces as trace_rows
from mlporter.stores.server.reading.spans import Spans
from mlporter.stores.server.table_families import (
    BY_EXPERIMENT,
    ID_COLUMNS,
    OF_ACTIVE,
    WHOLE,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mlporter.errors import LeftOut
    from mlporter.progress import OnProgress
    from mlporter.stores.database.scratch_registry import ScratchRegistry
    from mlporter.stores.rest.client import Client, Json
    from mlporter.stores.server.capabilities import Capabilities
    from mlporter.stores.server.reading.rows import Rows

__all__ = ["Fetcher"]

_AT_ONCE = 20
"""Experiments whose runs or logged models are asked for in one search, at most: fewer where there
are so few that some workers would have none."""
_FEW = 200
"""Single objects that are fetched one by one; of more, all that there are are fetched."""


class Fetcher:
    """Fetches what is needed for a read, once.

    Args:
        client: Of the server.
        can: What it can do.
        scratch: Where the rows go.
        workers: Requests at a time.
        on_progress: Called with how many rows have come.
    """

    def __init__(
        self,
        client: Client,
        can: Capabilities,
        scratch: ScratchRegistry,
        workers: int,
        on_progress: OnProgress,
    ) -> None:
        self._client = client
        self._can = can
        self._scratch = scratch
        self._gather = Gatherer(scratch, workers, on_progress)
        self.unknown = self._gather.unknown
        self._lock = RLock()
        self._done: set[str] = set()
        self._experiments: dict[str, set[int]] = defaultdict(set)
        self._tried: dict[str, set[str]] = defaultdict(set)
        self._scope: frozenset[int] | None = None
        self._clients = [client.within(name) for name in can.workspaces] or [client]
        self._home: dict[int, Client] = {}
        self.histories = Histories(
            scratch, self._gather, self._client_of, bulk=can.may("metric histories in bulk")
        )
        self._spans = Spans(scratch, self._gather, self._client_of)
        self._edges = Edges(scratch, self._gather, self._client_of)
        self._models_known: bool | None = None  # whether there are any
        self.deleted: set[int] = set()
        """Experiments that are deleted."""
        self.unlisted = 0
        """Experiments whose label schemas could not be listed without changing them."""

    @property
    def failed(self) -> list[LeftOut]:
        """What could not be read so far."""
        return self._gather.failed

    def narrow(self, experiments: Iterable[int]) -> None:
        """From now on, whole tables are those of some experiments, and what is asked for by id."""
        self._scope = frozenset(experiments)

    def need(self, table: str, among: Among | None) -> None:
        """Have the rows of a table in the scratch registry, or those in `among`."""
        with self._lock:
            self._need(table, among)
            self._gather.settle()

    def _need(self, table: str, among: Among | None) -> None:
        for family, tables in WHOLE.items():
            if table in tables:
                self._whole(family)
        for family, tables in BY_EXPERIMENT.items():
            if table in tables:
                self._part(family, table, among)
        if table == "metrics":
            self._need("runs", among)
            self._gather.settle()
            self.histories.of_runs(among)
        elif table == "spans":
            renamed = among
            if among is not None and among.column == "trace_id":
                renamed = Among("request_id", among.values)
            self._need("trace_info", renamed)
            self._gather.settle()
            self._spans.of_traces(among)
        elif table == "entity_associations":
            self._whole("evaluation datasets")
            self._part("runs", table, None)
            self._part("traces", table, None)
            self._gather.settle()
            self._try("traces", self._edges.to_traces)
        elif table == "inputs" and self._has_models():
            self._gather.settle()
            self._edges.to_models()

    # --- Whole families ---------------------------------------------------------------------------

    def _whole(self, family: str) -> None:
        if family in self._done:
            return
        self._done.add(family)
        fetchers: dict[str, Callable[[], None]] = {
            "experiments": self._all_experiments,
            "workspaces": self._all_workspaces,
            "registered models": self._registry,
            "webhooks": partial(self._everywhere, "webhooks", calls.webhooks),
            "evaluation datasets": self._datasets,
            "gateway": self._gateway,
            "MCP servers": partial(self._everywhere, "MCP servers", calls.mcp_servers),
            "skills": partial(self._everywhere, "skills", calls.skill_registry),
        }
        self._try(family, fetchers[family])

    def _try(self, family: str, fetch: Callable[[], None]) -> None:
        """Fetch what the server may have."""
        if not self._can.may(family) and family != "workspaces":
            return
        try:
            fetch()
        except MissingEndpointError:
            self._can.has[family] = False
        except AccessDeniedError as error:
            if family == "experiments":
                raise  # without them there is nothing
            self._gather.fail(family, "all", "denied", error.message)
        except ApiError as error:
            self._gather.fail(family, "all", "unreadable", error.message)

    def _everywhere(self, kind: str, fetch: Callable[[Client], Iterable[Rows]]) -> None:
        self._gather.each(kind, self._clients, fetch, calls.workspace_of)
        self._gather.settle()

    def _all_experiments(self) -> None:
        def fetch(client: Client) -> Iterator[Rows]:
            for rows in calls.experiments(client):
                for row in rows["experiments"]:
                    self._home[row["experiment_id"]] = client
                    if row["lifecycle_stage"] == "deleted":
                        self.deleted.add(row["experiment_id"])
                yield rows

        for client in self._clients:
            for rows in fetch(client):
                self._gather.put(rows)
        self._gather.settle()

    def _all_workspaces(self) -> None:
        if self._can.workspaces:
            self._gather.each("workspaces", [self._client], calls.workspaces)
        else:
            # As MLflow's own migration makes it; without workspaces nobody can change it.
            row = dict(DEFAULT_WORKSPACE)
            self._gather.put({"workspaces": [row]})

    def _registry(self) -> None:
        self._everywhere("registered models", calls.registered_models)
        for client in self._clients:
            pages = chain.from_iterable(calls.model_versions(client))
            self._gather.each("model version", pages, partial(calls.model_version, client), _name)

    def _datasets(self) -> None:
        for client in self._clients:
            found = chain.from_iterable(calls.datasets(client))
            self._gather.each("evaluation dataset", found, partial(calls.dataset, client), _name)

    def _gateway(self) -> None:
        from mlporter.stores.server.reading.rows import gateway, merged  # noqa: PLC0415

        for client in self._clients:
            found = list(chain.from_iterable(calls.endpoints(client)))
            home = calls.workspace_of(client)
            self._gather.put(merged(gateway.endpoint(one, home) for one in found))
            ids = [one["endpoint_id"] for one in found]
            for family, fetch in (
                ("gateway", calls.gateway_rest),
                ("budgets", calls.budgets),
                ("guardrails", partial(calls.guardrails, endpoint_ids=ids)),
            ):
                one = partial(self._gather.each, family, [client], fetch, calls.workspace_of)
                self._try(family, one)

    # --- By experiment ----------------------------------------------------------------------------

    def _part(self, family: str, table: str, among: Among | None) -> None:
        """Fetch what of a family lies in the experiments, or has the ids, that are asked for."""
        self._whole("experiments")
        if among is not None and among.column == "experiment_id":
            self._of(family, {int(id_) for id_ in among.values} & set(self._home))
            return
        is_by_id = among is not None and among.column == ID_COLUMNS.get(table)
        if among is not None and is_by_id and self._by_id(family, among):
            return
        self._of(family, set(self._home) if self._scope is None else self._scope & set(self._home))

    def _of(self, family: str, experiments: Iterable[int]) -> None:
        wanted = sorted(set(experiments) - self._experiments[family])
        if not wanted:
            return
        self._experiments[family].update(wanted)
        fetchers: dict[str, Callable[[Sequence[int]], None]] = {
            "runs": partial(self._searched, "runs", calls.runs, "runs", "run_uuid"),
            "logged models": partial(
                self._searched, "logged models", calls.logged_models, "logged_models", "model_id"
            ),
            "traces": self._traces,
            "issues": partial(self._each_experiment, "issues", calls.issues),
            "scorers": self._scorers,
            "review queues": self._review,
        }
        if family in OF_ACTIVE:
            wanted = [id_ for id_ in wanted if id_ not in self.deleted]
        wanted = list(may_have_any(family, self._can, self._batches(wanted)))
        fetch = partial(fetchers[family], wanted)
        if family == "traces" and not self._can.may("traces"):
            family = "old traces"
        self._try(family, fetch)
        self._gather.settle()

    def _searched(
        self,
        kind: str,
        search: Callable[[Client, Sequence[int]], Iterable[Rows]],
        table: str,
        column: str,
        experiments: Sequence[int],
    ) -> None:
        """Fetch by searches over several experiments of one workspace each."""
        tried = self._tried[kind]

        def fetch(asked: tuple[Client, Sequence[int]]) -> Iterator[Rows]:
            for rows in search(*asked):
                yield without(rows, table, column, tried) if tried else rows

        most = min(_AT_ONCE, ceil(len(experiments) / self._gather.workers)) or 1
        self._gather.each(kind, self._batches(experiments, most), fetch, _experiments_of)

    def _batches(
        self, experiments: Sequence[int], most: int = _AT_ONCE
    ) -> Iterator[tuple[Client, list[int]]]:
        """Experiments in batches of one workspace; `most` each, so that workers share them."""
        by_home: dict[int, tuple[Client, list[int]]] = {}
        for id_ in experiments:
            client = self._home[id_]
            by_home.setdefault(id(client), (client, []))[1].append(id_)
        for client, ids in by_home.values():
            for at in range(0, len(ids), most):
                yield client, ids[at : at + most]

    def _each_experiment(
        self,
        kind: str,
        fetch: Callable[[Client, int], Iterable[Rows]],
        experiments: Sequence[int],
    ) -> None:
        self._gather.each(kind, experiments, lambda id_: fetch(self._home[id_], id_), _experiment)

    def _traces(self, experiments: Sequence[int]) -> None:
        if not self._can.may("traces"):
            self._each_experiment("traces", calls.old_traces, experiments)
            return
        tried = self._tried["traces"]

        def fetch(client: Client, id_: int) -> Iterator[Rows]:
            for page in calls.found_traces(client, id_):
                for found in page:
                    if found["trace_id"] not in tried:
                        yield self._trace(found)

        self._each_experiment("traces", fetch, experiments)

    def _trace(self, found: Json) -> Rows:
        rows = trace_rows.trace(found)
        rows["entity_associations"] += trace_rows.prompts_of(found)["entity_associations"]
        return rows

    def _scorers(self, experiments: Sequence[int]) -> None:
        self._whole("gateway")
        self._gather.settle()
        found = self._scratch.reader.read("endpoints", ("name", "endpoint_id"))
        endpoints: dict[str, str] = dict(chain.from_iterable(map(python_rows, found)))
        fetch = partial(calls.scorers, endpoints=endpoints)
        self._each_experiment("scorers", fetch, experiments)

    def _review(self, experiments: Sequence[int]) -> None:
        def fetch(client: Client, id_: int) -> Iterator[Rows]:
            listable = self._can.may("label schemas") and calls.has_default_schema(client, id_)
            self.unlisted += not listable
            return calls.review(client, id_, listable=listable)

        self._each_experiment("review queues", fetch, experiments)

    def _client_of(self, experiment: int) -> Client:
        return self._home.get(experiment, self._clients[0])

    def _has_models(self) -> bool:
        """Whether there is any logged model that a run may have used."""
        if self._models_known is None:
            self._models_known = False
            self._try("logged models", self._look_for_models)
        return self._models_known

    def _look_for_models(self) -> None:
        batches = self._batches(sorted(self._home))
        self._models_known = any(calls.has_logged_models(*batch) for batch in batches)

    # --- By id ------------------------------------------------------------------------------------

    def _by_id(self, family: str, among: Among) -> bool:
        """Fetch single objects; whether all that were asked for are there now, or nowhere."""
        head = {"runs": "runs", "logged models": "logged_models", "traces": "trace_info"}[family]
        column = ID_COLUMNS[head]
        wanted = {str(value) for value in among.values} - self._tried[family]
        if wanted and not self._experiments[family] >= set(self._home):
            self._gather.settle()
            there = Among(column, tuple(sorted(wanted)))
            for batch in self._scratch.reader.read(head, (column,), there):
                wanted.difference_update(batch.column(0).to_pylist())
            if len(wanted) > _FEW:
                return False
            self._tried[family] |= wanted
            fetch = {"runs": self._run, "logged models": self._model, "traces": self._one_trace}
            self._gather.each(family, sorted(wanted), fetch[family])
        return True

    def _run(self, id_: str) -> Iterator[Rows]:
        return self._anywhere(lambda client: calls.run(client, id_))

    def _model(self, id_: str) -> Iterator[Rows]:
        return self._anywhere(lambda client: calls.logged_model(client, id_))

    def _one_trace(self, id_: str) -> Iterator[Rows]:
        return self._anywhere(lambda client: [self._trace(calls.trace(client, id_))])

    def _anywhere(self, fetch: Callable[[Client], Iterable[Rows]]) -> Iterator[Rows]:
        """What the first workspace that has it gives; nothing, if it is nowhere."""
        for client in self._clients:
            try:
                yield from fetch(client)
            except MissingEndpointError:  # noqa: PERF203 -- a few workspaces
                return
            except ApiError as error:
                if error.status != _NOT_FOUND:
                    raise
            else:
                return


_NOT_FOUND = 404


def _name(found: Any) -> str:  # noqa: ANN401 -- JSON
    return str(found.get("name"))


def _experiment(id_: int) -> str:
    return f"experiment {id_}"


def _experiments_of(asked: tuple[Client, Sequence[int]]) -> str:
    return f"experiments {', '.join(map(str, asked[1]))}"
