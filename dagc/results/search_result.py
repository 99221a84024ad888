"""The record of what `dagc search --format json` prints.

Data only; numbers are in SI units and US dollars. Nothing depends on how long the search took or who did the work.
"""

from __future__ import annotations

from typing import Literal

from dagc.metrics import TtftDefinition
from dagc.results.proof import Proof
from dagc.results.record import Versioned, record
from dagc.results.summary import FactsRecord
from dagc.units import format_share


@record
class Searched:
    """What was searched: GPUs, from `fewest` on, batches, and in words the coordinates that were and were not."""

    fewest: int
    gpus: int
    batches: list[int]
    always: str
    over: dict[str, str]
    not_searched: dict[str, str]


@record
class Counts:
    """Strategies by what decided them. All but `generated`, `decided` and `priced_missing` sum to `decided`.

    `refused` by the code of the rule, `weights_too_large` before anything is priced, `too_large` with all that a GPU
    holds; `bound_misses` by the requirement that the bound on times misses; `bound_dominated` by plans that are better
    than the bound. Of the `priced`, `priced_missing` miss a requirement, by its name.
    """

    generated: int
    decided: int
    refused: dict[str, int]
    weights_too_large: int
    too_large: int
    bound_misses: dict[str, int]
    bound_dominated: int
    priced: int
    priced_missing: dict[str, int]


@record
class RequirementFigure:
    """A requirement as written and what a plan has, `shown` in the requirement's unit.

    `miss` is relative to what is required, 0 where it is met. `figure` is what it limits, by name, and `limit` the
    number, both null where no figure of a comparison is limited.
    """

    name: str
    required: str
    figure: str | None
    limit: float | None
    actual: float | None
    shown: str | None
    miss: float | None

    @property
    def miss_text(self) -> str:
        """What misses the requirement, and by what share of what is required: `50.7 tokens/s, 49 % too little`."""
        shown, miss = self.shown, self.miss or 0.0
        if self.actual is None:
            return f"{shown}"
        match self.required[0]:
            case "<" if miss >= 1:
                return f"{shown}, {miss + 1:,.3g} times the limit"
            case "<":
                return f"{shown}, {format_share(miss)} above the limit"
            case ">":
                return f"{shown}, {format_share(miss)} below the limit"
            case _:
                return f"{shown}, {format_share(miss)} off"


@record
class HighestLoad:
    """The most requests in flight of which a plan runs all within the requirements, and its requests a second there,
    those of simulated requests where these decide.

    `limit` is what the next step misses, found within 2 %, or within 5 % where simulated requests decide it.
    """

    concurrency: int
    requests_per_second: float | None
    limit: str


@record
class SimulatedPlan:
    """What simulated requests say of a plan, percentiles in seconds; `met` is null where they do not decide."""

    output_tokens_per_second: float
    ttft_p50: float | None
    ttft_p99: float | None
    tpot_p50: float | None
    met: bool | None


@record
class FoundPlan:
    """A plan of the front. `figures` are those of a comparison, by name. `tied` with the best, whose lead is less than
    what predictions of two plans tell apart. `highest` and `simulated` are of the plans that were simulated; `highest`
    is null where simulated requests miss a requirement. Their `requirements` are judged by simulated requests where
    these decide.
    """

    strategy: str
    batch: int
    gpus: int
    figures: dict[str, float | None]
    requirements: list[RequirementFigure]
    tied: bool = False
    highest: HighestLoad | None = None
    simulated: SimulatedPlan | None = None


@record
class Recommended:
    """The plan to deploy, as one of the front: no simulated request is against it, and simulated requests of those in
    `passed_over`, which are better by the objective, miss a requirement.

    With `is_lowered` no plan that was simulated meets the requirements under the load that was asked; this one does
    under `batch`, the highest load that was found. `gap` is the share by which a plan that was not simulated can be
    better by the objective at most; null where nothing limits it, or under a lower load.
    """

    strategy: str
    batch: int
    gpus: int
    is_lowered: bool
    figures: dict[str, float | None]
    requirements: list[RequirementFigure]
    simulated: SimulatedPlan | None
    passed_over: list[str]
    gap: float | None


@record
class PlacedPlan:
    """A strategy that was given, or a baseline, against the front, under a batch.

    `status` is `front`, `behind`, `misses a requirement`, `does not fit` or `refused`, and `reason` says why.
    `distance` is the share by which some plan of the front is better in every objective, None where it has no figures;
    `better` is that plan. `odds` is how likely the strategy has a lower TPOT than the best plan of the front, by errors
    of measured pairs; None for that plan itself, and where pairs that differ so were not measured.
    """

    name: str
    strategy: str
    batch: int
    status: Literal["front", "behind", "misses a requirement", "does not fit", "refused"]
    reason: str
    figures: dict[str, float | None]
    distance: float | None
    better: str | None
    odds: float | None


@record
class Relaxation:
    """The least change of one requirement or resource with which a plan meets all others, and that plan.

    `what` is the requirement, `concurrency`, `batch` or `gpus`; `asked` and `needed` are what is written and what would
    do. `is_minimal` unless the search ended before it could tell, or simulated requests decide. Those of the plan miss
    the requirements in `simulated_misses` all the same.
    """

    what: str
    asked: str
    needed: str
    strategy: str
    batch: int
    gpus: int
    figures: dict[str, float | None]
    is_minimal: bool
    simulated_misses: list[str]


@record
class PoolRatio:
    """The GPUs of prefill and decode of the best plan, and which of the two limits requests a second."""

    prefill_gpus: int
    decode_gpus: int
    limited_by: str
    sentence: str


@record
class Budgeted:
    """What a search asked for, by which it can be repeated: `evaluations` are bounds and prices. `ended_by` is
    `complete`, `time`, `evaluations` or `interrupt`.
    """

    evaluations: int
    ended_by: Literal["complete", "time", "evaluations", "interrupt"]


Proven = Literal["best", "no plan", "nothing"]
"""What the proofs of a search show."""


@record
class SearchResult(Versioned):
    """A search. `recommended` is the plan to deploy, null where there is none; `reason` says why it is. `front` is in
    the order of recommendation: the plan that is recommended under the load that was asked, those that tie with it,
    then the others by the objective.

    `nearest` is the plan that misses the requirements least, where none meets them all. `is_complete` is false where
    the search was stopped, or limited: the best may be proven all the same, which `proofs` say, one for each batch.
    `proven` is what these show, and `dagc verify` checks: of the `best` that no plan of the search is better by the
    objective, or that `no plan` of it meets the requirements. The rest of the front has no proof: where `is_complete`,
    all else was priced, or closed by bounds that are not recorded. `objective` is what the best is best by.
    `simulation_order` is null unless simulated requests put another plan of the front first that meets what is
    required. `question` is a plan of the blocks that were searched under, paths in which start at the directory of the
    result. `ttft_definition` says what `ttft` is, as `phases` of a summary does. `facts` are those of the plan, whose
    batch and GPUs `searched` replaces.
    """

    model: str
    cluster: str
    engine: str | None
    facts: FactsRecord
    searched: Searched
    counts: Counts
    is_complete: bool
    objectives: list[str]
    ttft_definition: TtftDefinition
    front: list[FoundPlan]
    recommended: Recommended | None
    reason: str
    nearest: FoundPlan | None
    given: list[PlacedPlan]
    well_known: list[PlacedPlan]
    objective: str
    proofs: list[Proof]
    proven: Proven
    budget: Budgeted
    relaxations: list[Relaxation]
    ratio: PoolRatio | None
    simulation_order: str | None
    question: str

    def batch_label(self, batch: int) -> str:
        """What tells strategies of several batches apart; nothing where one batch was searched."""
        return f", batch {batch}" if len(self.searched.batches) > 1 else ""
