"""The models of `summary.json`: its published schema is generated from them.

Data only. Numbers are in SI units, named in the field; shares are in [0, 1]. A field is null where it is undetermined,
and `undetermined` says why. `SCHEMA_VERSION` grows when a field goes or changes its meaning, not when one is added.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


class Record(BaseModel):
    """What all parts have in common: immutable, and nothing beside the declared fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AttentionDomain(Record):
    """How the ranks of a stage are cut for attention. `implied` holds, by axis, what nobody wrote."""

    tp: int = Field(ge=1)
    cp: int = Field(ge=1)
    dp: int = Field(ge=1)
    implied: dict[str, int]


class ExpertDomain(Record):
    """How the ranks of a stage are cut for the experts."""

    tp: int = Field(ge=1)
    ep: int = Field(ge=1)
    dp: int = Field(ge=1)
    implied: dict[str, int]


class Domains(Record):
    """Both domains of one pool; null where the pool does not compute that part of a layer."""

    attention: AttentionDomain | None
    experts: ExpertDomain | None


class Pool(Record):
    """GPUs of one role. `gpus` counts all replicas; `width` is the ranks of one stage."""

    name: str
    phase: Literal["both", "prefill", "decode"]
    role: Literal["all", "attention", "experts"]
    gpus: int
    replicas: int
    stages: int
    width: int
    device: str | None
    domains: Domains


class PoolMemory(Record):
    """Memory of one pool. `parts_bytes` are those of its fullest rank and sum to `per_rank_max_bytes`."""

    pool: str
    device: str
    rank: int
    per_rank_max_bytes: float
    parts_bytes: dict[str, float]
    capacity_bytes: float
    share: float
    total_bytes: float


class Memory(Record):
    """The fullest rank of the pool that uses most of its device, and each pool by itself."""

    per_rank_max_bytes: float
    parts_bytes: dict[str, float]
    capacity_bytes: float
    share: float
    fits: bool
    total_bytes: float
    pools: list[PoolMemory]


class CriticalPath(Record):
    """How a phase spends its time: shares that sum to 1."""

    compute_share: float
    memory_share: float
    communication_share: float
    bubble_share: float


class Phase(Record):
    """`seconds` is TTFT in prefill and TPOT in decode; `latency_seconds` one pass from an empty pipeline.

    `load_balance` is the time that a GPU computes, averaged over all, as a share of that of the busiest.
    """

    seconds: float
    latency_seconds: float
    micro_batches: int
    load_balance: float
    bound: Literal["compute", "memory", "communication", "bubble"]
    critical_path: CriticalPath


class Phases(Record):
    """`handover_seconds` moves the cache between pools of their own; null where the phases share GPUs."""

    prefill: Phase
    decode: Phase
    handover_seconds: float | None


class Throughput(Record):
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


class Cost(Record):
    """What all GPUs cost, and what tokens cost at the throughput above; null there where that is undetermined.

    A million output tokens, and a million tokens of input and output together, each carry the whole cost.
    """

    usd_per_hour: float
    usd_per_million_output_tokens: float | None
    usd_per_million_tokens: float | None


class Requirement(Record):
    """A requirement as written, beside what the deployment does; `ok` is null where undetermined."""

    name: str
    required: str
    actual: str | None
    actual_value: float | None
    unit: str
    ok: bool | None
    reason: str


class Claim(Record):
    """A claim against one basis: the structure, the model, other claims, a requirement, a margin, its own digits."""

    name: str
    claimed: str
    basis: Literal["structure", "model", "claims", "requirement", "margin", "digits"]
    actual: str | None
    actual_value: float | None
    unit: str
    ok: bool | None
    reason: str


class Undetermined(Record):
    """What could not be computed, and the facts that were not stated."""

    what: str
    missing: list[str]


class Facts(Record):
    """What was reckoned with. `defaulted` names the blocks that were not written; `engine` is that of the plan."""

    defaulted: list[str]
    model: dict[str, Any]
    cluster: dict[str, Any]
    workload: dict[str, Any]
    engine: dict[str, Any] | None = None


class Summary(Record):
    """Everything about one strategy. The fields up to `domains` are those of `dagc check --format json`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    strategy: str
    gpus: int
    derivation: list[str]
    naive_product: int
    replicas: int | None
    stages: int | None
    pools: list[Pool]
    domains: Domains | None
    memory: Memory | None
    phases: Phases | None
    throughput: Throughput | None
    cost: Cost | None
    requirements: list[Requirement]
    claims: list[Claim]
    undetermined: list[Undetermined]
    facts: Facts
    diagnostics: list[dict[str, Any]]
