"""What a request waits for outside of the steps of the model: entry, host launches, the first burst on a fresh server.

Steps are priced from the graph. Beside them a request passes an HTTP server, a tokenizer and a queue between processes;
and a step of prompts runs without a CUDA graph, so that the host launches its kernels one by one.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

FITTED_LAYERS = 61
"""Layers of DeepSeek-R1, whose runs the launches of prompts were fitted to."""

_POOLS = "dynamo-"
"""What the names of frameworks begin with that serve from separate pools."""

_FILE = Path(__file__).parent / "measured" / "serving_overheads.csv"


@dataclass(frozen=True, slots=True)
class ServingOverhead:
    """Seconds outside of steps, of one framework on GPUs of one vendor; `plan_engine` is its engine in a plan.

    A request enters the scheduler `entry_seconds` + `entry_seconds_per_token` x prompt after it was sent; one tokenizer
    takes requests that come together one after the other. A step of prompts alone takes `prefill_launch_seconds` at
    least, `exchange_launch_seconds` where ranks of attention dp exchange tokens with experts: the kernels for prompts
    tell the host in each layer how many rows came, which waits for them (deepseek-ai/DeepEP @ dd758caf, README).

    The first `cold_steps` steps with prompts of a benchmark's run take `cold_seconds` longer each: kernels are compiled
    or tuned for shapes that the warm-up, copies of one request, has not had. The client and the front end of separate
    pools spend `client_seconds` of one core on each request, one after the other.

    `ttft_error_seconds` is half of the interval that holds 80 % of the errors of TTFT in the loads of the fit with at
    most 16 requests in flight; errors of step times are part of it.
    """

    entry_seconds: float = 0.0
    entry_seconds_per_token: float = 0.0
    prefill_launch_seconds: float = 0.0
    exchange_launch_seconds: float = 0.0
    cold_seconds: float = 0.0
    client_seconds: float = 0.0
    ttft_error_seconds: float = 0.0
    cold_steps: int = 0
    plan_engine: str = ""

    def entry(self, prompt: float) -> float:
        """Seconds from the client to the scheduler, of a request with so many prompt tokens."""
        return self.entry_seconds + self.entry_seconds_per_token * prompt

    def prefill_floor(self, *, exchanges: bool) -> float:
        """Seconds that a step of prompts alone takes at least; `exchanges` as between attention dp and experts."""
        return self.exchange_launch_seconds if exchanges else self.prefill_launch_seconds


def serving_overhead(framework: str, device: str) -> ServingOverhead | None:
    """That of a framework on a device; None where none is known."""
    return _entries().get((framework, "amd" if device.startswith("mi") else "nvidia"))


def plan_overhead(engine: str, device: str, layers: int, *, has_pools: bool, exchanges: bool) -> ServingOverhead:
    """That of a server of a plan's engine, in its steady state; nothing where none is known.

    `exchanges` where its prompts are those of attention dp, whose ranks exchange tokens with experts.

    The host launches as many kernels as a model has layers, and it was fitted to one of `FITTED_LAYERS`.
    """
    vendor = "amd" if device.startswith("mi") else "nvidia"
    for (framework, of), one in _entries().items():
        if engine and one.plan_engine == engine and of == vendor and framework.startswith(_POOLS) == has_pools:
            launch = one.prefill_floor(exchanges=exchanges) * layers / FITTED_LAYERS
            return replace(one, prefill_launch_seconds=launch, cold_seconds=0.0, cold_steps=0, client_seconds=0.0)
    return ServingOverhead()


def framework_of(engine: str) -> str:
    """What the benchmark calls an engine where one service has both phases; the engine's name where it has no entry."""
    named = (framework for (framework, _), one in _entries().items() if one.plan_engine == engine)
    return next((one for one in named if not one.startswith(_POOLS)), engine)


@cache
def _entries() -> dict[tuple[str, str], ServingOverhead]:
    names = (
        "entry_seconds", "entry_seconds_per_token", "prefill_launch_seconds", "exchange_launch_seconds",
        "cold_seconds", "client_seconds", "ttft_error_seconds",
    )  # fmt: skip
    with _FILE.open(encoding="utf-8", newline="") as file:
        return {
            (row["framework"], row["vendor"]): ServingOverhead(
                **{name: float(row[name]) for name in names},
                cold_steps=int(row["cold_steps"]),
                plan_engine=row["plan_engine"],
            )
            for row in csv.DictReader(file)
        }
