"""How a public serving benchmark runs: limits of the servers by date, lengths of the requests, runs that do not count.

SemiAnalysisAI/InferenceX @ 843c6254 measures closed loops on DeepSeek-R1 every few weeks. Its tables name the hardware,
the engine, the degrees and the load of a row; limits of the scheduler are in its scripts alone. `serving_settings.csv`
has what they state, with the script of each line; an empty cell of the first columns holds for all, and `-` for rows
that state no image. A line without limits says what the cache is stored in alone. No measured figure is among them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dagc.catalog.serving_pools import WorkerShape

_SETTINGS = Path(__file__).parent / "measured" / "serving_settings.csv"
_ROWS = _SETTINGS.with_name("serving_rows.csv")
"""Rows that are not what they say: a reason not to score them or to score them apart (`doubt`), or experts by ep where
the row says ep 1."""

WARM_FROM = "2026-01-21"
"""From this day each run begins with an untimed one of 2 x concurrency requests (InferenceX d053ae24e)."""

PROMPTS_PER_CONCURRENCY, OF_POOLS = (10, 20, 50), (10, 8, 5)
"""Timed requests are so many times the concurrency, on one node and with separate pools; which one, the script of the
launcher says."""

TEMPLATE_TOKENS = 3
"""Tokens of DeepSeek-R1's chat template, which the client of separate pools adds to a prompt and counts."""

MIN_SHARE = 0.8
"""`--random-range-ratio`: lengths are uniform from this share of the nominal length to all of it."""


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """What a row of a table of measured serving runs says of its run. Lengths are nominal, in tokens.

    With separate pools `tp`, `ep` and attention dp are those of a prefill worker, of which there are `workers`, and
    `decode` is the other pool. `has_whole_pools` is whether workers times width are the GPUs that the row counts.
    """

    hardware: str
    framework: str
    precision: str
    tp: int
    ep: int
    has_attention_dp: bool
    prompt: int
    output: int
    concurrency: int
    date: str
    image: str = ""
    drafts: str = "none"
    workers: int = 1
    decode: WorkerShape | None = None
    has_whole_pools: bool = True
    model: str = "dsr1"

    @property
    def worker(self) -> WorkerShape:
        """The only worker, or the pool of prefill."""
        return WorkerShape(self.workers, self.tp, self.ep, self.has_attention_dp)

    @property
    def deployment(self) -> tuple[str, str, str, WorkerShape, WorkerShape | None]:
        """The row without lengths, load, day and version."""
        return self.hardware, self.framework, self.precision, self.worker, self.decode

    @property
    def configuration(self) -> tuple[object, ...]:
        """The row without its load, day and version."""
        return *self.deployment, self.prompt, self.output


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits of the scheduler of one run, for one rank.

    `prompt_budget` is the most prompt tokens of a step that holds prompts alone (SGLang: the chunk). TensorRT-LLM has
    `num_tokens` in its place, of prompts and decoded sequences together. `receive_interval` is SGLang's
    `--scheduler-recv-interval` in decode steps.
    """

    kv_dtype: str
    max_running: int
    prompt_budget: int | None
    num_tokens: int | None
    receive_interval: int


def server_limits(row: BenchmarkRow) -> ServerLimits | None:
    """Limits that the script of the day gave to the server; None where no script is known."""
    for line in _lines(_SETTINGS):
        if not line["max_running"] or not _holds(line, row):
            continue
        interval = line["receive_interval_from_16" if row.concurrency >= 16 else "receive_interval"]
        floor = line["fewest_num_tokens"]
        return ServerLimits(
            kv_dtype=line["kv_dtype"],
            max_running=int(line["max_running"]),
            prompt_budget=int(line["prompt_budget"]) if line["prompt_budget"] else None,
            num_tokens=max(int(floor), _num_tokens(row)) if floor else None,
            receive_interval=int(interval or 1),
        )
    return None


def cache_dtype(row: BenchmarkRow) -> str:
    """What the cache is stored in where scripts say it; nothing where none does, or where those of other days differ.

    Recipes of separate pools are not among them.
    """
    if row.decode is not None:
        return ""
    known = (line for line in _lines(_SETTINGS) if _is_named(line, row))
    found = {line["kv_dtype"] for line in known if not row.date or _is_of_day(line, row.date)}
    return found.pop() if len(found) == 1 else ""


def _num_tokens(row: BenchmarkRow) -> int:
    """`--max_num_tokens` of the scripts of TensorRT-LLM: one prompt beside the decoded sequences, in whole 64s."""
    return (row.concurrency + row.prompt + 64 + 63) // 64 * 64


def _holds(line: dict[str, str], row: BenchmarkRow) -> bool:
    if not _is_named(line, row):
        return False
    if not row.date:
        return not line["since"] and not line["until"]
    return _is_of_day(line, row.date)


def _is_of_day(line: dict[str, str], date: str) -> bool:
    return line["since"] <= date and (not line["until"] or date < line["until"])


def _is_named(line: dict[str, str], row: BenchmarkRow) -> bool:
    named = {
        "model": row.model, "hardware": row.hardware, "framework": row.framework, "precision": row.precision,
        "image": row.image or "-", "tp": str(row.tp), "ep": str(row.ep), "prompt": str(row.prompt),
        "output": str(row.output),
    }  # fmt: skip
    return all(line.get(column, "") in ("", value) for column, value in named.items())


@cache
def _lines(path: Path) -> tuple[dict[str, str], ...]:
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def unusable(row: BenchmarkRow) -> str | None:
    """Why a row says nothing of the deployment that it names; None where it counts."""
    if row.drafts not in ("", "none"):
        return "speculative decoding whose acceptance is not stated"
    if not row.has_whole_pools:
        return "workers times width are not the GPUs of the row"
    if row.decode is None:
        return next((line["reason"] for line in _lines(_ROWS) if line["reason"] and _holds(line, row)), None)
    return None


def doubt(row: BenchmarkRow) -> str:
    """Why a row is scored apart from the others; nothing where it is not."""
    return next((line["doubt"] for line in _lines(_ROWS) if line["doubt"] and _holds(line, row)), "")


def as_run(row: BenchmarkRow) -> BenchmarkRow:
    """The row with the experts of its run, where the script of the day split them by ep and the row says ep 1."""
    has_one_width = row.decode is None and not row.has_attention_dp
    is_parallel = has_one_width and any(line["runs_ep"] and _holds(line, row) for line in _lines(_ROWS))
    return replace(row, ep=row.tp) if is_parallel else row


def is_stalled(row: BenchmarkRow) -> bool:
    """Whether the run began cold, so that compilation of kernels is in its high percentiles (60 to 90 s on B200)."""
    return row.date < WARM_FROM
