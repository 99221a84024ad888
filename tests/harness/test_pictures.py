"""A picture is drawn in the size that it states in points, and what is no picture is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.harness import pictures

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt" viewBox="0 0 72 36">{}</svg>'


def drawn(tmp_path: Path, text: str) -> bytes:
    path = tmp_path / "picture.svg"
    path.write_text(text, encoding="utf-8")
    return pictures.png(path)


def test_points_become_pixels(tmp_path: Path) -> None:
    """72 points are an inch, and an inch is 96 pixels."""
    png = drawn(tmp_path, SVG.format('<circle cx="9" cy="9" r="9"/>'))
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (96, 48)
    assert png != drawn(tmp_path, SVG.format(""))


def test_what_is_no_svg_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        drawn(tmp_path, "")
    with pytest.raises(ValueError):
        drawn(tmp_path, "<svg")
