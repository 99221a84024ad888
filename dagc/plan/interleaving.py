"""Prompts between the decode steps of others: which of them delay a request, and how many share a step.

In the steady state every request that leaves is followed by the next one, so that over the steps in which a request is
decoded, each of the others has its prompt computed once. What that does to the steps is the engine's way:

- mixed steps: prompt tokens ride along with decoded ones, up to the budget of tokens of a rank;
- steps apart: prompts are computed by themselves, and all that decode wait for them.

Ends come evenly: the prompts of a step are those of the requests that happened to end since the one before, a Poisson
number, on some of the ranks that share the step. In mixed steps that is so of outputs of one length too, for clients,
tokenizers and networks give each request times of its own. Measured TPOT of such closed loops shows it: of
TensorRT-LLM and vLLM on H100 (ai-dynamo/aiconfigurator @ 095f58a5).

Steps of prompts alone bring requests together, because all that arrived meanwhile have their prompts computed at once.
Where outputs are of one length these end together, and the next ones start together: such waves do not die out. Their
prompts fill each step up to its budget, on all ranks at once.

Where prompts of some ranks wait for those of the others, their steps are fewer and fuller.

With phases on their own GPUs decode is never held up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, exp, expm1, log, sqrt

from dagc.plan.plan import Plan
from dagc.plan.step_limits import StepLimits, step_limits
from dagc.plan.workload import Workload

VARIED = 1 / 8
"""By what share outputs of one length are varied to see what it is that waves save: as served lengths vary at least."""

_MANY = 100.0
"""From this mean on a Poisson number is taken as normal."""


@dataclass(frozen=True, slots=True)
class Interleaving:
    """How prefill is interleaved with the decode steps of a request, and the load of a step that has some.

    `held` requests are on the fullest of the `ranks` that share steps and have any, `others` on all of these but one.
    `decoding` is the number of decode steps of a request.

    The step has `tokens` prompt tokens on the fullest rank. `fullness` is the tokens of all ranks over those of the
    fullest one times ranks.
    """

    limits: StepLimits
    in_waves: bool
    ranks: int
    held: int
    others: float
    decoding: float
    fresh: int
    tokens: int = 1
    fullness: float = 1.0

    @property
    def together(self) -> float:
        """Prompts of the fullest rank in the step, or the part of one."""
        return self.tokens / self.fresh

    @property
    def parts(self) -> int:
        """Steps that a prompt takes."""
        return max(1, ceil(self.fresh / self.tokens))

    @property
    def beside(self) -> int:
        """Sequences of the fullest rank that are decoded in a mixed step, of `held`: not those of its prompts."""
        return max(1, self.held - ceil(self.together))

    @property
    def gathers_prompts(self) -> bool:
        """Whether prompts of some ranks wait for those of others."""
        return self.limits.balance > 0 and self.limits.mixes and self.ranks > 1

    def prompt_period(self, parts: float) -> float:
        """Decode steps from one step with prompts to the next, of so many parts in each that all ranks bring.

        Until each of R ranks has one, R (1 + 1/2 + ... + 1/R) parts come (the coupon collector's problem); the first
        one waits no longer than the engine lets it.
        """
        every = self.ranks * sum(1 / number for number in range(1, self.ranks + 1)) / parts
        return min(every, 1 / parts + self.limits.balance)

    def prompt_steps_often(self, parts: float, count: int) -> float:
        """How many steps with prompts there are for each decode step; full ones where more come than have room."""
        return max(1 / self.prompt_period(parts), parts / (self.ranks * count))

    @property
    def parts_a_step(self) -> float:
        """Parts of the prompts of others that come in each decode step where ends come evenly, on all ranks.

        A request is away from decode for the steps in which its own prompt is mixed.
        """
        return self.others * self.parts / (self.decoding + (self.parts if self.limits.mixes else 0))


def interleaving(plan: Plan) -> Interleaving | None:
    """How prefill is interleaved with decode steps.

    None where none do: of a static batch, of a lone request, where decode has its own GPUs, and of waves whose prompts
    have room in one step of theirs.
    """
    workload, deployment = plan.facts.workload, plan.deployment
    service, *apart = deployment.services
    if workload.concurrency is None or apart:
        return None
    replicas = deployment.replicas * service.replicas
    running = workload.batch / replicas
    ranks = int(min(deployment.cache_count(service) / replicas, max(1.0, running)))
    held = max(1, ceil(workload.batch / replicas / ranks))
    limits, decoding = step_limits(plan, service), max(1, workload.output - 1) / workload.tokens_per_step
    shared = Interleaving(limits, is_in_waves(plan), ranks, held, running - 1, decoding, workload.fresh)
    if shared.others <= 0:
        return None
    if shared.in_waves:
        return _in_waves(shared)
    width = deployment.cache_count(service) // replicas
    return _without_waves(shared, 1 + workload.drafted, width)


def is_in_waves(plan: Plan) -> bool:
    """Whether requests that start together end together, and those that follow them are brought together again."""
    return are_alike(plan.facts.workload) and not step_limits(plan, plan.deployment.services[0]).mixes


def are_alike(workload: Workload) -> bool:
    """Whether outputs are of one length, and nothing but the end of another says when a request starts."""
    shortest, longest = workload.output_bounds
    return (
        shortest == longest and workload.requests_per_second is None and workload.trace is None and not workload.is_open
    )


def with_varied_outputs(plan: Plan) -> Plan | None:
    """The plan with outputs that vary by `VARIED` around their length, so that waves die out; None without waves."""
    workload = plan.facts.workload
    by = round(workload.output * VARIED)
    if workload.concurrency is None or not by or not is_in_waves(plan):
        return None
    varied = replace(workload, output_range=(workload.output - by, workload.output + by))
    return replace(plan, facts=replace(plan.facts, workload=varied))


def _in_waves(shared: Interleaving) -> Interleaving | None:
    """Steps that are full: all ranks have the same."""
    room = min(shared.limits.threshold, shared.limits.prompt_budget)
    return None if shared.held * shared.fresh <= room else _with(shared, room)


def _without_waves(shared: Interleaving, rows: int, width: int) -> Interleaving:
    """Steps that have the prompts of requests that ended since the step before; `width` ranks share a step.

    A decoded sequence has `rows` tokens.
    """
    limits, fresh = shared.limits, shared.fresh
    room = min(limits.budget - shared.beside * rows if limits.mixes else limits.prompt_budget, limits.threshold)
    parts = ceil(fresh / max(1, room)) if limits.chunks else 1
    part = ceil(fresh / parts)
    one = _with(shared, part)
    if one.gathers_prompts:
        return _gathered(one, rows, max(1, room // part), width)
    often, fullest = some(one.parts_a_step), largest(one.parts_a_step / shared.ranks, shared.ranks)
    count = max(1, min(round(fullest / often), room // part))
    if not limits.mixes and shared.ranks == 1:
        # Two tell with one, which is priced besides, what another adds.
        count = max(1, min(2, room // part))
    on_all = one.parts_a_step / (often if count == 1 and not limits.mixes else fullest / count)
    return _filled(one, rows if limits.mixes else 0, count, on_all, width)


def _gathered(one: Interleaving, rows: int, most: int, width: int) -> Interleaving:
    """Steps in which all ranks have prompts, or as many as came while those of some waited; `most` on a rank."""
    came = one.parts_a_step * one.prompt_period(one.parts_a_step)
    count = max(1, min(round(largest(came / one.ranks, one.ranks)), most))
    return _filled(one, rows, count, one.parts_a_step / one.prompt_steps_often(one.parts_a_step, count), width)


def _filled(one: Interleaving, rows: int, count: int, on_all: float, width: int) -> Interleaving:
    """Steps with `count` parts of prompts on the fullest rank and `on_all` on all of `width`."""
    found = _with(one, count * one.tokens)
    if width == 1:
        return found
    # Each prompt has the place of a decoded sequence.
    decoded = one.ranks * one.held - min(on_all, one.ranks * (one.held - found.beside))
    share = (decoded * rows + one.tokens * on_all) / (width * (found.beside * rows + found.tokens))
    return replace(found, fullness=min(1.0, max(1 / width, share)))


def _with(shared: Interleaving, tokens: int) -> Interleaving:
    return replace(shared, tokens=tokens)


def some(mean: float) -> float:
    """The chance that a Poisson number of this mean is not 0."""
    return -expm1(-mean)


def largest(mean: float, count: int) -> float:
    """The mean of the largest of so many Poisson numbers of this mean."""
    if count == 1:
        return mean
    if mean > _MANY:
        return mean + sqrt(2 * mean * log(count))
    term = below = exp(-mean)
    found, number = 0.0, 0
    while (added := 1 - below**count) > 1e-9 and number < 1000:
        found, number = found + added, number + 1
        term *= mean / number
        below += term
    return found
