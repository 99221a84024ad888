"""A page in a real browser: headless Chromium on the machine, driven over the DevTools protocol through a pipe.

No package and no network: the browser inherits two file descriptors, 3 to read commands from and 4 to write answers
to, each message JSON ended by a zero byte. `Page` collects what must not happen: console errors, exceptions, dialogs,
and requests for anything but the page itself.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--hide-scrollbars", "--disable-extensions", "--disable-background-networking",
)  # fmt: skip
_PATIENCE_SECONDS = 30.0


def program() -> str | None:
    """The browser: CHROMIUM in the environment, or the first that is on the PATH."""
    return os.environ.get("CHROMIUM") or next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Generator[Browser]:
    """A browser of its own profile, ended with the block."""
    chromium = program()
    assert chromium, "no Chromium on this machine"
    to_browser, from_browser = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="dagc-chromium-", ignore_cleanup_errors=True) as profile:
        # The shell moves the pipe's ends to the numbers that the browser expects.
        ends = f'exec "$0" "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
        process = subprocess.Popen(
            ["bash", "-c", ends, chromium, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser[0], from_browser[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser[0])
        os.close(from_browser[1])
        started = Browser(to_browser[1], from_browser[0])
        try:
            yield started
        finally:
            started.end()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass
class Browser:
    """The connection: commands out, answers and events in."""

    write_to: int
    read_from: int
    number: int = 0
    rest: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def call(self, method: str, session: str | None = None, **arguments: Any) -> dict[str, Any]:
        """The result of one command; events that come before it are kept."""
        self.number += 1
        self._send({"id": self.number, "method": method, "params": arguments}, session)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = self._next(deadline)
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)
            if answer.get("method") == "Page.javascriptDialogOpening":
                self._dismiss(answer["sessionId"])
        raise TimeoutError(method)

    def _send(self, message: dict[str, Any], session: str | None) -> None:
        content = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while content:
            content = content[os.write(self.write_to, content) :]

    def _dismiss(self, session: str) -> None:
        """Close a dialog, which would keep its page from answering; the event stays among the complaints."""
        self._send({"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": False}}, session)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read_from], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self.read_from, 1 << 16) if ready else b""
            if not chunk:
                raise TimeoutError("the browser says nothing")
            self.rest += chunk
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def end(self) -> None:
        """Ask it to close; whether it does is the caller's to see."""
        with suppress(OSError, TimeoutError):
            self.call("Browser.close")
        os.close(self.write_to)
        os.close(self.read_from)

    def open(self, url: str, width: int = 1280, height: int = 900, **media: str) -> Page:
        """A new tab at an address, once it has loaded; `media` are features such as `prefers_color_scheme`."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        page.call("Emulation.setEmulatedMedia", features=features)
        page.call("Page.navigate", url=url)
        page.wait("document.readyState === 'complete' && location.href !== 'about:blank'")
        return page


@dataclass
class Page:
    """One tab."""

    browser: Browser
    session: str

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """A command to this tab."""
        return self.browser.call(method, self.session, **arguments)

    def eval(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until a condition holds."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self.eval(f"Boolean({condition})"):
            assert time.monotonic() < deadline, condition
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """A click of the mouse in the middle of an element, as a person does it."""
        self.eval(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        where = self.eval(
            f"(() => {{ const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [r.left + r.width / 2, r.top + r.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """One key, e.g. `Enter`, `+`, `ArrowRight`."""
        shown = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **shown)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self, whole: bool = True) -> bytes:
        """A PNG of the page."""
        return base64.b64decode(
            self.call("Page.captureScreenshot", captureBeyondViewport=whole, **self._clip(whole))["data"]
        )

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def pdf(self) -> bytes:
        """The page as it prints."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def complaints(self) -> list[str]:
        """Console errors and warnings, exceptions and dialogs so far."""
        self.eval("0")
        found: list[str] = []
        for event in self.browser.events:
            method, params = event.get("method"), event.get("params", {})
            if event.get("sessionId") != self.session:
                continue
            if method == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(str(params["entry"]))
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(str(params["args"]))
            elif method == "Page.javascriptDialogOpening":
                found.append(f"dialog: {params['message']}")
        return found

    def requests(self) -> list[str]:
        """Addresses of all requests so far."""
        sent = (event for event in self.browser.events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent if event.get("sessionId") == self.session]
