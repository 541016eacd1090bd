"""What notebooks show: every result, and nothing in it that a browser would take for HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

import mlporter
from mlporter.notebooks import as_html, table

HOSTILE = "<script>alert(1)</script>\"'&$\\href{javascript:x}$\u202e"


class Page(HTMLParser):
    """The tags and the texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.inside = set(), [], []
        self.feed(text)
        self.close()
        assert self.inside == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.inside.append(tag)
        assert {name for name, _ in attrs} <= {"class", "style"}

    def handle_endtag(self, tag):
        assert self.inside.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize(
    "content",
    [
        {"a": HOSTILE},
        {HOSTILE: HOSTILE},
        {"a": {"b": HOSTILE, HOSTILE: 1}},
        {"a": [{"b": HOSTILE}, {HOSTILE: "c"}]},
        {"a": [HOSTILE]},
        {"tables": {HOSTILE: {"same": 1}}},
    ],
)
def test_everything_is_escaped_wherever_it_stands(content):
    page = Page(as_html(HOSTILE, content))
    assert page.tags <= {"div", "table", "caption", "b", "tr", "th", "td"}
    text = "".join(page.texts)
    assert "<script>alert(1)</script>" in text
    assert "\u202e" not in text
    assert page.tags <= Page(table(HOSTILE, (HOSTILE,), [(HOSTILE,)])).tags | {"div", "tr", "td"}


def test_what_is_empty_is_not_shown_and_what_is_long_is_cut():
    content = {
        "exit_code": 0,
        "hint": "",
        "files": {"copied": 0, "bytes": 7},
        "tables": [{"table": "runs", "copied": 2}, {"table": "spans", "copied": 0}],
        "differences": [{"key": f"row-{at}", "detail": "x" * 1000} for at in range(200)],
        "url": "postgresql://me:s3cret-word@host/db",
    }
    texts = Page(as_html("Result", content)).texts
    assert texts[texts.index("exit code") + 1] == "0"
    assert "hint" not in texts
    assert texts[texts.index("files") + 1] == "bytes: 7"
    assert "copied" in texts
    assert "spans" not in texts
    assert any("of 200" in text for text in texts)
    assert max(map(len, texts)) <= 201
    assert "s3cret-word" not in "".join(texts)


def test_every_result_of_the_api_is_shown():
    results = {
        name: kind
        for name in mlporter.__all__
        if isinstance(kind := getattr(mlporter, name), type)
        and hasattr(kind, "as_dict")
        and name not in {"ProgressEvent", "Browsing"}
    }
    assert len(results) > 12
    assert [name for name, kind in results.items() if not hasattr(kind, "_repr_html_")] == []


def test_results_are_shown_as_they_are(plain_sqlite):
    url = plain_sqlite.tracking_uri
    planned = mlporter.export(url, "b", dry_run=True)
    texts = Page(planned._repr_html_()).texts
    rows = {table.table: table.copied for table in planned.tables}
    assert texts[texts.index("runs") + 1] == str(rows["runs"])
    texts = Page(mlporter.diff(url, url)._repr_html_()).texts
    assert texts[texts.index("identical") + 1] == "yes"
    assert plain_sqlite.model_name in Page(mlporter.inspect(url)._repr_html_()).texts
