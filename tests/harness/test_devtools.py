"""What a page must not do is noticed: messages in the console, exceptions, dialogs, requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import devtools

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(devtools.program() is None, reason="no Chromium on this machine"),
]


def test_complaints_and_requests(tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text(
        "<!DOCTYPE html><img src='http://127.0.0.1:9/x.png'><button onclick='alert(7)'>b</button>"
        "<script>console.error('said'); setTimeout(() => { throw new Error('thrown') })</script>"
    )
    with devtools.browser() as browser:
        page = browser.open(path.as_uri())
        page.click("button")
        page.wait("true")
        told = " ".join(page.complaints())
        assert "said" in told
        assert "thrown" in told
        assert "dialog: 7" in told
        assert "http://127.0.0.1:9/x.png" in page.requests()
