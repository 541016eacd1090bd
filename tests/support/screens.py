"""Pictures of the terminal for the pages: python -m tests.support.screens [FOLDER]

Each shows commands and what they really print, on the registry of samples/quickstart. One file is
for light and dark: which of the two, whoever looks at it has set. No font or anything else is
loaded from elsewhere. With FOLDER, all are made there, else only those that the pages have.
`COLUMNS` is how wide the terminal is; 80 without.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from html import unescape
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMNS = 80
IMAGES = Path(__file__).parents[2] / "docs" / "images"


def _theme(page: str, usual: str, bright: str) -> TerminalTheme:
    """A theme of hexadecimal colours: background and text; eight colours; the same, bright."""
    background, text = map(_color, page.split())
    return TerminalTheme(
        background, text, [*map(_color, usual.split())], [*map(_color, bright.split())]
    )


def _color(text: str) -> tuple[int, int, int]:
    return int(text[:2], 16), int(text[2:4], 16), int(text[4:], 16)


LIGHT = _theme(
    "fafafa 24292f",
    "24292f cf222e 116329 7d4e00 0969da 8250df 1b7c83 57606a",
    "57606a a40e26 1a7f37 633c01 218bff a475f9 3192aa 8c959f",
)
DARK = _theme(
    "161b22 c9d1d9",
    "484f58 ff7b72 3fb950 d29922 58a6ff bc8cff 39c5cf b1bac4",
    "6e7681 ffa198 56d364 e3b341 79c0ff d2a8ff 56d4dd f0f6fc",
)

_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.terminal {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>{lines}</defs>
<rect class="page" width="{width}" height="{height}" rx="8"/>
<g class="terminal" transform="translate(12, 10)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}{matrix}
</g>
<clipPath id="{unique_id}-clip-terminal">
<rect width="{terminal_width}" height="{height}"/>
</clipPath>
</svg>
"""

BEFORE = "mlporter sync sqlite:///mlflow.db sqlite:///prod.db --artifact-root files"
SCREENS: dict[str, tuple[str, ...]] = {
    "export": ("mlporter export sqlite:///mlflow.db backup/", "mlporter verify backup/"),
    "copy": ("mlporter copy backup/ sqlite:///copy.db --artifact-root mlartifacts",),
    "equal": ("mlporter diff sqlite:///mlflow.db sqlite:///copy.db",),
    "inspect": ("mlporter inspect backup/",),
    "diff": ("mlporter diff sqlite:///mlflow.db sqlite:///prod.db",),
    "dry-run": (f"{BEFORE} --dry-run",),
    "error": ("mlporter copy sqlite:///mlflow.db sqlite:///prod.db --artifact-root files",),
    "demo": ("mlporter demo",),
}
"""What each picture shows, in this order: one after the other, in one folder."""

CHANGES = """
import mlflow
mlflow.set_tracking_uri("sqlite:///{}")
client = mlflow.MlflowClient()
"""
AT_PROD = 'client.set_registered_model_tag("rf_regressor", "owner", "risk")\n'
AT_SOURCE = """
client.set_registered_model_alias("rf_regressor", "champion", "3")
client.update_registered_model("rf_regressor", "Prices of houses")
run = client.search_runs(["1"], max_results=1)[0].info.run_id
client.set_tag(run, "reviewed", "yes")
"""


def printed(command: str, folder: Path, columns: int) -> str:
    """What a command prints on a terminal, colours included; a `python` program, too."""
    program, *words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *(["-m", program] if program != "python" else []), *words],
        cwd=folder,
        env={
            **os.environ,
            "FORCE_COLOR": "1",
            "TERM": "xterm-256color",
            "COLUMNS": str(columns),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def picture(shown: list[tuple[str, str]], name: str, columns: int) -> str:
    """Commands with what they print, as an SVG."""
    text = Text()
    for command, output in shown:
        text.append("$ ", "bold green").append(command, "bold").append("\n")
        text.append_text(Text.from_ansi(output.rstrip("\n"))).append("\n\n")
    text.rstrip()
    styles = []
    for theme in (LIGHT, DARK):
        console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
        console.print(text)
        svg = console.export_svg(theme=theme, code_format=_FORMAT, unique_id=name)
        (rules,) = re.findall(r"full-width; }\n(.*?)\n</style>", svg, re.DOTALL)
        page = f".page {{ fill: {theme.background_color.hex} }}"
        styles.append((rules, f"{rules}\n{page}"))
    both = f"{styles[0][1]}\n@media (prefers-color-scheme: dark) {{\n{styles[1][1]}\n}}"
    svg = svg.replace(styles[1][0], both)
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def lines_of(svg: str) -> list[str]:
    """The words of a picture, by line, for who cannot see it."""
    found: dict[float, str] = {}
    for x, y, words in re.findall(r'<text[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>', svg):
        column = round(float(x) / 12.2)
        line = found.get(float(y), "").ljust(column)
        found[float(y)] = line + unescape(words).replace("\xa0", " ")
    return [line.rstrip() for line in found.values()]


def main(folder: Path, columns: int) -> None:
    """Make all pictures."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        train = ["-m", "mlporter.quickstart.train_and_register"]
        subprocess.run(
            [sys.executable, "-W", "ignore", *train, "--tracking-uri", "sqlite:///mlflow.db"],
            cwd=place,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        printed(BEFORE, place, columns)
        for name, commands in SCREENS.items():
            if name == "diff":
                for database, changes in (("mlflow.db", AT_SOURCE), ("prod.db", AT_PROD)):
                    code = CHANGES.format(database) + changes
                    printed(f"python -c {shlex.quote(code)}", place, columns)
            shown = [(command, printed(command, place, columns)) for command in commands]
            file = folder / f"screen-{name}.svg"
            if folder != IMAGES or file.exists():
                file.write_text(picture(shown, name, columns), encoding="utf-8")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or [IMAGES]), int(os.environ.get("COLUMNS", COLUMNS)))
