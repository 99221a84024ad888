"""Digests of every output of a plan: what each command prints, and each file that it writes.

A row of the table is a plan, a column an output; a cell has the first eight hexadecimal digits of the SHA-256 of the
output over all strategies of the plan, `-` where the plan has no such output. Lines of progress, which come when a
machine is slow, are no part of an output.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from click.testing import CliRunner

from dagc.cli.main import main
from tests.harness.places import EXAMPLES
from tests.harness.shell import PROGRESS

HERE = Path(__file__).parent
PLANS, DIGESTS = HERE / "plans.txt", HERE / "digests.tsv"
SEPARATOR = "---\n"

Row = dict[str, str]
"""Digest by output."""

COMMANDS = {
    "check": ("check", "plan.moe"),
    "check.json": ("check", "plan.moe", "--format", "json"),
    "compile": ("compile", "plan.moe", "-o", "compile"),
    "memory": ("memory", "plan.moe"),
    "memory.json": ("memory", "plan.moe", "--format", "json"),
    "launch": ("launch", "plan.moe"),
    "chakra": ("export", "plan.moe", "-o", "chakra", "--format", "chakra"),
    "mermaid": ("export", "plan.moe", "-o", "mermaid", "--format", "mermaid"),
    "compare": ("compare", "plan.moe"),
    "compare.json": ("compare", "plan.moe", "--format", "json"),
    "compare.html": ("compare", "plan.moe", "--page", "compare.html"),
}
SLOW_COMMANDS = {
    "check.sarif": ("check", "plan.moe", "--format", "sarif"),
    "perfetto": ("compile", "plan.moe", "-o", "perfetto", "--trace-format", "perfetto", "--view", "deployment"),
    "kineto": ("compile", "plan.moe", "-o", "kineto", "--trace-format", "kineto", "--view", "deployment"),
    "graphml": ("export", "plan.moe", "-o", "graphml", "--format", "graphml"),
    "whatif": ("whatif", "plan.moe", "--only", "workload", "--only", "strategy"),
    "whatif.json": ("whatif", "plan.moe", "--only", "workload", "--format", "json"),
    "whatif.svg": ("whatif", "plan.moe", "--only", "workload", "--format", "svg"),
    "search": ("search", "plan.moe", "--gpus", "4", "--most", "300", "--workers", "1", "-o", "search"),
}
"""Run for one plan in ten."""


def plans() -> dict[str, str]:
    """The examples by file name, and the recorded plans by number."""
    found = {path.name: path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.moe"))}
    recorded = PLANS.read_text(encoding="utf-8").split(SEPARATOR)
    return found | {f"{number:03}": text for number, text in enumerate(recorded)}


def rows(chosen: dict[str, str], workers: int) -> Iterator[tuple[str, Row]]:
    """Each plan with its digests, in order."""
    slow = set(list(plans())[::10])
    with ProcessPoolExecutor(workers) as pool:
        tasks = {name: pool.submit(digests, text, name in slow) for name, text in chosen.items()}
        for name, task in tasks.items():
            yield name, task.result()


def digests(text: str, with_slow: bool) -> Row:
    """The digest of each output of one plan."""
    row: Row = {}
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        Path("plan.moe").write_text(text, encoding="utf-8")
        for output, arguments in (COMMANDS | SLOW_COMMANDS if with_slow else COMMANDS).items():
            result = CliRunner().invoke(main, arguments)
            printed = f"{result.exit_code}\n{result.stdout}\n{PROGRESS.sub('', result.stderr)}"
            row[output] = _digest([printed.encode()])
            row |= _files(Path(arguments[arguments.index("-o") + 1])) if "-o" in arguments else {}
        if Path("compare.html").exists():
            row["compare.html/page"] = _digest([Path("compare.html").read_bytes()])
        os.chdir("/")
    return row


def _files(directory: Path) -> Row:
    """Files of one name, or in one folder below a strategy's, share a digest; manifests repeat what the others have."""
    found: dict[str, list[bytes]] = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            inside = path.relative_to(directory).parts[2:]
            column = inside[0] if inside else path.name
            found.setdefault(f"{directory}/{column}", []).append(str(path).encode() + b"\n" + path.read_bytes())
    return {column: _digest(parts) for column, parts in found.items()}


def _digest(parts: list[bytes]) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:8]


def read() -> dict[str, Row]:
    """The recorded table, empty before the first."""
    if not DIGESTS.exists():
        return {}
    head, *lines = DIGESTS.read_text(encoding="utf-8").splitlines()
    columns = head.split("\t")[1:]
    table: dict[str, Row] = {}
    for line in lines:
        name, *cells = line.split("\t")
        table[name] = {column: cell for column, cell in zip(columns, cells, strict=True) if cell != "-"}
    return table


def write(table: dict[str, Row]) -> None:
    """Record a table."""
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    lines = ["\t".join([name, *(row.get(column, "-") for column in columns)]) for name, row in table.items()]
    DIGESTS.write_text("\n".join(["\t".join(["plan", *columns]), *lines]) + "\n", encoding="utf-8")


def differences(before: dict[str, Row], after: dict[str, Row]) -> dict[str, list[str]]:
    """Plans of which an output differs, by output; only plans that both tables have."""
    found: dict[str, list[str]] = {}
    for name in before.keys() & after.keys():
        for column in before[name].keys() | after[name].keys():
            if before[name].get(column) != after[name].get(column):
                found.setdefault(column, []).append(name)
    return {column: sorted(names) for column, names in sorted(found.items())}
