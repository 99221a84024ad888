"""Texts of a picture as a real browser draws them: their rectangles, measured by a headless Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from itertools import combinations
from pathlib import Path

PROGRAM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

_MEASURE = """<script>
const found = [...document.querySelectorAll("svg text")].map(text => {
  const r = text.getBoundingClientRect();
  return [text.textContent, r.left, r.top, r.right, r.bottom];
}).filter(one => one[0].trim());
const told = document.createElement("pre");
told.id = "found"; told.textContent = JSON.stringify(found); document.body.append(told);
</script>"""

Rectangle = tuple[str, float, float, float, float]


def rectangles(svg: str, directory: Path) -> list[Rectangle]:
    """Text, left, top, right and bottom of each text, in pixels. Needs `PROGRAM`."""
    assert PROGRAM is not None
    page = directory / "page.html"
    body = re.sub(r"^<\?xml[^>]*\?>", "", svg)
    page.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">{body}{_MEASURE}', encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={directory / 'profile'}", "--dump-dom"]
    drawn = subprocess.run([PROGRAM, *options, page.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    told = re.search(r'<pre id="found">(.*?)</pre>', drawn.stdout, re.DOTALL)
    assert told is not None, drawn.stderr
    return [(str(text), float(a), float(b), float(c), float(d)) for text, a, b, c, d in json.loads(unescape(told[1]))]


def overlapping(found: list[Rectangle], tolerance: float = 1.0) -> list[tuple[str, str]]:
    """Pairs of texts that lie over each other by more than so many pixels both ways."""
    return [
        (a[0], b[0])
        for a, b in combinations(found, 2)
        if min(a[3], b[3]) - max(a[1], b[1]) > tolerance and min(a[4], b[4]) - max(a[2], b[2]) > tolerance
    ]
