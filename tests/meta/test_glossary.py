"""Identifiers of the package use the field's terms, and a public class has one definition.

The list is `retired_words.txt` beside this module. `python -m tests.meta.test_glossary` prints what is left.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.places import PACKAGE

LIST = Path(__file__).with_name("retired_words.txt")
ROWS = [line.split("\t") for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
CLASSES = re.compile("|".join(word for word, _ in ROWS if word[0].isupper()))
WORDS = re.compile("|".join(f"(?:{word.lower()})" for word, _ in ROWS if word[0].islower()))
NOT_YET = {
    "", "api", "calibrate", "catalog", "check", "cli", "declare", "diag", "export", "syntax", "watch", "whatif",
    "cost", "degrees", "driver", "expand", "flat", "graph", "lower", "ops", "plan", "report", "results",
    "schedule", "search", "timeline",
}  # fmt: skip
"""Folders of the package whose identifiers are not checked yet."""


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Names that a module gives: of classes, functions, arguments, attributes and variables."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case _:
                pass


def words(identifier: str) -> str:
    """The words of an identifier in lower case, joined by "_"."""
    return "_".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", identifier)).lower()


def is_retired(identifier: str) -> bool:
    return bool(CLASSES.fullmatch(identifier) or re.search(rf"(?:^|_)(?:{WORDS.pattern})(?:_|$)", words(identifier)))


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    """Folder, path and tree of every module of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        yield parts[0] if len(parts) > 1 else "", path, ast.parse(path.read_text(encoding="utf-8"))


def retired(path: Path, tree: ast.AST) -> set[str]:
    return {name for name in (path.stem, *identifiers(tree)) if is_retired(name)}


def repeated_classes() -> dict[str, list[str]]:
    """Files of every public class name that more than one file of the package defines."""
    files = defaultdict[str, list[str]](list)
    for _, path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].append(path.relative_to(PACKAGE).as_posix())
    return {name: paths for name, paths in sorted(files.items()) if len(paths) > 1}


def is_checked(path: str) -> bool:
    return path.rpartition("/")[0].split("/")[0] not in NOT_YET


def test_no_identifier_has_a_retired_word() -> None:
    left = {path.relative_to(PACKAGE).as_posix(): retired(path, tree) for _, path, tree in modules()}
    assert {path: names for path, names in left.items() if names and is_checked(path)} == {}


def test_a_public_class_has_one_definition() -> None:
    repeated = repeated_classes()
    assert {name: paths for name, paths in repeated.items() if any(map(is_checked, paths))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "def told(): ...", "def f(mail_key): ...", "class KnownTalk: ...", "class Ran: ...", "self.in_turn = 1",
        "pairing = 2", "import a as duel", "lambda scene: 1", "try: ...\nexcept ValueError as told: ...",
    ],
)  # fmt: skip
def test_a_retired_word_is_found(source: str) -> None:
    assert retired(Path("module.py"), ast.parse(source))


def _print_left() -> None:
    for folder, path, tree in modules():
        if names := retired(path, tree):
            print("later" if folder in NOT_YET else "now", path.relative_to(PACKAGE), *sorted(names))  # noqa: T201
    for name, paths in repeated_classes().items():
        print("now" if any(map(is_checked, paths)) else "later", "class", name, *paths)  # noqa: T201


if __name__ == "__main__":
    _print_left()
