"""A page as HTML: one file, no script, nothing that a browser fetches, and every value escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mlporter.redaction import hide_passwords
from mlporter.reports.chart import HEIGHT, WIDTH
from mlporter.reports.mark import GENERATOR
from mlporter.reports.page import Cell, Page, Share
from mlporter.wording import visible

__all__ = ["render"]


def render(page: Page, made: str) -> str:
    """The page as one HTML document.

    Args:
        page: What it says.
        made: When.
    """
    style = (files("mlporter.reports") / "templates" / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            style=Markup(style),  # noqa: S704 -- our own
            style_hash=digest,
            generator=Markup(GENERATOR),  # noqa: S704 -- likewise
            made=made,
            version=version("mlporter"),
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mlporter.reports"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"width": WIDTH, "height": HEIGHT}
    environment.tests |= {"cell": _is_cell, "share": _is_share}
    return environment


def _shown(value: object) -> object:
    """Every value on its way into the page, but what templates made themselves.

    Passwords are hidden, and characters that cannot be seen, or turn the direction of text, are
    written out.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(map(visible, hide_passwords(value).split("\n")))


def _is_cell(value: object) -> bool:
    return isinstance(value, Cell)


def _is_share(value: object) -> bool:
    return isinstance(value, Share)
