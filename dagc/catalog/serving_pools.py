"""Limits of the servers of a public benchmark of separate pools, as its recipes state them.

`serving_pools.csv` has a line for each configuration and concurrency, with its recipe: of NVIDIA/srt-slurm @ d9f463cf
and of SemiAnalysisAI/InferenceX @ 843c6254 (`nvidia-master.yaml` for runs before the recipes). Limits are for one rank;
SGLang divides those of its recipes by the width of attention dp. An empty cell is the engine's default. No measured
figure is among them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).parent / "measured" / "serving_pools.csv"

_DEFAULT_RUNNING = 2048


@dataclass(frozen=True, slots=True)
class WorkerShape:
    """A pool: so many workers, each of `tp` GPUs, with ep and attention dp as wide or without."""

    workers: int
    tp: int
    ep: int
    has_attention_dp: bool

    def __str__(self) -> str:
        """As in tables: `5 x tp 8 ep 8`."""
        ep = f" ep {self.ep}" if self.ep > 1 else ""
        return f"{self.workers} x {'dp' if self.has_attention_dp else 'tp'} {self.tp}{ep}"

    @property
    def attention_ranks(self) -> int:
        """Ranks of a worker that have queues of their own."""
        return self.tp if self.has_attention_dp else 1


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Limits of a rank of both pools: requests, prompt tokens of a step, tokens of the cache (None: as memory allows).

    `request_rate` in requests a second is how fast the client lets its first burst go; None is all at once.
    """

    prefill_running: int
    prefill_tokens: int
    prefill_cache_tokens: int | None
    decode_running: int
    decode_cache_tokens: int | None
    decode_redundant: int
    request_rate: float | None


def pool_limits(
    named: tuple[str, str, str, int, int], prefill: WorkerShape, decode: WorkerShape, concurrency: int
) -> PoolLimits | None:
    """Limits of a run by (hardware, framework, precision, prompt, output), pools and load; None without a recipe."""
    return _lines().get((*named, prefill, decode, concurrency))


@cache
def _lines() -> dict[tuple[object, ...], PoolLimits]:
    with _FILE.open(encoding="utf-8", newline="") as file:
        return {_key(row): _limits(row) for row in csv.DictReader(file)}


def _key(row: dict[str, str]) -> tuple[object, ...]:
    shapes = [
        WorkerShape(
            int(row[f"{pool}_workers"]),
            int(row[f"{pool}_tp"]),
            int(row[f"{pool}_ep"]),
            row[f"{pool}_attention_dp"] == "True",
        )
        for pool in ("prefill", "decode")
    ]
    named = row["hardware"], row["framework"], row["precision"], int(row["prompt"]), int(row["output"])
    return *named, *shapes, int(row["concurrency"])


def _limits(row: dict[str, str]) -> PoolLimits:
    def count(name: str) -> int | None:
        return int(row[name]) if row[name] else None

    return PoolLimits(
        prefill_running=count("prefill_running") or _DEFAULT_RUNNING,
        prefill_tokens=count("prefill_tokens") or 8192,
        prefill_cache_tokens=count("prefill_cache_tokens"),
        decode_running=count("decode_running") or _DEFAULT_RUNNING,
        decode_cache_tokens=count("decode_cache_tokens"),
        decode_redundant=count("decode_redundant") or 0,
        request_rate=float(row["request_rate"]) if row["request_rate"] else None,
    )
