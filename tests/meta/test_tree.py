"""What holds for every file of the project, whoever wrote it."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

from tests.harness.places import PACKAGE, ROOT, TESTS

MAX_LINES = 400
PARTS = [".ci", "dagc", "docs", "examples", "grammar", "out/showcase", "tests"]
FOREIGN = re.compile(r"(?<![\w.~-])/(?:tmp|work|home|root|opt|Users)/|localhost:\d|file:///")
"""Paths and addresses that hold on one machine only."""
TEXT = {".cjs", ".cfg", ".ini", ".json", ".lark", ".md", ".moe", ".py", ".svg", ".dot", ".toml", ".txt", ""}
THIS = Path(__file__)


def project_files() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    for part in PARTS:
        for directory, inner, names in os.walk(ROOT / part):
            inner[:] = sorted(name for name in inner if name != "__pycache__")
            yield from (Path(directory, name) for name in sorted(names))


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


FILES = [path for path in project_files() if path.suffix in TEXT]
MODULES = [path for path in FILES if path.suffix == ".py"]


# One test for all files: two thousand tests of a millisecond each take longer to be distributed than to run.
def test_a_module_is_short_and_says_what_it_does() -> None:
    texts = {label(path): path.read_text(encoding="utf-8") for path in MODULES}
    assert [path for path, text in texts.items() if text.count("\n") > MAX_LINES] == []
    assert [path for path, text in texts.items() if not ast.get_docstring(ast.parse(text))] == []


def test_a_file_names_no_place_of_one_machine() -> None:
    lines = (
        (label(path), number, line)
        for path in FILES
        if path != THIS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    )
    assert [f"{path}:{number}: {line}" for path, number, line in lines if FOREIGN.search(line)] == []


def test_a_package_directory_has_an_init_file() -> None:
    """Or `walk_packages`, the import contracts and the type checker would pass it by."""
    packages = {path.parent for path in MODULES if PACKAGE in path.parents}
    assert [label(package) for package in sorted(packages) if not (package / "__init__.py").exists()] == []


def test_tests_are_where_pytest_finds_them() -> None:
    """A file of tests whose name does not say so would never run."""
    lost = [
        label(path)
        for path in MODULES
        if TESTS in path.parents
        and not path.name.startswith("test_")
        and re.search(r"^def test_", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert lost == []
