"""SVG into PNG, with no program or library of the machine; text is drawn in the fonts that the machine has, if any."""

from __future__ import annotations

from pathlib import Path

import resvg_py

CSS_DPI = 96.0
"""Dots an inch, which fix the size of Graphviz's points. The package's default draws pictures of no size."""


def png(svg: Path) -> bytes:
    """The picture in its own size on white. Raises ValueError where the SVG is not one."""
    return resvg_py.svg_to_bytes(svg_string=svg.read_text(encoding="utf-8"), dpi=CSS_DPI, background="white")


def main(svg: str, output: str) -> None:
    """Write a picture that a person can look at: `python -m tests.harness.pictures graph.svg graph.png`."""
    Path(output).write_bytes(png(Path(svg)))


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
