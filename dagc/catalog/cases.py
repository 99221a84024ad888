"""Measured cases that nobody on this project produced, each with the plan that describes it and its source.

`measured/cases.csv` holds a case a row, in the words of the language: model, cluster, engine, workload and strategy
make a plan; `metric` says which figure of it was measured. That is one of

    ttft                of a static batch, as the metric of a plan
    tpot                as the metric of a plan
    request             seconds from the start of a static batch to its last token
    prefill_rate        prompt tokens a second and GPU, of the prefill alone
    weights             bytes of weights on the fullest GPU
    PHASE KEYS          seconds of the nodes of one layer whose keys match: `prefill attention.core`,
                        `decode moe.experts.up + moe.experts.down`, `prefill attention.*`

A table of one's own has the same columns; `engine`, `source`, `licence`, `fitted` and `note` may be left out.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.source import Source
from dagc.units import lookup

BAD_CASES = Code("X403", "bad-cases")

_NEEDED = ("id", "kind", "model", "cluster", "workload", "strategy", "metric", "measured")

FILE = Path(__file__).parent / "measured" / "cases.csv"


@dataclass(frozen=True, slots=True)
class Case:
    """One measured case. `measured` is in the SI unit of its metric, `text` as it was published.

    `fitted`: some coefficient was fitted to it among others, or which rows of its table were is not on record.
    """

    id: str
    kind: str
    plan: str
    metric: str
    measured: float
    text: str
    source: str
    licence: str
    note: str
    fitted: bool = False


@cache
def measured_cases() -> tuple[Case, ...]:
    """All cases, in the order of the file: kind by kind."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(_case(row) for row in csv.DictReader(file))


def table_reader(text: str) -> csv.DictReader[str]:
    """Reads the rows of a CSV text. A cell may be as long as the text, whose size is limited where it is read."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    return csv.DictReader(text.splitlines())


def read_cases(source: Source) -> tuple[tuple[tuple[int, Case], ...], tuple[Diagnostic, ...]]:
    """The cases of a table of one's own, each with its line, kinds together, and what is wrong with rows."""
    reader = table_reader(source.text)
    missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        columns = " and ".join(f"`{name}`" for name in missing)
        advice = "`dagc explain X403` shows a table"
        return (), (BAD_CASES.at(None, f"a table of measured cases needs a column {columns}", help=(advice,)),)
    found: list[tuple[int, Case]] = []
    problems: list[Diagnostic] = []
    for row in reader:
        cells = {name: (cell or "").strip() for name, cell in row.items() if isinstance(cell, str | None) and name}
        try:
            found.append((reader.line_num, _case(cells)))
        except ValueError as reason:
            problems.append(bad_case(source, reader.line_num, str(reason)))
    return tuple(sorted(found, key=lambda one: one[1].kind)), tuple(problems)


def bad_case(source: Source, line: int, reason: str) -> Diagnostic:
    """A row of a table of cases that has no answer."""
    start = source.line_starts[min(line, len(source.line_starts)) - 1]
    place = source.span(start, start + len(source.line(min(line, len(source.line_starts)))))
    return BAD_CASES.at(place, reason, "in this row", help=("`dagc explain X403` shows what a row holds",))


def kinds() -> tuple[str, ...]:
    """The kinds of cases, in the order of the file."""
    return tuple(dict.fromkeys(case.kind for case in measured_cases()))


def _case(row: Mapping[str, str]) -> Case:
    """Raises ValueError where what was measured is not a positive number with a unit."""
    number, _, unit = row["measured"].partition(" ")
    known = lookup(unit)
    if known is None:
        raise ValueError(f"`{row['measured']}` is not a number with a unit, such as `12.5 ms`")
    measured = float(number) * known.scale
    if not 0 < measured < inf:
        raise ValueError(f"`{row['measured']}` is not a positive number")
    return Case(
        id=row["id"],
        kind=row["kind"],
        plan=_plan(row),
        metric=row["metric"],
        measured=measured,
        text=row["measured"],
        source=row.get("source", ""),
        licence=row.get("licence", ""),
        note=row.get("note", ""),
        fitted=row.get("fitted") == "yes",
    )


def _plan(row: Mapping[str, str]) -> str:
    engine = f"engine {row['engine']}\n" if row.get("engine") else ""
    return (
        f"model {row['model']}\ncluster {row['cluster']}\n{engine}"
        f"workload {{ {row['workload']} }}\nstrategy main = {row['strategy']}\n"
    )
