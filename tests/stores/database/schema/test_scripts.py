from __future__ import annotations

from pathlib import Path

from mlporter.catalogue import BY_NAME
from mlporter.stores.database.schema.scripts import (
    in_chain,
    installed_head,
    installed_mlflow,
    installed_scripts,
)


def test_the_installed_revisions_are_those_of_alembic():
    import mlflow  # noqa: PLC0415 -- takes seconds
    from alembic.script import ScriptDirectory  # noqa: PLC0415 -- beside MLflow

    folder = Path(mlflow.__file__).parent / "store" / "db_migrations"
    scripts = ScriptDirectory(str(folder))
    assert installed_head() == scripts.get_current_head()
    walked = [script.revision for script in scripts.walk_revisions()]
    assert list(installed_scripts().revisions) == walked[::-1]
    assert installed_mlflow() == mlflow.__version__


def test_the_installed_tables_are_mlflow_s():
    assert {"runs", "spans", "webhooks", "workspaces"} <= installed_scripts().tables
    assert not {"alembic_version", "dag"} & installed_scripts().tables
    assert len(installed_scripts().tables & set(BY_NAME)) > len(BY_NAME) / 2


def test_a_chain_may_part_and_join():
    chain = in_chain({"d": ("b", "c"), "c": ("a",), "b": ("a",), "a": ()})
    assert (chain[0], {*chain[1:3]}, chain[3]) == ("a", {"b", "c"}, "d")


def test_two_heads_are_no_chain():
    assert in_chain({"c": ("a",), "b": ("a",), "a": ()}) == ()
