"""Headless Chromium, driven over its debugging pipe: pages are opened, looked at, clicked and typed in.

Debian's `chromium`, which `.ci/run` installs. Where there is none, tests that need it are skipped, or fail if
SALIENCY_TESTS_CHROMIUM is "required".
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--remote-debugging-pipe",
)  # fmt: skip
_PATIENCE = 60.0  # seconds


def found() -> str:
    """The browser's path; "" where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), "")


def needed() -> str:
    """The browser's path; where there is none, the test is skipped, or fails in CI."""
    path = found()
    if path:
        return path
    words = f"none of {', '.join(NAMES)} is installed"
    if os.environ.get("SALIENCY_TESTS_CHROMIUM") == "required":
        pytest.fail(words)
    pytest.skip(words)


class Browser:
    """One tab of a browser.

    Attributes:
        console: what the page has printed, and its exceptions.
        requested: the addresses that it asked for.
    """

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self._process, self._write, self._read = process, write, read
        self._waiting, self._number, self._session = b"", 0, ""
        self.console: list[str] = []
        self.requested: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What a method of the Chrome DevTools Protocol answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        number = self._number
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def open(
        self, page: Path, width: int = 1200, height: int = 900, dark: bool = False, media: str = "screen",
        scripts: bool = True,
    ) -> None:  # fmt: skip
        """Load a file, on a screen of this size (a phone's, below 500) and scheme."""
        self.console, self.requested = [], []
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.resize(width, height, dark, media)
        self._loaded = False
        self.call("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._next()

    def resize(self, width: int, height: int, dark: bool = False, media: str = "screen") -> None:
        """Another screen."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """A key on the keyboard."""
        for kind in ("keyDown", "keyUp"):
            given = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **given)

    def write(self, text: str) -> None:
        """Type a text where the focus is."""
        self.call("Input.insertText", text=text)

    def tree(self) -> list[tuple[str, str]]:
        """(role, name) of all that a screen reader meets."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]

    def screenshot(self, whole: bool = False) -> bytes:
        """The screen, or the whole page, as a PNG file."""
        return base64.b64decode(
            self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        )

    def printed(self) -> bytes:
        """The page as PDF."""
        return base64.b64decode(self.call("Page.printToPDF")["data"])

    def _next(self) -> dict[str, Any]:
        """The next message: an answer, or an event."""
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._waiting:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            read = os.read(self._read, 1 << 20) if ready else b""
            assert read, "the browser does not answer"
            self._waiting += read
        line, _, self._waiting = self._waiting.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, given: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Runtime.consoleAPICalled":
            self.console.append(
                " ".join(str(one.get("value", one.get("description"))) for one in given["args"])
            )
        elif event == "Runtime.exceptionThrown":
            self.console.append(str(given["exceptionDetails"]))
        elif event == "Log.entryAdded":
            self.console.append(given["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.requested.append(given["request"]["url"])


@contextlib.contextmanager
def started(path: str, profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own."""
    theirs, write = os.pipe()
    read, theirs_too = os.pipe()
    # It reads from 3 and writes to 4, which a shell can say, whatever the numbers here are.
    line = f'exec "$0" "$@" 3<&{theirs} 4>&{theirs_too}'
    command = ["bash", "-c", line, path, *_FLAGS, f"--user-data-dir={profile}"]
    with open(profile / "log", "wb") as log:
        process = subprocess.Popen(
            command, pass_fds=(theirs, theirs_too), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    os.close(theirs)
    os.close(theirs_too)
    try:
        yield Browser(process, write, read)
    finally:
        os.close(write)
        os.close(read)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
