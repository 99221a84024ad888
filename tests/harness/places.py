"""Where the project's files are, seen from the tests."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dagc"
TESTS = ROOT / "tests"
EXAMPLES = ROOT / "examples"
EXPLAIN = PACKAGE / "diag" / "explain"
README = ROOT / "README.md"
CI_RUN = ROOT / ".ci" / "run"
