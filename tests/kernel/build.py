"""Builds the compiled loops: `python -m tests.kernel.build`, with the compiler of the extra `kernel`.

The compiler is pinned, so a module is the same bytes wherever it is built.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.harness.places import ROOT

EXPORTS = {
    ROOT / "dagc" / "schedule" / "kernel.c": ("run", "walk_back", "overlap", "__heap_base"),
    ROOT / "dagc" / "simulate" / "kernel.c": ("run", "__heap_base"),
}
"""Sources, and what their modules export."""

FLAGS = (
    "-target", "wasm32-freestanding", "-mcpu=generic+simd128+bulk_memory", "-O3", "-nostdlib", "-Wall", "-Wextra",
    "-Wl,--no-entry", "-Wl,--strip-all",
)  # fmt: skip


def build(source: Path, target: Path) -> None:
    """Compile a source into a module. Raises CalledProcessError."""
    exports = (f"-Wl,--export={name}" for name in EXPORTS[source])
    command = (sys.executable, "-m", "ziglang", "cc", *FLAGS, *exports, "-o", str(target), source.name)
    subprocess.run(command, check=True, cwd=source.parent)


if __name__ == "__main__":
    for source in EXPORTS:
        build(source, source.with_suffix(".wasm"))
