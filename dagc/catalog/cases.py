"""Measured cases that nobody on this project produced, each with the plan that describes it and its source.

`measured/cases.csv` holds a case a row, in the words of the language: model, cluster, engine, workload and strategy
make a plan; `metric` says which figure of it was measured. That is one of

    ttft, tpot          as the metrics of a plan
    request             seconds from the start of a static batch to its last token
    prefill_rate        prompt tokens a second and GPU, of the prefill alone
    weights             bytes of weights on the fullest GPU
    PHASE KEYS          seconds of the nodes of one layer whose keys match: `prefill attention.core`,
                        `decode moe.experts.up + moe.experts.down`, `prefill attention.*`
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dagc.units import lookup

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


def kinds() -> tuple[str, ...]:
    """The kinds of cases, in the order of the file."""
    return tuple(dict.fromkeys(case.kind for case in measured_cases()))


def _case(row: dict[str, str]) -> Case:
    number, _, unit = row["measured"].partition(" ")
    known = lookup(unit)
    if known is None:
        raise ValueError(f"{row['id']}: `{unit}` is no unit")
    return Case(
        id=row["id"],
        kind=row["kind"],
        plan=_plan(row),
        metric=row["metric"],
        measured=float(number) * known.scale,
        text=row["measured"],
        source=row["source"],
        licence=row["licence"],
        note=row["note"],
        fitted=row["fitted"] == "yes",
    )


def _plan(row: dict[str, str]) -> str:
    engine = f"engine {row['engine']}\n" if row["engine"] else ""
    return (
        f"model {row['model']}\ncluster {row['cluster']}\n{engine}"
        f"workload {{ {row['workload']} }}\nstrategy main = {row['strategy']}\n"
    )
