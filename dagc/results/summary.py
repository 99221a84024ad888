"""The result of one strategy: what is computed of it, and what `summary.json` holds.

Data only. Numbers are in SI units, named in the field; shares are in [0, 1]. A field is None where it is undetermined,
and `undetermined` says why.
"""

from __future__ import annotations

from typing import Any, Literal

from dagc.metrics import TtftDefinition
from dagc.results.intervals import Interval
from dagc.results.load import SimulatedLoad
from dagc.results.record import Positive, Versioned, record

Share = Literal["compute", "memory", "communication", "bubble"]
"""What the time of a critical path is spent on."""


@record
class AttentionDomain:
    """How the ranks of a stage are cut for attention. `implied` holds, by axis, what nobody wrote."""

    tp: Positive
    cp: Positive
    dp: Positive
    implied: dict[str, int]


@record
class ExpertDomain:
    """How the ranks of a stage are cut for the experts."""

    tp: Positive
    ep: Positive
    dp: Positive
    implied: dict[str, int]


@record
class DomainsRecord:
    """Both domains of one pool; null where the pool does not compute that part of a layer."""

    attention: AttentionDomain | None
    experts: ExpertDomain | None


@record
class PoolRecord:
    """GPUs of one role. `gpus` counts all replicas; `width` is the ranks of one stage."""

    name: str
    phase: Literal["both", "prefill", "decode"]
    role: Literal["all", "attention", "experts"]
    gpus: int
    replicas: int
    stages: int
    width: int
    device: str | None
    domains: DomainsRecord


@record
class RankClass:
    """Ranks that hold the same. `ranks` are those of the first replica, as `0-7, 16-23`; `gpus` counts all replicas.

    `parts_bytes` sum to `total_bytes`; `weights_bytes` are by part of the model and sum to `weights` among them;
    `activations_bytes` are by phase, of which the parts have the larger. `kv_capacity_tokens` are the tokens of
    sequences whose cache fits on the rank beside all else; null where it keeps none.
    """

    ranks: str
    first_rank: int
    gpus: int
    total_bytes: float
    share: float
    parts_bytes: dict[str, float]
    weights_bytes: dict[str, float]
    activations_bytes: dict[str, float]
    kv_capacity_tokens: int | None


@record
class PoolMemoryRecord:
    """Memory of one pool. `parts_bytes` are those of its fullest rank and sum to `per_rank_max_bytes`.

    `classes` are its ranks, those that hold the same together. `kv_capacity_tokens_per_replica` are the tokens of
    sequences whose cache fits into one replica, `kv_capacity_tokens` into all; null where the pool keeps none.
    `kv_block_tokens` is the size of a block of cache.
    """

    pool: str
    device: str
    rank: int
    per_rank_max_bytes: float
    parts_bytes: dict[str, float]
    capacity_bytes: float
    share: float
    total_bytes: float
    kv_block_tokens: int
    kv_capacity_tokens_per_replica: int | None
    kv_capacity_tokens: int | None
    classes: list[RankClass]


@record
class MemoryLimitsRecord:
    """What would still fit, all else as planned. `batch` is of the whole deployment, `context` prompt and output.

    0 where nothing fits; null where memory sets no limit below what a workload may state.
    """

    batch: int | None
    context: int | None


@record
class Memory:
    """The fullest rank of the pool that uses most of its device, and each pool by itself.

    `requests_at_once` is how many run at once where the caches hold fewer than are in flight (`concurrency`); null
    where they hold all, and for a static batch. `limits` are what fits all at once; null where they were not asked for.
    """

    per_rank_max_bytes: float
    parts_bytes: dict[str, float]
    capacity_bytes: float
    share: float
    fits: bool
    total_bytes: float
    requests_at_once: int | None
    limits: MemoryLimitsRecord | None
    pools: list[PoolMemoryRecord]


@record
class CriticalPathRecord:
    """How a phase spends its time: shares that sum to 1."""

    compute_share: float
    memory_share: float
    communication_share: float
    bubble_share: float


@record
class PhaseRecord:
    """`seconds` is TTFT in prefill and TPOT in decode; `latency_seconds` one pass from an idle pipeline.

    `error_share` is the relative error to expect of `seconds` from the residuals of the formulas' fits; it scales
    `interval`, in which measured runs lie as often as is stated; null where the phase is part of no deployment.
    `extrapolated_share` is how much of the operators' time lies outside of what the formulas were fitted to.
    `load_balance` is the time that a GPU computes, averaged over all, as a share of that of the busiest.
    `bound` and `critical_path` are those of the prefill or decode step on the GPUs alone: without the host, drafts and
    the prompts that come between tokens, which are in `serving`.
    """

    seconds: float
    error_share: float
    interval: Interval | None
    extrapolated_share: float
    latency_seconds: float
    micro_batches: int
    load_balance: float
    bound: Share
    critical_path: CriticalPathRecord


@record
class Phases:
    """`handover_seconds` moves the cache of the whole batch between pools of their own; null where the phases share
    GPUs. `transfer_seconds` moves that of one request, and is part of `prefill.seconds`; null for a static batch too.

    `ttft_definition` says what `prefill.seconds` is: `batch`, until the slowest request of a static batch has its first
    token; `idle server`, where requests come and go (`concurrency`), of requests that find nobody else there, one on
    each rank of attention. TTFT under load is in `load`.
    """

    ttft_definition: TtftDefinition
    prefill: PhaseRecord
    decode: PhaseRecord
    handover_seconds: float | None
    transfer_seconds: float | None


@record
class Serving:
    """What lies between two tokens of a request; TPOT itself is `phases.decode.seconds`.

    TPOT is (`step_seconds` + `prompt_steps` x `prompt_step_seconds`) / `tokens_per_step`. A step has the host's time
    and that of the drafts in it; `prompt_step_seconds` is what prompts add to a step that has any, `prompt_steps` how
    many of those there are for each decode step. `concurrency` is null for a static batch; `running` are
    decoded at once, fewer where KV-cache capacity limits them.
    """

    concurrency: int | None
    running: int
    step_seconds: float
    host_seconds: float
    draft_seconds: float
    tokens_per_step: float
    prompt_step_seconds: float
    prompt_steps: float

    @property
    def tpot_seconds(self) -> float:
        """The interval between two tokens of a request."""
        return (self.step_seconds + self.prompt_steps * self.prompt_step_seconds) / self.tokens_per_step


@record
class Throughput:
    """Rates of the whole deployment and of one GPU, and of each phase by itself."""

    limited_by: str
    requests_per_second: float
    input_tokens_per_second: float
    output_tokens_per_second: float
    total_tokens_per_second: float
    input_tokens_per_second_per_gpu: float
    output_tokens_per_second_per_gpu: float
    total_tokens_per_second_per_gpu: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float

    def tokens_per_second(self, kind: str) -> float:
        """Rate of a kind of tokens; tokens of no stated kind are counted as all of them, input and output."""
        match kind:
            case "input":
                return self.input_tokens_per_second
            case "output":
                return self.output_tokens_per_second
            case _:
                return self.total_tokens_per_second


@record
class Cost:
    """What all GPUs cost, and what tokens cost at the throughput above; null there where that is undetermined.

    A million output tokens, and a million tokens of input and output together, each carry the whole cost.
    """

    usd_per_hour: float
    usd_per_million_output_tokens: float | None
    usd_per_million_tokens: float | None


@record
class RequirementRecord:
    """A requirement as written, beside what the deployment does; `ok` and `verdict` are null where undetermined.

    `within error`: the stated 80 % interval holds times on both sides of the limit; only times have such an interval.
    """

    name: str
    required: str
    actual: str | None
    actual_value: float | None
    unit: str
    ok: bool | None
    verdict: Literal["met", "met within error", "missed within error", "missed"] | None
    reason: str


@record
class ClaimRecord:
    """A claim against one basis: the structure, the model, other claims, a requirement, a margin, its own digits."""

    name: str
    claimed: str
    basis: Literal["structure", "model", "claims", "requirement", "margin", "digits"]
    actual: str | None
    actual_value: float | None
    unit: str
    ok: bool | None
    reason: str


@record
class Undetermined:
    """What could not be computed, and the facts that were not stated."""

    what: str
    missing: list[str]


@record
class FactsRecord:
    """Inputs and assumptions. `defaulted` names the blocks that were not written; `engine` is that of the plan."""

    defaulted: list[str]
    model: dict[str, Any]
    cluster: dict[str, Any]
    workload: dict[str, Any]
    engine: dict[str, Any] | None = None


@record
class StructureRecord:
    """A well-typed strategy: what follows from its text alone.

    `replicas` and `stages` are None where the services of the two phases differ in them; `domains` is None where there
    is more than one pool. Each pool has its own.
    """

    name: str
    strategy: str
    gpus: int
    derivation: list[str]
    naive_product: int
    replicas: int | None
    stages: int | None
    pools: list[PoolRecord]
    domains: DomainsRecord | None


@record
class Summary(StructureRecord, Versioned):
    """Everything about one strategy. The fields up to `domains` are those of `dagc check --format json`."""

    memory: Memory | None
    phases: Phases | None
    throughput: Throughput | None
    serving: Serving | None
    load: SimulatedLoad | None
    cost: Cost | None
    requirements: list[RequirementRecord]
    claims: list[ClaimRecord]
    undetermined: list[Undetermined]
    facts: FactsRecord
    diagnostics: list[dict[str, Any]]
