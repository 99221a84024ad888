"""The page around the reports: the plan's name and state, its problems in place, and the report of one strategy.

It shares the tones of the reports. What it shows comes from `/state`, and it looks again whenever `/events` says so.
"""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from dagc.export.page.markup import asset, document, tag

_HERE = Path(__file__).parent
_MAY_ALSO = "connect-src 'self'; frame-src 'self'; "


def watch_page(title: str) -> bytes:
    """The page of one plan, in UTF-8."""
    state = tag("span", "connecting …", id="told", role="status")
    top = tag("div", tag("strong", title), state, tag("div", id="strategies", role="tablist"), id="top")
    problems = tag("section", id="problems", hidden=True, aria_label="Problems")
    stale = tag("p", "The report below is from the last version that compiled.", id="stale", hidden=True)
    frame = tag("iframe", id="report", title="Report", hidden=True)
    body = tag("body", top, problems, stale, frame, class_="watch ended")
    style = asset("page.css") + (_HERE / "watch.css").read_text(encoding="utf-8")
    script = (_HERE / "watch.js").read_text(encoding="utf-8")
    return document(f"{title} · dagc watch", Markup(body), style, script, _MAY_ALSO)
