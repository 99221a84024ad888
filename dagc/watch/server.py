"""The page over HTTP, to this machine alone.

`/` is the page around the reports, `/state` what it shows as JSON, `/report/N` the N-th report, `/events` a stream that
reports each new version. A request must name this server as its host, so that no foreign page reaches it through a name
that it points here; nothing is taken from a request but its path, and no file is served.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from markupsafe import Markup

from dagc.export.page.markup import asset, document, tag

HOST = "127.0.0.1"
_HEARTBEAT_SECONDS = 10.0
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class WatchServer(ThreadingHTTPServer):
    """A server in threads that end with the program."""

    daemon_threads = True
    block_on_close = False


def serve(board: Board, title: str, port: int) -> WatchServer:
    """A running server; port 0 is a free one. Raises OSError where the port cannot be had."""
    server = WatchServer((HOST, port), partial(_Handler, board, watch_page(title)))
    Thread(target=server.serve_forever, name="watch", daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "dagc", ""

    def __init__(self, board: Board, page: bytes, request: Any, client: Any, server: WatchServer) -> None:
        self.board, self.page = board, page
        self.hosts = (f"{HOST}:{server.server_port}", f"localhost:{server.server_port}")
        super().__init__(request, client, server)

    def do_GET(self) -> None:
        """Answer by path."""
        if not self._is_for_here():
            self._send(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", b"this server is another host\n")
        elif self.path == "/":
            self._send(HTTPStatus.OK, "text/html", self.page)
        elif self.path == "/state":
            self._send(HTTPStatus.OK, "application/json", self._state())
        elif self.path == "/events":
            self._events()
        else:
            self._report()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is for the plan."""

    def _is_for_here(self) -> bool:
        """Whether the request names this server, once: of two names, another program may have read the other."""
        named = self.headers.get_all("Host", [])
        return len(named) == 1 and named[0] in self.hosts

    def _state(self) -> bytes:
        shown = self.board.shown
        state = {
            "version": shown.version,
            "summary": shown.summary,
            "problems": shown.problems,
            "strategies": [name for name, _ in shown.reports],
            "stale": shown.is_stale,
        }
        return json.dumps(state).encode()

    def _report(self) -> None:
        number = self.path.removeprefix("/report/")
        reports = self.board.shown.reports
        if self.path != number and number.isdecimal() and len(number) < 6 and int(number) < len(reports):
            self._send(HTTPStatus.OK, "text/html", reports[int(number)][1])
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here\n")

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _events(self) -> None:
        """One event a version, beginning with the one that is shown; a comment now and then keeps it open."""
        self.send_response(HTTPStatus.OK)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        version = -1
        try:
            while not self.board.is_closed:
                shown = self.board.beyond(version, _HEARTBEAT_SECONDS)
                version = shown.version if shown else version
                self.wfile.write(f"data: {version}\n\n".encode() if shown else b":\n\n")
                self.wfile.flush()
        except OSError:
            return


_HERE = Path(__file__).parent
_MAY_ALSO = "connect-src 'self'; frame-src 'self'; "


def watch_page(title: str) -> bytes:
    """The page of one plan, in UTF-8."""
    state = tag("span", "connecting …", id="summary", role="status")
    top = tag("div", tag("strong", title), state, tag("div", id="strategies", role="tablist"), id="top")
    problems = tag("section", id="problems", hidden=True, aria_label="Problems")
    stale = tag("p", "The report below is from the last version that compiled.", id="stale", hidden=True)
    frame = tag("iframe", id="report", title="Report", hidden=True)
    body = tag("body", top, problems, stale, frame, class_="watch ended")
    style = asset("page.css") + (_HERE / "watch.css").read_text(encoding="utf-8")
    script = (_HERE / "watch.js").read_text(encoding="utf-8")
    return document(f"{title} · dagc watch", Markup(body), style, script, _MAY_ALSO)


@dataclass(frozen=True, slots=True)
class BoardEntry:
    """One state of the page.

    `summary` is the line beside the plan's name. `problems` is markup of the diagnostics that keep strategies from
    being compiled, empty for none. `reports` are pages by the name of their strategy; `is_stale` where they are those
    of an earlier text.
    """

    version: int
    summary: str
    problems: str
    reports: tuple[tuple[str, bytes], ...]
    is_stale: bool


@dataclass
class Board:
    """The current state, for one writer and any number of readers in threads of their own."""

    shown: BoardEntry = BoardEntry(0, "compiling …", "", (), False)
    is_closed: bool = False
    _changed: Condition = field(default_factory=Condition)

    def show(self, summary: str, problems: str, reports: tuple[tuple[str, bytes], ...]) -> None:
        """The next state; without reports those of the last one stay, marked as stale."""
        with self._changed:
            before = self.shown
            kept = reports or before.reports
            self.shown = BoardEntry(before.version + 1, summary, problems, kept, bool(kept) and not reports)
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing further comes; threads that wait continue."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()

    def beyond(self, version: int, seconds: float) -> BoardEntry | None:
        """A state later than a version, once there is one; None where none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_closed or self.shown.version > version, seconds)
            return self.shown if self.shown.version > version else None
