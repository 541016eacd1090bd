"""Files that name ids: what does not change stays byte for byte, and what does changes alone."""

from __future__ import annotations

import base64
import io
import json

import pytest

from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.id_strings import with_new_ids

OLD, NEW = f"tr-{'1a' * 16}", f"tr-{'2b' * 16}"
RUN, MODEL = "3c" * 16, f"m-{'4d' * 16}"


def packed(trace: str) -> str:
    return base64.b64encode(bytes.fromhex(trace.removeprefix("tr-"))).decode()


def span(trace: str, said: str = "é ✓") -> dict[str, object]:
    """A span as MLflow writes it."""
    attributes = {
        "mlflow.traceRequestId": json.dumps(trace),
        "mlflow.spanOutputs": json.dumps(said, ensure_ascii=False),
    }
    return {"trace_id": packed(trace), "span_id": "AAE=", "x": 1.50, "attributes": attributes}


STYLES = {
    "as MLflow writes it": {"ensure_ascii": False},
    "as Python writes it": {},
    "narrow": {"ensure_ascii": False, "separators": (",", ":")},
    "indented": {"indent": 2},
}


def changed(path: str, content: bytes, **ids: dict[str, str]) -> bytes:
    return with_new_ids(path, io.BytesIO(content), IdMap(ids=ids)).read()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("ids", [{}, {"trace_info": {NEW: OLD}}], ids=["no ids", "other ids"])
def test_a_trace_whose_id_stays_is_copied_byte_for_byte(style, ids):
    content = json.dumps({"spans": [span(OLD)]}, **STYLES[style]).encode() + b"\n"
    assert changed("traces.json", content, **ids) == content


@pytest.mark.parametrize("style", STYLES)
def test_of_a_trace_with_a_new_id_only_the_id_changes(style):
    before, after = ({"spans": [span(one), span(one, "")], "more": OLD} for one in (OLD, NEW))
    content = json.dumps(before, **STYLES[style]).encode()
    wanted = json.dumps(after, **STYLES[style]).encode()
    assert changed("a/traces.json", content, trace_info={OLD: NEW}) == wanted


@pytest.mark.parametrize("content", [b"", b"\xff\xfe{}", b"{", b"[]", b'{"spans": 1}', b"null"])
def test_what_is_no_trace_stays(content):
    assert changed("traces.json", content, trace_info={OLD: NEW}) == content


def test_a_model_description_keeps_everything_but_its_ids():
    content = f"flavors:\r\n  a: 'é'\r\nrun_id: {RUN}\r\nmodel_id: {MODEL}\r\n# \xff".encode(
        "latin-1"
    )
    ids = {"runs": {RUN: "5e" * 16}, "logged_models": {MODEL: f"m-{'6f' * 16}"}}
    wanted = content.replace(b"3c" * 16, b"5e" * 16).replace(b"m-" + b"4d" * 16, b"m-" + b"6f" * 16)
    assert changed("m/MLmodel", content, **ids) == wanted
    assert changed("m/MLmodel", content) == content
