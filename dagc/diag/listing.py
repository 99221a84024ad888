"""The list of all codes as a page, from their explain pages.

The page `codes.md` lies beside this module; when a code is added, `python -m dagc.diag.listing` rewrites it, and a
test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from dagc.diag.diagnostic import Family
from dagc.diag.explain import CodeSummary, listed

PAGE = Path(__file__).parent / "codes.md"

_HEAD = """\
# Codes

Every code that a diagnostic can have. `dagc explain CODE` explains its meaning, the reason, and the fix; `dagc
rules` prints this list. Codes are never reused. Advice can be allowed or denied; what is off is silent until it is
asked for.
"""

_TITLES = {
    Family.SYNTAX: "syntax",
    Family.NAMES: "names",
    Family.HIERARCHY: "hierarchy",
    Family.DEGREES: "degrees",
    Family.GPUS: "GPUs and placement",
    Family.MEMORY: "memory",
    Family.REQUIREMENTS: "requirements",
    Family.CLAIMS: "claims",
    Family.ADVICE: "advice",
    Family.LIMITS: "what a command leaves out because it would take too long",
    Family.INVARIANT: "graph invariants, which a plan cannot break: a bug of the compiler",
    Family.FILES: "files",
}


def page() -> str:
    """The list as Markdown, a table a family."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    order = list(Family)
    rules = sorted(listed(), key=lambda one: (order.index(one.code.family), one.code.code))
    for family, members in groupby(rules, key=lambda one: one.code.family):
        rows = "".join(_row(member) for member in members)
        yield f"## {family.value}: {_TITLES[family]}\n\n| code | name | | |\n|---|---|---|---|\n{rows}"


def _row(one: CodeSummary) -> str:
    summary = one.summary.replace("|", "\\|")
    return f"| [{one.code.code}](explain/{one.code.code}.md) | `{one.code.name}` | {one.weight} | {summary} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
