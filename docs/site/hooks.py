"""What the site has beside the pages of docs/: files that they link to, and the Python API.

In the repository pages link to `../samples` and `../manifests`, which is outside of what MkDocs
reads. Here these files become part of the site, one folder further in, and links are changed alike.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

import mlporter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
BESIDE = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "action.yml",
    "manifests/*",
    "samples/*.md",
    "samples/*/*",
]
NOT_SHOWN = "samples/bundle-format-1/"
FOLDERS = {
    "README.md": "index.md",
    "manifests": "manifests.md",
    "samples": "samples/README.md",
    "samples/quickstart": "samples/quickstart/README.md",
    "samples/bundle-format-1": "bundle-format.md",
}
"""What is shown in place of what has no page."""

STYLE = ".md-grid { max-width: 76rem; }\n"
"""Commands fit on their line."""

_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files beside docs/, and the page of the API."""
    for file in sorted(one for pattern in BESIDE for one in ROOT.glob(pattern)):
        path = file.relative_to(ROOT).as_posix()
        if file.is_file() and not path.startswith(NOT_SHOWN):
            files.append(File.generated(config, path, abs_src_path=str(file)))
    files.append(File.generated(config, "api.md", content="\n".join(api_page())))
    files.append(File.generated(config, "site.css", content=STYLE))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links lead to where things are in the site; code is left alone."""
    done, at = [], 0
    for fence in _FENCE.finditer(markdown):
        done += [_changed(markdown[at : fence.start()], page), fence[0]]
        at = fence.end()
    return "".join([*done, _changed(markdown[at:], page)])


def _changed(text: str, page: Page) -> str:
    return _LINK.sub(lambda found: link(page.file.src_uri, found[1]) + (found[2] or ""), text)


def link(page: str, target: str) -> str:
    """A link of a page as it has to be in the site."""
    if "://" in target:
        return target
    is_beside = any(Path(page).match(pattern) for pattern in BESIDE)
    folder = posixpath.dirname(page if is_beside else f"docs/{page}")
    path = posixpath.normpath(posixpath.join(folder, target))
    if (ROOT / path).is_dir():  # the page that says what is in it
        path = FOLDERS.get(path, "docs/automation.md")
    shown = FOLDERS.get(path, path).removeprefix("docs/")
    return posixpath.relpath(shown, posixpath.dirname(page) or ".")


def api_page() -> Iterator[str]:
    """The public names, each with its docstring: verbs, what they return, what goes wrong."""
    names = {name: getattr(mlporter, name) for name in mlporter.__all__ if name != "__version__"}
    errors = [name for name, one in names.items() if _is_a(one, Exception)]
    verbs = [name for name, one in names.items() if not isinstance(one, type)]
    rest = [name for name in names if name not in {*errors, *verbs}]
    yield "# The Python API\n\n[python-api.md](python-api.md) says how they are used together.\n"
    for title, some in (("Verbs", verbs), ("Results", rest), ("Errors", errors)):
        yield f"## {title}\n"
        for name in some:
            yield f"::: {names[name].__module__}.{name}\n"


def _is_a(one: object, kind: type) -> bool:
    return isinstance(one, type) and issubclass(one, kind)
