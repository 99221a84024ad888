"""The record of what `dagc bench --format json` prints: predicted figures beside the commands that measure them."""

from __future__ import annotations

from typing import Any

from dagc.results.record import Versioned, record

TOOLS = ("vllm", "sglang", "trtllm-bench", "aiperf")
"""Names by which tools are asked for, in the order of printing."""


@record
class Predicted:
    """A figure in SI units: seconds, tokens/s or requests/s. Half of measured cases lie between `low` and `high`.

    `statistic` is `mean`, a percentile over requests, or `last` for that of the last request of a batch. Bounds are
    null where arrivals alone decide the figure.
    """

    metric: str
    statistic: str
    value: float
    low: float | None
    high: float | None
    unit: str


@record
class ToolRun:
    """What to type for a tool; no `commands` where it cannot send the workload: `refusal` says why.

    A command is shell text, on several lines that end in a backslash. `refused` names the field of the workload that is
    in the way, `strategy` where it is the strategy. `differs` says in what the tool's load is not the plan's. `figures`
    are the tool's names of TTFT, TPOT and output tokens a second.
    """

    tool: str
    title: str
    figures: list[str]
    commands: list[str]
    differs: list[str]
    refusal: str | None = None
    refused: str | None = None


@record
class Bench:
    """One strategy: what is sent, in words and in number; predictions, with remarks on them; each tool's commands."""

    name: str
    strategy: str
    gpus: int
    workload: str
    requests: int
    warmup: int
    predicted: list[Predicted]
    remarks: list[str]
    tools: list[ToolRun]


@record
class BenchResult(Versioned):
    """The document."""

    strategies: list[Bench]
    diagnostics: list[dict[str, Any]]
