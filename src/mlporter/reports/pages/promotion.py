"""The report of `promote`: gates, candidate and champion, what moved, and the receipt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlporter.reports import limits
from mlporter.reports.chart import NOTHING, short_number
from mlporter.reports.page import (
    Block,
    Card,
    Cell,
    Charts,
    Facts,
    Notes,
    Page,
    Paragraph,
    Section,
    Tile,
    Verdict,
    table,
)
from mlporter.reports.pages.parts import chart_of, kept, signature_table, tag_table
from mlporter.reports.reading.contents import Tags
from mlporter.reports.reading.signature import signature_of
from mlporter.reports.texts import cut, in_words, time_text
from mlporter.wording import human_bytes, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlporter.errors import MlporterError
    from mlporter.execute.result import Result
    from mlporter.promotion.asked import VersionResult
    from mlporter.promotion.checks.facts import VersionFacts
    from mlporter.promotion.checks.gates import GateResult
    from mlporter.reports.page import Row
    from mlporter.reports.reading.candidates import Candidate
    from mlporter.verbs.promoting.promotion_result import PromotionResult

__all__ = ["promotion_page", "refusal_page"]

_HEADS = {
    "promoted": "Promoted",
    "planned": "Would promote",
    "already promoted": "Already promoted",
}
_CONFLICTS = 15


def promotion_page(
    result: PromotionResult, candidates: Sequence[Candidate], problems: Sequence[str]
) -> Page:
    """The report of a promotion, or of the plan of one."""
    by_source = {f"models:/{one.facts}": one for one in candidates}
    parts = [(one, by_source.get(one.source)) for one in result.versions]
    refused = [line for one in result.transfers for line in _refused(one)]
    left = [f"{one.kind} {one.id} {one.path}: {one.detail}" for one in result.left_out]
    wrong = _notes([*refused, *left, *problems], "warn")
    return Page(
        "promote",
        "Promotion of a model",
        _verdict(result, refused),
        (("From", result.source), ("To", result.target)),
        tuple(_tiles(result)),
        (
            Section("wrong", "What to know", kept(wrong)),
            *_versions([(f"{one.source} as {one.target}", one, of) for one, of in parts]),
            Section("moved", "What was copied", kept(*_carried(result))),
        ),
    )


def refusal_page(
    source: str,
    target: str,
    error: MlporterError,
    candidates: Sequence[Candidate],
    problems: Sequence[str],
) -> Page:
    """The report of a promotion that ended early: why, and what is known of the version."""
    closed = sum(not gate.passed for one in candidates for gate in one.gates)
    passed = sum(gate.passed for one in candidates for gate in one.gates)
    count = "1 gate is" if closed == 1 else f"{closed} gates are"
    text = f"Refused: {count} closed" if closed else "Not promoted"
    return Page(
        "promote",
        "Promotion of a model",
        Verdict(text, "bad", cut(f"{error.subject or ''}: {error.message}".lstrip(": "))),
        (("From", source), ("To", target)),
        (Tile(f"{closed:,}", "gates closed"), Tile(f"{passed:,}", "gates passed")),
        (
            Section("why", "Why not", kept(_notes(error.reasons, "bad"), _hint(error))),
            Section("unread", "What could not be read", kept(_notes(problems, "warn"))),
            *_versions([(f"models:/{one.facts}", None, one) for one in candidates]),
        ),
    )


def _verdict(result: PromotionResult, refused: Sequence[str]) -> Verdict:
    if refused:
        return Verdict(f"Would be refused: {plural(len(refused), 'reason')}", "bad")
    statuses = {one.status for one in result.versions}
    head = _HEADS.get(next(iter(statuses), ""), "Promoted") if len(statuses) == 1 else "Done"
    if len(result.versions) == 1:
        one = result.versions[0]
        text = f"{head} {one.source} as {one.target}"
    else:
        text = f"{head}: {in_words([(len(result.versions), 'version')])}"
    if result.dry_run:
        return Verdict(text, "good", "This is a plan: nothing was written.")
    if result.left_out:
        return Verdict(text, "warn", f"{plural(len(result.left_out), 'thing')} was left out.")
    return Verdict(text, "good")


def _tiles(result: PromotionResult) -> Iterator[Tile]:
    gates = [gate for one in result.versions for gate in one.gates]
    yield Tile(f"{sum(gate.passed for gate in gates):,} of {len(gates):,}", "gates passed")
    yield Tile(f"{sum(one.files for one in result.versions):,}", "files of the model")
    yield Tile(human_bytes(sum(one.bytes for one in result.versions)), "size")
    moved = sum(len(one.pointers.aliases) + len(one.pointers.stages) for one in result.versions)
    yield Tile(f"{moved:,}", "aliases and stages " + ("to move" if result.dry_run else "moved"))


def _versions(
    parts: Sequence[tuple[str, VersionResult | None, Candidate | None]],
) -> Iterator[Section]:
    """The sections of one version; of several each in a card."""
    if len(parts) == 1:
        (_, result, candidate) = parts[0]
        for id_, title, blocks in _parts(result, candidate, ""):
            yield Section(id_, title, blocks)
        return
    cards = []
    for at, (name, result, candidate) in enumerate(parts):
        inner = [
            Card(title, blocks, is_open=True)
            for _, title, blocks in _parts(result, candidate, f"-{at}")
            if blocks
        ]
        cards.append(Card(cut(name), tuple(inner), is_open=at == 0))
    yield Section("versions", "Versions", tuple(cards))


def _parts(
    result: VersionResult | None, candidate: Candidate | None, suffix: str
) -> Iterator[tuple[str, str, tuple[Block, ...]]]:
    """What is said of a version: id, title and blocks of each part."""
    gates = result.gates if result is not None else candidate.gates if candidate else ()
    yield f"gates{suffix}", "Gates", kept(_gates(gates))
    if result is not None:
        yield f"pointers{suffix}", "Aliases and stages", kept(_pointers(result))
    if candidate is not None:
        yield f"champion{suffix}", "Candidate and champion", kept(*_compared(candidate, suffix))
        yield f"model{suffix}", "The model", kept(*_model(candidate.facts, result))
    if result is not None and result.receipt is not None:
        yield f"receipt{suffix}", "Receipt", kept(_receipt(result))


def _gates(gates: Sequence[GateResult]) -> Block | None:
    rows = (
        (
            Cell("✓ passed", "good") if gate.passed else Cell("✗ closed", "bad"),
            Cell(cut(gate.gate)),
            cut(gate.wanted),
            cut(gate.found),
        )
        for gate in gates
    )
    return table("Gates", ["Verdict!", "Gate", "Wanted", "Found"], rows, "gates") or Paragraph(
        "No gate was asked for."
    )


def _pointers(result: VersionResult) -> Block | None:
    def named(number: int | None) -> str:
        return "nothing" if number is None else f"version {number}"

    rows: list[Row] = [
        (Cell(f"@{alias}"), named(before), named(after))
        for alias, (before, after) in result.pointers.aliases.items()
    ]
    rows += [
        (Cell(f"Stage of version {number}"), before, after)
        for number, (before, after) in result.pointers.stages.items()
    ]
    return table("What moves", ["What", "Before", "After"], rows, "pointers") or Paragraph(
        "No alias and no stage moves."
    )


def _compared(candidate: Candidate, suffix: str) -> Iterator[Block | None]:
    yield _notes(candidate.notes, "warn")
    mine, champion = candidate.facts, candidate.champion
    theirs: Mapping[str, float] = champion.metrics if champion is not None else {}
    if champion is None:
        yield Paragraph("The target has no version that it could be held against.")
    else:
        yield Paragraph(f"The champion is models:/{champion}, by {candidate.champion_name}.")
    rows = [
        (Cell(cut(key)), *_numbers(mine.metrics.get(key), theirs.get(key)))
        for key in sorted({*mine.metrics, *theirs})
    ]
    names = ["Metric", "Candidate#", "Champion#", "Difference#"]
    yield table("Last values of metrics", names, rows, "metrics", most=limits.LINES)
    charts = [
        _chart(candidate, key, f"curve{suffix}-{at}") for at, key in enumerate(_keys(candidate))
    ]
    drawn = tuple(chart for chart in charts if chart is not None)
    if drawn:
        more = len(drawn) - limits.CHARTS
        note = f"{plural(more, 'more metric')} with curves are not shown." if more > 0 else ""
        yield Charts(drawn[: limits.CHARTS], note)
    yield _params(mine, champion)


def _numbers(mine: float | None, theirs: float | None) -> tuple[str, str, str]:
    texts = [NOTHING if value is None else short_number(value) for value in (mine, theirs)]
    if mine is None or theirs is None or not math.isfinite(mine - theirs):
        return texts[0], texts[1], ""
    change = short_number(mine - theirs)
    return texts[0], texts[1], change if mine <= theirs else f"+{change}"


def _keys(candidate: Candidate) -> list[str]:
    curves = (*candidate.curves.curves, *candidate.champion_curves.curves)
    return sorted({key for _, key in curves})


def _chart(candidate: Candidate, key: str, id_: str) -> Any:  # noqa: ANN401 -- a chart or None
    sides = (
        ("Candidate", candidate.curves, candidate.facts),
        ("Champion", candidate.champion_curves, candidate.champion),
    )
    series = [
        (name, curves.curves[facts.run_id, key])
        for name, curves, facts in sides
        if facts is not None and facts.run_id and (facts.run_id, key) in curves.curves
    ]
    return chart_of(id_, key, series)


def _params(mine: VersionFacts, champion: VersionFacts | None) -> Block | None:
    theirs: Mapping[str, str] = champion.params if champion is not None else {}
    rows = [
        (
            Cell(cut(key)),
            Cell(cut(mine.params.get(key, NOTHING))),
            Cell(cut(theirs.get(key, NOTHING))),
            "" if mine.params.get(key) == theirs.get(key) else "differs",
        )
        for key in sorted({*mine.params, *theirs})
    ]
    found = table(
        "Parameters", ["Parameter", "Candidate", "Champion", ""], rows, "parameters",
        most=limits.LINES,
    )  # fmt: skip
    return None if found is None else Card("Parameters", (found,), plural(len(rows), "parameter"))


def _model(facts: VersionFacts, result: VersionResult | None) -> Iterator[Block | None]:
    run = facts.run
    said = [
        ("Version", f"models:/{facts}"),
        ("Description", cut(str(facts.row.get("description") or ""))),
        ("Flavors", ", ".join(facts.flavors)),
        ("Size", f"{plural(len(facts.files), 'file')}, {human_bytes(facts.size)}"),
        ("Run", "" if run is None else f"{run.get('name') or ''} {facts.run_id}".strip()),
        ("Run ended", "" if run is None else time_text(run.get("end_time"))),
        ("Run status", "" if run is None else str(run.get("status") or "")),
        ("Files that Python unpickles", cut(", ".join(facts.pickles))),
        ("Load check", "" if result is None else result.load_check),
    ]
    yield Facts(tuple(one for one in said if one[1]))
    yield signature_table(signature_of(facts.mlmodel), "Model signature")
    yield tag_table(_first_tags(facts.tags), "Tags of the version")
    sums = _sums(result)
    rows = (
        (
            Cell(cut(one.path), is_code=True),
            human_bytes(one.size),
            Cell(sums.get(one.path, ""), is_code=True),
        )
        for one in facts.files
    )
    names = ["File", "Size#", *(["SHA-256"] if sums else [])]
    files = table(
        "Files", names, (row if sums else row[:2] for row in rows), "files", most=limits.FILES
    )
    if files is not None:
        yield Card("Files of the model", (files,), plural(len(facts.files), "file"))


def _first_tags(tags: Mapping[str, str]) -> Tags:
    first = tuple((key, cut(value)) for key, value in list(tags.items())[: limits.TAGS])
    return Tags(first, len(tags))


def _sums(result: VersionResult | None) -> Mapping[str, str]:
    if result is None or result.receipt is None:
        return {}
    sums: Mapping[str, str] = result.receipt.data["files"]["sha256"]
    return sums


def _receipt(result: VersionResult) -> Block | None:
    if result.receipt is None:
        return None
    data = result.receipt.data
    said = [
        ("Id", str(data["id"])),
        ("When", str(data["promoted_at"])),
        ("By", str(data["promoted_by"])),
        ("mlporter", str(data["mlporter_version"])),
        ("Digest of the files", str(data["files"]["digest"])),
        ("Signature", str(data["signature"])),
        ("Kept at", result.stored),
    ]
    return Facts(tuple(one for one in said if one[1]))


def _carried(result: PromotionResult) -> Iterator[Block | None]:
    for one in result.transfers:
        rows = [
            (cut(entry.table.replace("_", " ")), entry.copied, entry.already_there, entry.skipped)
            for entry in one.tables
            if entry.copied or entry.already_there or entry.skipped
        ]
        copied = "To copy#" if result.dry_run else "Copied#"
        yield table("Rows", ["Table", copied, "Already there#", "Skipped#"], rows, "tables")
    receipts = [("Receipt", path) for path in result.receipts]
    if receipts:
        back = f"mlporter promote --undo {result.receipts[-1]}"
        yield Facts((*receipts, ("The way back", back)))


def _refused(transfer: Result) -> Iterator[str]:
    yield from (str(conflict) for conflict in transfer.conflicts[:_CONFLICTS])
    yield from transfer.misfits[:_CONFLICTS]


def _notes(lines: Sequence[str], tone: Any) -> Block | None:  # noqa: ANN401 -- a tone
    shown = tuple(map(cut, lines[: limits.LINES]))
    return Notes(shown, len(lines), "lines", tone) if lines else None


def _hint(error: MlporterError) -> Block | None:
    return Paragraph(f"{error.hint[:1].upper()}{error.hint[1:]}.") if error.hint else None
