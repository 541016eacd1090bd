"""docs/sync.md says what a kind of target cannot do as the planner's own table has it.

After a change of that table: MLPORTER_UPDATE_DOCS=1 pytest tests/docs -n 0
"""

import os
from pathlib import Path

from mlporter.catalogue import BY_NAME
from mlporter.plan.capabilities import DATABASE, DATABRICKS, SERVER, Can

PAGE = Path(__file__).parents[2] / "docs" / "sync.md"
BEGIN, END = "<!-- capabilities: made from plan/capabilities.py -->\n", "<!-- end -->\n"


def code(names) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def said(can: Can) -> str:
    words = []
    if not can.changes:
        words.append("a row cannot be changed: a conflict")
    if not can.removes:
        words.append("a row cannot be removed: it stays, and is listed")
    if can.unsettable:
        words.append(f"cannot set {code(can.unsettable)}")
    if can.made_up:
        words.append(f"makes up {code(can.made_up)} where the source has nothing")
    if can.fixed:
        words.append(f"{code(can.fixed)} cannot be changed: it is another one then")
    if can.names is not None:
        words.append(f"needs the row of `{can.names[0]}` that it names")
    words += [f"`{column}` names only `{kind}` that are there"
              for column, kind in can.may_lack.items()]  # fmt: skip
    if can.grows:
        words.append("only goes on: what it lacks comes again, what it has more of stays")
    if can.once:
        words.append(f"one that was deleted does not come again: {can.once}")
    if can.takes_along:
        words.append("does not go into the trash with runs of the target's own in it")
    return "; ".join(words)


def table() -> str:
    names = [name for name in BY_NAME if said(DATABASE.of(name))
             or said(SERVER.of(name))]  # fmt: skip
    lines = ["| table | a database | a server |\n", "|---|---|---|\n"]
    for name in names:
        there = said(SERVER.of(name))
        if SERVER.told_to_change is not None and name not in SERVER.told_to_change:
            there = f"new rows come, others stay as they are; {there}".removesuffix("; ")
        lines.append(f"| `{name}` | {said(DATABASE.of(name))} | {there} |\n")
    more = DATABRICKS.of("runs").unsettable - SERVER.of("runs").unsettable
    lines.append(f"\nDatabricks cannot set {code(more)} of runs either. ")
    lines.append(f"Tags that a server writes itself are not compared: {code(SERVER.left_tags)}, ")
    lines.append(f"and {code(DATABRICKS.left_tags - SERVER.left_tags)} on Databricks.\n")
    return "".join(lines)


def test_the_page_is_what_the_planner_asks():
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    made = head + BEGIN + table() + END + tail
    if "MLPORTER_UPDATE_DOCS" in os.environ:
        PAGE.write_text(made, encoding="utf-8")
    assert text == made or "MLPORTER_UPDATE_DOCS" in os.environ
