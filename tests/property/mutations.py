"""Plans as somebody might mistype them: every plan of the project, with pieces deleted, doubled, swapped and put in."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import strategies as st

from tests.harness.markdown import fenced_blocks
from tests.harness.places import EXPLAIN, ROOT, TESTS

PIECE = re.compile(r'#[^\n]*|"[^"\n]*"|[^\S\n]+|\w+|.|\n')
BLANKS = [" ", "\n", "\n\n\n", " # note\n", " #{\n", "\n# c }\n", "\t", "\r\n", "\u00a0", "\u2028", "\x0b", "\ufeff"]
SIGNS = list("(){}[]<>;|,=%#\"'-")
NUMBERS = [
    "0",
    "1",
    "-3",
    "3",
    "7",
    "1.5e3",
    "1e17",
    "999999999999999999",
    "9" * 40,
    "1e999",
    "007",
    "1_000",
    "12.",
    "0.1",
]
WORDS = [
    *("dp", "pp", "ep", "tp", "cp", "attn", "moe", "prefill", "decode", "ep 3", "tp 64", "pp 5", "cp 2 <", "dp 7 ;"),
    *("GB", "per gpu", "tokens/ms", "sp", "every 2", "zipf 1.2", "strategy", "model", "claims", "slow 3 by 5 %"),
    *("kind mla", "dtype fp8", "top 9", "layers 0", "micro 3", "[redundant 5]", "[dcp 2, sp]", "[layers 1 2]"),
    *("²", "٣", "é", "𝟜", "\u202e", "\u0000", "\ud800", "🙂", '"{"'),
]  # fmt: skip


def _plans(page: Path) -> list[str]:
    return [block.text for block in fenced_blocks(page.read_text(encoding="utf-8")) if block.language == "moe"]


EXAMPLES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.moe"))]
PAGES = [*sorted((TESTS / "pages").glob("*.md")), *sorted(EXPLAIN.glob("*.md")), ROOT / "grammar" / "README.md"]
PLANS = [*EXAMPLES, *(plan for page in PAGES for plan in _plans(page))]

_anything = st.one_of(st.sampled_from(BLANKS), st.sampled_from(SIGNS), st.sampled_from(NUMBERS), st.sampled_from(WORDS))


@st.composite
def mutated(draw: st.DrawFn, plans: list[str] = PLANS, most: int = 6) -> str:
    """A plan after one to `most` edits."""
    pieces = PIECE.findall(draw(st.sampled_from(plans)))
    for _ in range(draw(st.integers(1, most))):
        _edit(draw, pieces)
    return "".join(pieces)


def _edit(draw: st.DrawFn, pieces: list[str]) -> None:
    at = draw(st.integers(0, max(len(pieces) - 1, 0)))
    other = draw(st.integers(0, max(len(pieces) - 1, 0)))
    match draw(st.sampled_from(["put in", "replace", "delete", "double", "swap", "cut"])):
        case "put in":
            pieces.insert(at, draw(_anything))
        case "replace":
            pieces[at : at + 1] = [draw(_anything)]
        case "delete":
            del pieces[at : at + 1]
        case "double":
            pieces[at:at] = pieces[other : other + 1]
        case "swap" if pieces:
            pieces[at], pieces[other] = pieces[other], pieces[at]
        case _:
            first, last = sorted((at, other))
            del pieces[last:], pieces[:first]
