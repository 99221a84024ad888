"""A measured serving run as data: what was deployed under which load, its TPOT, and the plan that describes it.

`measured/serving_models.csv` names models: what a table calls one (`published`) in a precision, the label under which
its runs are grouped, and the model in the words of the language.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zlib import crc32

from dagc.catalog.serving_benchmark import MIN_SHARE

_MODELS = Path(__file__).parent / "measured" / "serving_models.csv"


@dataclass(frozen=True, slots=True)
class WorkerDegrees:
    """One worker: `tp` of attention, `adp` copies of attention (attention dp), `ep` of the experts."""

    tp: int
    adp: int = 1
    ep: int = 1

    @property
    def gpus(self) -> int:
        """GPUs of the worker."""
        return self.tp * self.adp

    @property
    def kind(self) -> str:
        """The kind of its strategy."""
        if self.adp > 1:
            return "attention dp"
        return "ep" if self.ep > 1 else "tp" if self.tp > 1 else "one GPU"

    @property
    def strategy(self) -> str:
        """In the words of the language. Raises ValueError where experts are cut by ep and tp at once."""
        if self.ep not in (1, self.gpus):
            raise ValueError("experts by ep and tp at once")
        if self.ep == 1 and self.adp == 1:
            return f"tp {self.tp}"
        if self.ep == 1:
            return f"moe < tp {self.gpus} > ; dp {self.adp}"
        return f"ep {self.ep} ; tp {self.tp}" if self.tp > 1 else f"ep {self.ep}"


@dataclass(frozen=True, slots=True)
class ServingRun:
    """A configuration under a load, with its measured TPOT in seconds; repeats of a row are one run, their median.

    `table` tells apart tables whose runs are not compared with each other, `engine` is as the table names it and
    `plan_engine` the engine of the plan, if it is known. `prefill` is the pool of prompts, with so many workers, where
    the phases have pools of their own; `worker` then decodes. `is_ranged`: lengths are uniform from 0.8 of the
    nominal length to all of it. `suspect` says why a row is not counted among the others.
    """

    table: str
    model: str
    precision: str
    gpu: str
    engine: str
    plan_engine: str
    version: str
    worker: WorkerDegrees
    prompt: int
    output: int
    concurrency: int
    tpot_seconds: float
    model_text: str
    workers: int = 1
    prefill: tuple[int, WorkerDegrees] | None = None
    is_ranged: bool = False
    redundant: int = 0
    suspect: str = ""
    repeats: int = 1

    @property
    def gpus(self) -> int:
        """GPUs of all pools."""
        count, worker = self.prefill or (0, self.worker)
        return self.workers * self.worker.gpus + count * worker.gpus

    @property
    def strategy(self) -> str:
        """In the words of the language. Raises ValueError where it has none."""
        own = _replicas(self.workers, self.worker.strategy, self.redundant)
        if self.prefill is None:
            return own
        count, worker = self.prefill
        return f"prefill < {_replicas(count, worker.strategy)} > | decode < {own} >"

    @property
    def kind(self) -> str:
        """The kind of its strategy."""
        return "separate pools" if self.prefill else self.worker.kind

    @property
    def configuration(self) -> tuple[object, ...]:
        """The run without its load and version."""
        worker = self.worker
        of_pools = () if self.prefill is None else (self.workers, self.prefill)
        named = self.model, self.precision, self.gpu, self.engine
        return *named, worker.tp, worker.adp, worker.ep, self.prompt, self.output, *of_pools

    @property
    def is_in_fit(self) -> bool:
        """Whether it belongs to the half of configurations that prices may be fitted to; the other half judges."""
        return crc32(repr(self.configuration).encode()) % 2 == 1

    @property
    def group(self) -> str:
        """Model, GPU and engine."""
        return f"{self.model} {self.gpu} {self.plan_engine or self.engine}"

    @property
    def words(self) -> tuple[str, ...]:
        """What names the run, each in lower case: model, precision, GPU, engine, version, kind of strategy."""
        named = self.model, self.precision, self.gpu, self.engine, self.plan_engine, self.version, self.kind
        return tuple(word.lower() for word in named)

    @property
    def plan(self) -> str:
        """The text of its plan. Raises ValueError where its strategy has no words."""
        engine = f"engine {self.plan_engine}\n" if self.plan_engine else ""
        lengths = f"prompt {_length(self.prompt, self.is_ranged)} output {_length(self.output, self.is_ranged)}"
        return (
            f"model {self.model_text}\ncluster {self.gpu} x {self.gpus}\n{engine}"
            f"workload {{ concurrency {self.concurrency} {lengths} }}\nstrategy main = {self.strategy}\n"
        )


def _replicas(count: int, strategy: str, redundant: int = 0) -> str:
    if redundant and strategy.startswith("ep "):
        degree, _, rest = strategy.partition(" ;")
        strategy = f"{degree} [redundant {redundant}]{f' ;{rest}' if rest else ''}"
    return f"dp {count} < {strategy} >" if count > 1 else strategy


def _length(tokens: int, is_ranged: bool) -> str:
    return f"{int(MIN_SHARE * tokens)} to {tokens}" if is_ranged else str(tokens)


def served_model(published: str, precision: str) -> tuple[str, str] | None:
    """Label and words of the model that a table calls so; None where it is not known in that precision."""
    return _models().get((published, precision))


def with_cache(model_text: str, dtype: str) -> str:
    """Words of a model whose cache is stored in a type; as they are where none is known or they have one."""
    if not dtype or "kv_dtype" in model_text:
        return model_text
    fields = model_text.removesuffix(" }") if "{" in model_text else f"{model_text} {{"
    return f"{fields} kv_dtype {dtype} }}"


@cache
def _models() -> dict[tuple[str, str], tuple[str, str]]:
    with _MODELS.open(encoding="utf-8", newline="") as file:
        return {(row["published"], row["precision"]): (row["label"], row["model"]) for row in csv.DictReader(file)}
