"""What a plan asks of a deployment, and what its author claims of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from dagc.metrics import OF_PERCENTILE, SIMULATED, TTFT, Metric, TtftDefinition, metric_named
from dagc.source import Span

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

OPEN = 10**6
"""Requests in flight of an open loop: no limit, until the caches or the steady state have one."""


@dataclass(frozen=True, slots=True, eq=False)
class RequestTrace:
    """Requests of a file, in columns of shape (requests,): `arrival` in picoseconds, from 0 on and not falling,
    `prompt` and `output` in tokens, 1 at least.

    `name` is that of the file in the plan, `sha256` of its content; `is_json` of JSON lines, else it is CSV. `lines`
    are those of the requests in it, from 1 on, where they are known.
    """

    name: str
    sha256: str
    arrival: npt.NDArray[np.int64]
    prompt: npt.NDArray[np.int32]
    output: npt.NDArray[np.int32]
    is_json: bool = False
    lines: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self.arrival)

    @property
    def requests_per_second(self) -> float | None:
        """Mean arrival rate; None of fewer than two requests, or where all arrive at once."""
        picoseconds = int(self.arrival[-1])
        return (len(self) - 1) * 1e12 / picoseconds if picoseconds else None


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests: `batch` sequences over the whole deployment, each of `prompt` tokens, each asking `output` tokens.

    `routing` is `uniform` or `zipf`: then the expert of popularity rank i is chosen in proportion to
    1 / i^`zipf_exponent`, and which expert has which rank is drawn for each layer from `seed`. `chunk` is the largest
    number of prompt tokens that a rank computes at once, which bounds activations in memory. `block` is the number of
    tokens of a block (page) of KV cache; None for the engine's.

    `concurrency` None: one static batch. Else requests come and go, so many are in flight at any time, and `batch` is
    that number too, or how many of them run at once where the caches hold fewer. `cached` is the share of each prompt
    whose keys and values the prefix cache holds already. `requests_per_second` is the arrival rate, where one is
    stated. `drafted` tokens are guessed ahead of each sequence in each step, each accepted with probability
    `acceptance`.

    `is_open`: no limit on requests in flight was stated, so `concurrency` and `batch` are `OPEN` until the steady state
    is known, and then as many as are in flight in the mean (Little's law).

    What follows is for a simulation. `prompt` and `output` are means where lengths vary: from `prompt_range` and
    `output_range`, both bounds included, from the requests of `lengths`, drawn with replacement, or from `trace`, which
    has the arrivals too. `burstiness` is the shape of the gamma distribution of the times between arrivals, 1 of a
    Poisson process. `requests` are simulated (None: the simulation's default), the first `warmup` of them left out of
    all figures. `arrival_seed` is that of arrivals and lengths.
    """

    batch: int
    prompt: int
    output: int
    routing: str = "uniform"
    chunk: int = 8192
    zipf_exponent: float = 0.0
    seed: int = 0
    block: int | None = None
    concurrency: int | None = None
    cached: float = 0.0
    requests_per_second: float | None = None
    drafted: int = 0
    acceptance: float = 0.0
    is_open: bool = False
    prompt_range: tuple[int, int] | None = None
    output_range: tuple[int, int] | None = None
    lengths: RequestTrace | None = None
    trace: RequestTrace | None = None
    burstiness: float = 1.0
    requests: int | None = None
    warmup: int = 0
    arrival_seed: int = 0
    spans: Mapping[str, Span] = field(default_factory=dict[str, Span])

    @property
    def ttft_definition(self) -> TtftDefinition:
        """What TTFT is under this workload."""
        return "batch" if self.concurrency is None else "idle server"

    @property
    def prompt_bounds(self) -> tuple[int, int]:
        """Tokens of the shortest and the longest prompt."""
        rows = self.trace or self.lengths
        if rows is not None:
            return int(rows.prompt.min()), int(rows.prompt.max())
        return self.prompt_range or (self.prompt, self.prompt)

    @property
    def output_bounds(self) -> tuple[int, int]:
        """Tokens of the shortest and the longest output."""
        rows = self.trace or self.lengths
        if rows is not None:
            return int(rows.output.min()), int(rows.output.max())
        return self.output_range or (self.output, self.output)

    @property
    def is_skewed(self) -> bool:
        """Whether some experts are chosen more often than others; a Zipf exponent of 0 makes them all alike."""
        return self.routing == "zipf" and self.zipf_exponent > 0

    @property
    def prefix(self) -> int:
        """Prompt tokens found in the prefix cache; one at least is computed, for the first token to come of it."""
        return self.prompt - self.fresh_of(self.prompt)

    @property
    def fresh(self) -> int:
        """Prompt tokens of a request that are computed."""
        return self.fresh_of(self.prompt)

    def fresh_of(self, prompt: int) -> int:
        """Tokens of a prompt of this length that are computed."""
        return prompt - min(int(prompt * self.cached), prompt - 1)

    @property
    def tokens_per_step(self) -> float:
        """Mean tokens that a decode step yields for a sequence: 1 + a + a^2 + ... + a^drafted.

        A draft is accepted up to its first wrong token, and the step itself yields one more (Leviathan, Kalman,
        Matias, "Fast inference from transformers via speculative decoding", 2023).
        """
        return sum(self.acceptance**i for i in range(self.drafted + 1))


@dataclass(frozen=True, slots=True)
class LoadSample:
    """How many requests are counted where a load is simulated, and their seed; None for the plan's."""

    requests: int | None = None
    seed: int | None = None


AS_PLANNED = LoadSample()
"""The sample that the plan's workload states."""


class Per(StrEnum):
    """What a figure is counted over."""

    DEPLOYMENT = "deployment"
    GPU = "gpu"


@dataclass(frozen=True, slots=True)
class Figure:
    """A stated number in SI units (bytes, seconds, FLOP/s, tokens/s, a share in [0, 1] for `%`, or a count).

    `unit` is the dimension after conversion: one of `bytes`, `seconds`, `flop/s`, `tokens/s`, `share`, `count`,
    `ratio`. `kind` is `input`, `output` or `total` for throughput, else empty. `text` is the figure as written.
    `significant` is the number of significant digits of the written number (0 for `0.0`), to compare no finer.
    """

    value: float
    unit: str
    text: str
    span: Span
    per: Per = Per.DEPLOYMENT
    kind: str = ""
    significant: int = 15


@dataclass(frozen=True, slots=True)
class Requirement:
    """`name [percentile] comparison figure`; comparison is one of `<`, `<=`, `>`, `>=`, `=`.

    `percentile` is one of `dagc.metrics.PERCENTILES`: 99 where 99 of 100 requests must meet the limit.
    """

    name: str
    comparison: str
    figure: Figure
    span: Span
    percentile: int | None = None

    @property
    def metric(self) -> Metric:
        """What is limited; `name` may be an alias of it."""
        metric = metric_named(self.name)
        return metric if self.percentile is None else OF_PERCENTILE[metric, self.percentile]

    @property
    def is_ceiling(self) -> bool:
        """Whether it limits from above."""
        return self.comparison in ("<", "<=")

    @property
    def is_of_load(self) -> bool:
        """Whether simulated requests decide it where the plan has a load."""
        return self.metric is TTFT or self.metric in SIMULATED

    @property
    def title(self) -> str:
        """What is limited, as written: `ttft p99`."""
        return self.name if self.percentile is None else f"{self.name} p{self.percentile}"

    @property
    def subject(self) -> tuple[str, str, str, str]:
        """Equal for requirements whose figures can be compared."""
        return self.metric.name, self.figure.unit, self.figure.per, self.figure.kind


@dataclass(frozen=True, slots=True)
class Claim:
    """`name [comparison] figure [margin figure]` of one strategy; comparison is `=` where none is written.

    `margin` is a claimed ratio to the requirement of the same name (`ttft 35 ms margin 1.43`).
    """

    name: str
    comparison: str
    figure: Figure
    margin: Figure | None
    span: Span

    @property
    def metric(self) -> Metric:
        """What the figure is of; `name` may be an alias of it."""
        return metric_named(self.name)
