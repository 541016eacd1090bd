"""A real browser without a window: Debian's Chromium, driven over a pipe by its own protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Browser", "Visit", "chromium", "running_browser"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
)


def chromium() -> str | None:
    """The program, or None where there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Browser:
    """A running browser. `open` shows a page in a new tab."""

    def __init__(self, to_it: int, from_it: int) -> None:
        self._out = os.fdopen(to_it, "wb", buffering=0)
        self._in = os.fdopen(from_it, "rb")
        self._number = 0
        self._unread = b""
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command, and wait for what it returns; events meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result

    def wait_for(self, method: str, session: str) -> None:
        """Wait for an event, unless it was there already."""
        while not any(e["method"] == method and e["sessionId"] == session for e in self.events):
            self._next()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            more = self._in.read1(1 << 20)  # type: ignore[attr-defined]
            assert more, "the browser has ended"
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        if "method" in answer:
            self.events.append(answer)
        return answer

    @contextlib.contextmanager
    def open(self, file: Path, *, width: int = 1280, dark: bool = False) -> Iterator[Visit]:
        """A page in a tab of its own, loaded."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        visit = Visit(self, session)
        for domain in ("Page", "Network", "Runtime", "Log"):
            visit.ask(f"{domain}.enable")
        visit.resize(width)
        visit.media(dark=dark)
        self.events.clear()
        visit.ask("Page.navigate", url=file.resolve().as_uri())
        self.wait_for("Page.loadEventFired", session)
        try:
            yield visit
        finally:
            self.ask("Target.closeTarget", targetId=target)

    def close(self) -> None:
        """Let it end."""
        self._out.close()
        self._in.close()


class Visit:
    """A page that is shown."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """A command to this tab."""
        return self._browser.ask(method, self._session, **params)

    @property
    def requests(self) -> list[str]:
        """Whatever the page made the browser fetch, but itself."""
        sent = [e for e in self._browser.events if e["method"] == "Network.requestWillBeSent"]
        return [e["params"]["request"]["url"] for e in sent if e["params"]["type"] != "Document"]

    @property
    def complaints(self) -> list[str]:
        """What the browser's console says: a policy that was broken, say."""
        said = [e for e in self._browser.events if e["method"] == "Log.entryAdded"]
        return [e["params"]["entry"]["text"] for e in said]

    def run(self, script: str) -> Any:
        """What an expression of JavaScript is; a promise is awaited."""
        done = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def resize(self, width: int, height: int = 900) -> None:
        """Another size of the window."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def media(self, *, dark: bool = False, paper: bool = False) -> None:
        """What the page is shown on."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask(
            "Emulation.setEmulatedMedia", media="print" if paper else "screen", features=[scheme]
        )

    def press(self, key: str) -> None:
        """A key of the keyboard."""
        codes = {"Tab": 9, "Enter": 13}
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.ask(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=codes[key],
                **text,
            )

    def picture(self, file: Path, *, whole: bool = False) -> None:
        """Save what is seen, or the whole page, as PNG."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    def printed(self) -> bytes:
        """The page as PDF."""
        return base64.b64decode(self.ask("Page.printToPDF")["data"])


@contextlib.contextmanager
def running_browser(program: str) -> Iterator[Browser]:
    """A browser for many pages; it ends with the block."""
    to_it, of_it = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory() as home:
        # It reads commands from file 3 and answers on file 4.
        line = f'exec "$0" "$@" 3<&{to_it[0]} 4>&{of_it[1]}'
        process = subprocess.Popen(
            ["bash", "-c", line, program, *_OPTIONS, f"--user-data-dir={home}", "about:blank"],
            pass_fds=(to_it[0], of_it[1]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_it[0])
        os.close(of_it[1])
        browser = Browser(to_it[1], of_it[0])
        try:
            yield browser
            browser.ask("Browser.close")
        finally:
            browser.close()
            process.terminate()
            process.wait(timeout=30)
