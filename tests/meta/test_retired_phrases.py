"""Outputs, messages and pages use the field's terms: phrases that were retired come back nowhere.

The list is `retired_phrases.txt` beside this module.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagc.cli.main import main
from tests.harness.places import EXAMPLES, ROOT

LIST = Path(__file__).with_name("retired_phrases.txt")
PHRASES = [line.split("\t") for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
RETIRED = re.compile("|".join(f"(?:{phrase})" for phrase, _ in PHRASES), re.IGNORECASE)
PAGES = [
    ROOT / "README.md", ROOT / "grammar" / "README.md", ROOT / "dagc" / "diag" / "codes.md",
    *(ROOT / "docs").glob("**/*.md"), *(ROOT / "dagc" / "diag" / "explain").glob("*.md"),
]  # fmt: skip


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every string, docstrings among them; what an f-string puts in is `{}`."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


def retired(text: str) -> list[str]:
    """The retired phrases of a text, which may be broken over lines."""
    return [found[0] for found in RETIRED.finditer(re.sub(r"[ \n]+", " ", text))]


def of_source(source: str) -> list[tuple[int, list[str]]]:
    return [(line, found) for line, text in literals(ast.parse(source)) if (found := retired(text))]


def test_no_string_of_the_package_says_them() -> None:
    sources = sorted((ROOT / "dagc").rglob("*.py"))
    found = {path.relative_to(ROOT).as_posix(): of_source(path.read_text(encoding="utf-8")) for path in sources}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_no_page_says_them() -> None:
    found = {path.relative_to(ROOT).as_posix(): retired(path.read_text(encoding="utf-8")) for path in PAGES}
    assert {name: phrases for name, phrases in found.items() if phrases} == {}


@pytest.mark.parametrize("example", ["02-mixtral-8-gpus", "04-prefill-decode-pools"])
def test_no_output_of_an_example_says_them(example: str, tmp_path: Path) -> None:
    """What the command prints, the page, and the pictures."""
    result = CliRunner().invoke(main, ["compile", str(EXAMPLES / f"{example}.moe"), "-o", str(tmp_path)])
    shown = {"output": result.output}
    for path in (*tmp_path.rglob("*.svg"), *tmp_path.rglob("*.html"), *tmp_path.rglob("*.dot")):
        shown[path.name] = re.sub(r"<(style|script)\b.*?</\1>|<[^>]+>", " ", path.read_text(encoding="utf-8"))
    assert len(shown) > 8
    assert {name: found for name, text in shown.items() if (found := retired(text))} == {}


@pytest.mark.parametrize(
    "source",
    [
        'x = "bound by bubble: 42 %"', 'x = f"bound by {bound}"', 'x = f"{seconds} from an " "empty pipeline"',
        'x = """Room for 3 tokens of KV\ncache."""', 'def f():\n    """What was reckoned with."""',
        'x = "needs 1 GPUs"',
    ],
)  # fmt: skip
def test_a_string_with_one_is_found(source: str) -> None:
    assert of_source(source)
