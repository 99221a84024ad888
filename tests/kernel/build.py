"""Builds the compiled loop of the schedule: `python -m tests.kernel.build`, with the compiler of the extra `kernel`.

The compiler is pinned, so the module is the same bytes wherever it is built.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.harness.places import ROOT

SOURCE = ROOT / "dagc" / "schedule" / "kernel.c"
MODULE = SOURCE.with_suffix(".wasm")

EXPORTS = ("run", "walk_back", "overlap", "__heap_base")
FLAGS = (
    "-target", "wasm32-freestanding", "-mcpu=generic+simd128+bulk_memory", "-O3", "-nostdlib", "-Wall", "-Wextra",
    "-Wl,--no-entry", "-Wl,--strip-all", *(f"-Wl,--export={name}" for name in EXPORTS),
)  # fmt: skip


def build(target: Path) -> None:
    """Compile the source into a module. Raises CalledProcessError."""
    command = (sys.executable, "-m", "ziglang", "cc", *FLAGS, "-o", str(target), SOURCE.name)
    subprocess.run(command, check=True, cwd=SOURCE.parent)


if __name__ == "__main__":
    build(MODULE)
