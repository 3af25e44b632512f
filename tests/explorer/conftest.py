"""A headless Chromium driven over its debugging pipe: no packages, no ports, no network.

Set OPENLYRA_TEST_BROWSER to a program to use another one than the first Chromium on the PATH.
"""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--mute-audio",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--remote-debugging-pipe",
)  # fmt: skip
# The protocol uses descriptors 3 and 4; the detour over high numbers keeps either pipe from overwriting the other.
_LAUNCH = """
import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
os.dup2(high[0], 3)
os.dup2(high[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str | None:
    """Path of an installed Chromium, or None."""
    named = os.environ.get("OPENLYRA_TEST_BROWSER")
    return named or next((found for name in _NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._ids = itertools.count(1)
        self._buffer = b""
        self._session: str | None = None
        self.log: list[str] = []
        """Console lines and uncaught errors."""
        self.requests: list[str] = []
        """Addresses the page asked for."""

    def command(self, method: str, timeout: float = 120.0, **params: Any) -> dict[str, Any]:
        """Send one command of the debugging protocol and wait for its result."""
        message: dict[str, Any] = {"id": next(self._ids), "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            reply = self._receive(deadline)
            if reply.get("id") == message["id"]:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']}")
                return reply["result"]
            self._note(reply)

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"the browser did not answer in time; log: {self.log[-5:]}")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(line)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.consoleAPICalled":
            self.log.append(" ".join(str(a.get("value", a.get("description", ""))) for a in params["args"]))
        elif event.get("method") == "Runtime.exceptionThrown":
            self.log.append(f"uncaught: {json.dumps(params['exceptionDetails'])[:600]}")
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"][:200])

    def attach(self) -> None:
        """Open the tab."""
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.command(f"{domain}.enable")

    @contextlib.contextmanager
    def run_before_load(self, script: str) -> Iterator[None]:
        """Within the block, run a script in every opened page before its own scripts."""
        identifier = self.command("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
        yield
        self.command("Page.removeScriptToEvaluateOnNewDocument", identifier=identifier)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """One mouse event: mousePressed, mouseMoved, mouseReleased or mouseWheel."""
        self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, kind: str, code: str) -> None:
        """keyDown or keyUp of a key named by its place, such as KeyW."""
        self.command("Input.dispatchKeyEvent", type=kind, code=code, key=code[-1].lower())

    def open(self, path: Path, width: int, height: int) -> bool:
        """Open a viewer page with this window size; True once it is ready, False when it reports an error."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        self.command("Page.navigate", url=path.resolve().as_uri())
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.evaluate("document.readyState === 'complete' && !!(window.openlyra && window.openlyra.ready)"):
                return bool(self.evaluate("window.openlyra.ready"))
            time.sleep(0.05)
        raise TimeoutError(f"the page did not start; log: {self.log[-5:]}")

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; promises are awaited."""
        reply = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in reply:
            raise RuntimeError(json.dumps(reply["exceptionDetails"])[:800])
        return reply["result"].get("value")

    def screenshot(self) -> np.ndarray:
        """(H, W, 3) uint8 of the window."""
        data = self.command("Page.captureScreenshot", format="png")["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Start Chromium with a throw-away profile folder and give its one tab."""
    program = find_browser()
    assert program is not None
    to_browser_read, to_browser = os.pipe()
    from_browser, from_browser_write = os.pipe()
    pipes = (to_browser_read, from_browser_write)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _LAUNCH,
            *map(str, pipes),
            program,
            *_FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        pass_fds=pipes,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser_read)
    os.close(from_browser_write)
    page = Page(to_browser, from_browser)
    try:
        page.attach()
        yield page
    finally:
        with contextlib.suppress(Exception):
            page._session = None
            page.command("Browser.close", timeout=5)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(to_browser)
        os.close(from_browser)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser tab for all tests of the session."""
    if find_browser() is None:
        pytest.skip("no Chromium on the PATH (or in OPENLYRA_TEST_BROWSER)")
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab
