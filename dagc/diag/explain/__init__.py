"""The explain pages: one Markdown file for each code, in this folder, read as package data.

Each begins with the code and its name, its severity, whether it is on by default, and one sentence. So the pages are
also the table of all codes, for what must not import every rule to know them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from dagc.diag.diagnostic import Code, Severity

_NAME = re.compile(r"([A-Z][0-9]{3})\.md")
_HEAD = re.compile(
    r"# (?P<code>[A-Z][0-9]{3}) (?P<name>\S+)\n\n"
    r"\*\*(?P<severity>error|warning)(?P<off>, off by default)?\.\*\* (?P<summary>.+?)\n\n",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class CodeSummary:
    """A code as its page has it, with the page's first sentences on one line."""

    code: Code
    summary: str

    @property
    def weight(self) -> str:
        """`error` or `warning`; `off` of a warning that is silent until it is asked for."""
        return str(self.code.severity) if self.code.is_default else "off"


def page(code: str) -> str | None:
    """The page of a code such as `D203`, in any case of letters; None when there is none."""
    wanted = code.strip().upper()
    return (files(__name__) / f"{wanted}.md").read_text("utf-8") if wanted in codes() else None


def title(code: str) -> str:
    """Code and name, as its page has them in the first line: `D203 ep-exceeds-experts`. The page must exist."""
    first, _, _ = (files(__name__) / f"{code}.md").read_text("utf-8").partition("\n")
    return first.removeprefix("# ")


def codes() -> tuple[str, ...]:
    """Every code that has a page, in order."""
    names = (_NAME.fullmatch(entry.name) for entry in files(__name__).iterdir())
    return tuple(sorted(name[1] for name in names if name))


@cache
def listed() -> tuple[CodeSummary, ...]:
    """Every code that has a page, in order."""
    texts = ((files(__name__) / f"{code}.md").read_text("utf-8") for code in codes())
    heads = (_HEAD.match(text) for text in texts)
    return tuple(_listed(head) for head in heads if head)


def summary(code: str) -> str | None:
    """The first sentences of a code's page; None when there is none."""
    return next((one.summary for one in listed() if one.code.code == code), None)


def _listed(head: re.Match[str]) -> CodeSummary:
    code = Code(head["code"], head["name"], Severity(head["severity"]), is_default=head["off"] is None)
    return CodeSummary(code, " ".join(head["summary"].split()))
