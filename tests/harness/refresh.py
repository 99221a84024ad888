"""Writes anew what the pages show of commands: `python -m tests.harness.refresh`, to read through before a commit.

Each console block of the README and of docs/ is run, and what a command prints replaces what stood below it. Where
an ellipsis stood for lines, it stays, with as many lines before and after it as before. The flowcharts and the showcase
are made again too, and so are the answers to the queries in the page on the trace, what blocks of Python print, and the
copy of the glossary. Names of pages, `questions/fit`, restrict it to these pages.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from tests.harness import documents, shell
from tests.harness.places import EXAMPLES, PACKAGE, README, ROOT
from tests.harness.queries import answer
from tests.harness.traceprocessor import TraceProcessor

_BLOCK = re.compile(r"^(?P<fence>```console(?: slow)?)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FLOWCHART = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)
SHOWCASE = ROOT / "out" / "showcase" / "attention-ffn-pools"
ANSWER = ROOT / "out" / "showcase" / "deepseek-v3-8-gpus-serving" / "answer.svg"
_QUERY = re.compile(r"(?P<query>^```sql\n(?P<sql>.*?)^```\n\n```text\n).*?^```$", re.MULTILINE | re.DOTALL)
TRACE_PAGE = ROOT / "docs" / "trace.md"
_PYTHON = re.compile(
    r"(?P<code>^```python\n(?P<text>(?:(?!```).*\n)*)```\n\n```text\n)(?:(?!```).*\n)*```$", re.MULTILINE
)


def refreshed(block: str, directory: Path) -> str:
    """A console block with what its commands print now."""
    parts = re.split(r"^(?=\$ )", block, flags=re.MULTILINE)
    return "".join(_step(part, directory) if part.startswith("$ ") else part for part in parts)


def _step(part: str, directory: Path) -> str:
    (step,) = shell.steps(part)
    outcome = shell.run_step(step, directory)
    if outcome.status != step.status:
        raise SystemExit(f"$ {step.command}\nexit {outcome.status}, not {step.status}:\n{outcome.output}")
    if shell.matches(step.expected, outcome.output):
        return part
    command = part[: len(part) - len(step.expected)]
    return command + _abridged(step.expected, outcome.output.rstrip("\n"))


def with_consoles(page: str, directory: Path) -> str:
    """A page with what the commands of its console blocks print now."""
    return _BLOCK.sub(lambda found: f"{found['fence']}\n{refreshed(found['text'], directory)}```", page)


def with_python(page: str) -> str:
    """A page with what its blocks of Python print now, one after the other with the same names."""
    names: dict[str, Any] = {}

    def printed(found: re.Match[str]) -> str:
        with redirect_stdout(StringIO()) as out:
            exec(found["text"], names)
        return f"{found['code']}{trimmed(out.getvalue())}```"

    return _PYTHON.sub(printed, page)


def trimmed(printed: str) -> str:
    """What is printed, without blanks at the ends of lines and of the whole."""
    return "\n".join(line.rstrip() for line in printed.rstrip().split("\n")) + "\n"


def _abridged(expected: str, printed: str) -> str:
    """What is printed, with the ellipses that stood in what was expected."""
    old, new = expected.rstrip("\n").split("\n"), [line.rstrip() for line in printed.split("\n")]
    gap = "\n" * max(len(expected) - len(expected.rstrip("\n")), 1)
    if shell.ELLIPSIS not in old:
        return "\n".join(new) + gap
    first = old.index(shell.ELLIPSIS)
    last = len(old) - 1 - old[::-1].index(shell.ELLIPSIS)
    tail = len(old) - 1 - last
    return "\n".join([*new[:first], shell.ELLIPSIS, *(new[-tail:] if tail else [])]) + gap


def rewritten(page: str) -> str:
    """A page with what its consoles, its blocks of Python and its flowchart show now."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        documents.prepare(page, directory)
        text = with_python(with_consoles(page, directory))
        return _FLOWCHART.sub(lambda _: f"```mermaid\n{flowchart(directory)}```", text)


def flowchart(directory: Path) -> str:
    """The Mermaid text of the first example, written below a directory."""
    plan = EXAMPLES / "01-deepseek-v3-64-gpus.moe"
    shell.run_dagc("export", str(plan), "--format", "mermaid", "-o", str(directory), cwd=directory)
    return (directory / plan.stem / "main" / "graph.mmd").read_text(encoding="utf-8")


def main() -> None:
    """Rewrite the pages that are named, or all, and the pictures of the showcase."""
    shutil.copyfile(PACKAGE / "diag" / "glossary.md", ROOT / "docs" / "glossary.md")
    wanted = set(sys.argv[1:])
    for page in documents.DOCS:
        if not wanted or documents.name(page) in wanted:
            page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
    if wanted:
        return
    README.write_text(rewritten(README.read_text(encoding="utf-8")), encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        pools = EXAMPLES / "05-attention-ffn-pools.moe"
        shell.run_dagc("compile", str(pools), "-o", name, cwd=directory)
        for shown in SHOWCASE.glob("*.svg"):
            shown.write_bytes((directory / pools.stem / "one_pool" / shown.name).read_bytes())
        serving = EXAMPLES / "07-deepseek-v3-8-gpus-serving.moe"
        shell.run_dagc("compile", str(serving), "-o", name, cwd=directory)
        ANSWER.write_bytes((directory / serving.stem / "main" / "answer.svg").read_bytes())
        plan = EXAMPLES / "01-deepseek-v3-64-gpus.moe"
        shell.run_dagc("compile", str(plan), "-o", name, cwd=directory)
        _answer_queries(directory / plan.stem / "main" / "trace.json")


def _answer_queries(trace: Path) -> None:
    """The tables of the page on the trace."""
    with TraceProcessor(trace) as processor:
        text = TRACE_PAGE.read_text(encoding="utf-8")
        asked = _QUERY.sub(lambda found: f"{found['query']}{answer(processor, found['sql'])}```", text)
    TRACE_PAGE.write_text(asked, encoding="utf-8")


if __name__ == "__main__":
    main()
