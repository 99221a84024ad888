"""The proof of a search: why no plan that was not priced is better than the best, family by family.

Data only. A score is what the objective makes least: GPU-seconds of an output token, seconds of one, TTFT, TPOT or
GPUs. Of each family of strategies, and of each cell of pairs, the members fall to rules, to memory, to a requirement
that a bound misses, are priced, or have bounds of which the witness is the best.
"""

from __future__ import annotations

from dagc.results.record import record


@record
class WitnessRecord:
    """The strategy with the best bound of those not priced: its score, and seconds and output tokens a second of it."""

    strategy: str
    score: float
    gpus: int
    ttft: float
    tpot: float
    throughput: float


@record
class MissRecord:
    """Strategies that miss a requirement by their bounds, and the figure of the one that misses it least.

    In SI units; requests a second where throughput is required.
    """

    requirement: str
    strategies: int
    nearest: float


@record
class WeightsRecord:
    """Strategies whose weights do not fit: the smallest share of a device that they take, and a strategy with it."""

    strategies: int
    share: float
    example: str


@record
class FamilyRecord:
    """Strategies with so many replicas of stages of so many ranks; `beside` are ranks of experts that are apart.

    All but `members` sum to it. `refused` is by code of a rule, `over` are those that do not fit with all that a GPU
    holds.
    """

    gpus: int
    replicas: int
    stages: int
    width: int
    beside: int
    form: str
    members: int
    refused: dict[str, int]
    weights: WeightsRecord | None
    over: int
    missed: list[MissRecord]
    priced: int
    bounded: int
    witness: WitnessRecord | None


@record
class ServicesRecord:
    """Services of one phase on so many GPUs: all, those that rules refuse, whose weights do not fit, and the rest."""

    phase: str
    gpus: int
    members: int
    refused: dict[str, int]
    weights: int
    fitting: int


@record
class CellRecord:
    """Pairs of a prefill and a decode service on so many GPUs each; `pairs` is the product of those that fit.

    All but `pairs` sum to it. It is null where prefill services alone have no better bound: decode services are then
    not enumerated, and the witness is a prefill service beside any.
    """

    prefill_gpus: int
    decode_gpus: int
    pairs: int | None
    over: int
    missed: list[MissRecord]
    priced: int
    bounded: int
    witness: WitnessRecord | None


@record
class YieldRecord:
    """Requests a second that a GPU of services of a phase yields at most with no more than so many sequences on it.

    `strategy` is one under `batch` sequences with a service of so many GPUs whose ranks are cut as the bound's.
    """

    phase: str
    sequences: float
    requests: float
    strategy: str
    batch: int
    gpus: int


@record
class NotEnumeratedRecord:
    """Families and cells that were not enumerated, and their score at best: by the peak of the device, and by `yields`.

    `score` is null where all were. `score_by_yields` is the score of any size and cell at best, enumerated or not;
    `floor` are requests a second and GPU of all that plans may yield in any case; both are null without yields.
    """

    sizes: list[int]
    cells: list[list[int]]
    score: float | None
    score_by_yields: float | None
    floor: float | None
    yields: list[YieldRecord]


@record
class Proof:
    """For one batch: the best plan's score, the best score of all that was not priced, and what these say.

    `gap` is by which share a plan that was not priced can be better at most; null where there is no plan, or no limit.
    """

    batch: int
    best: str | None
    score: float | None
    best_bound: float | None
    gap: float | None
    is_proven: bool
    families: list[FamilyRecord]
    services: list[ServicesRecord]
    cells: list[CellRecord]
    not_enumerated: NotEnumeratedRecord | None
