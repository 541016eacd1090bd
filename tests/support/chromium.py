"""Chromium without a window: pages as people see them, asked in JavaScript what they show."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

#: Chromium takes commands on 3 and answers on 4.
_AS_3_AND_4 = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""

#: Clicks on a text once it is there. Resolves as soon as an expression is true, or with what the
#: page says after some seconds.
_WHEN = """
new Promise((resolve) => {
  const started = Date.now();
  let text = %s;
  const look = () => {
    const having = (one) => text && one.textContent.trim() === text;
    const innermost = [...document.querySelectorAll("*")].filter(having).pop();
    if (innermost) { innermost.click(); text = ""; }
    let shown = false;
    try { shown = Boolean(%s); } catch (error) {}
    if (shown) resolve("");
    else if (Date.now() - started > %d) resolve(document.body.innerText || "an empty page");
    else setTimeout(look, 50);
  };
  look();
})
"""

_PATIENCE = 60
"""Seconds for a page, on a busy machine."""


class Browser:
    """One Chromium with one page, told what to do over a pipe (the DevTools protocol)."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = os.fdopen(commands, "wb")
        self._answers = os.fdopen(answers, "rb")
        self._numbers = itertools.count(1)
        target = self._do("Target.createTarget", url="about:blank")["targetId"]
        attached = self._do("Target.attachToTarget", targetId=target, flatten=True)
        self._page = attached["sessionId"]

    def missing(self, url: str, expression: str, *, click: str = "", shot: str = "") -> str:
        """Open a page, and wait until an expression is true: "", or else what the page says.

        `click` is a text that is clicked on. With ``MLPORTER_SHOTS`` in the environment, a picture
        of the page goes to that folder.
        """
        self._do("Page.navigate", self._page, url="about:blank")  # else only the part after #
        self._do("Page.navigate", self._page, url=url)
        script = _WHEN % (json.dumps(click), expression, _PATIENCE * 1000)
        done = self._do("Runtime.evaluate", self._page, expression=script, awaitPromise=True)
        said = done["result"]["value"]
        if folder := os.environ.get("MLPORTER_SHOTS"):
            data = self._do("Page.captureScreenshot", self._page)["data"]
            Path(folder, f"{shot}.png").write_bytes(base64.b64decode(data))
        return str(said)

    def _do(self, method: str, page: str | None = None, **words: Any) -> dict[str, Any]:
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": words}
        if page is not None:
            command["sessionId"] = page
        self._commands.write(json.dumps(command).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = json.loads(self._message())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _message(self) -> bytes:
        message = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "Chromium is gone"
            message += byte
        return bytes(message)

    def close(self) -> None:
        self._commands.close()
        self._answers.close()


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Run it; `profile` is a folder of its own."""
    theirs, commands = os.pipe()
    answers, theirs_too = os.pipe()
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
    options += ("--no-proxy-server", "--window-size=1500,1000", "--remote-debugging-pipe")
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _AS_3_AND_4, str(theirs), str(theirs_too), str(CHROMIUM)),
            *(*options, f"--user-data-dir={profile}", "about:blank"),
        ],
        pass_fds=(theirs, theirs_too),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    os.close(theirs_too)
    browser = Browser(commands, answers)
    try:
        yield browser
    finally:
        browser.close()
        process.terminate()
        process.wait()
