"""Ids of spans, which a server's answers give in Base64 or in hexadecimal digits."""

from __future__ import annotations

import base64

import pytest

from mlporter.stores.server.reading.rows.traces import span_id

ID = "d31ac7f2b8eb7c60"
"""It begins with ``0x`` in Base64, as does one of 4,096."""


@pytest.mark.parametrize(
    "text", [ID, f"0x{ID}", base64.b64encode(bytes.fromhex(ID)).decode()], ids=["hex", "0x", "64"]
)
def test_it_is_the_same_however_it_is_written(text):
    assert span_id(text) == ID


def test_in_base64_it_may_look_like_digits():
    assert base64.b64encode(bytes.fromhex(ID)).startswith(b"0x")
