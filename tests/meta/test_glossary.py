"""Identifiers of the package use the field's terms, and a public class has one definition.

The list is `retired_words.txt` beside this module. `python -m tests.meta.test_glossary` prints what is left.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.harness.places import PACKAGE

LIST = Path(__file__).with_name("retired_words.txt")
ROWS = [line.split("\t") for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
CLASSES = re.compile("|".join(word for word, _ in ROWS if word[0].isupper()))
WORDS = re.compile("|".join(f"(?:{word.lower()})" for word, _ in ROWS if word[0].islower()))
FACADE = "api/"
"""Classes of the Python interface have the names that users read, whatever the package calls its own."""


MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}


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


def retired(path: str, tree: ast.AST) -> list[str]:
    """The identifiers of a module that have a retired word, its own name among them."""
    return sorted({name for name in (Path(path).stem, *identifiers(tree)) if is_retired(name)})


def repeated_classes(paths: Iterable[str]) -> dict[str, list[str]]:
    """Files of every public class name that more than one of these modules defines."""
    files = defaultdict[str, list[str]](list)
    for path in paths:
        classes = [node for node in ast.walk(MODULES[path]) if isinstance(node, ast.ClassDef)]
        for name in {node.name for node in classes if not node.name.startswith("_")}:
            files[name].append(path)
    return {name: files[name] for name in sorted(files) if len(files[name]) > 1}


def test_no_identifier_has_a_retired_word() -> None:
    left = {path: retired(path, MODULES[path]) for path in MODULES}
    assert {path: names for path, names in left.items() if names} == {}


def test_a_public_class_has_one_definition() -> None:
    assert repeated_classes(path for path in MODULES if not path.startswith(FACADE)) == {}


@pytest.mark.parametrize(
    "source",
    [
        "def told(): ...", "def f(mail_key): ...", "class KnownTalk: ...", "class Ran: ...", "self.in_turn = 1",
        "pairing = 2", "import a as duel", "lambda scene: 1", "try: ...\nexcept ValueError as told: ...",
    ],
)  # fmt: skip
def test_a_retired_word_is_found(source: str) -> None:
    assert retired("module.py", ast.parse(source))


def _print_left() -> None:
    for path, tree in MODULES.items():
        if names := retired(path, tree):
            print(path, *names)  # noqa: T201
    for name, paths in repeated_classes(path for path in MODULES if not path.startswith(FACADE)).items():
        print("class", name, *paths)  # noqa: T201


if __name__ == "__main__":
    _print_left()
