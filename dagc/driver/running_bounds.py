"""How many sequences a service surely runs at once, from sizes alone: an upper bound on what its ranks need.

Admission (`dagc.cost.admission`) works out the memory of each rank for each number of sequences, and takes as long as
some tens of bounds on times. Most services of a search hold all sequences with room to spare. With W the bytes of
weights and reserve on the fullest rank, S those of a sequence in full, and T tokens that a rank computes at once,

    memory of a rank <= W + sequences · S + T · A · max(1, etp / copies) + buffers

A are the activations of one token on one GPU that holds the whole model: the largest of tensors that grow with tokens
in proportion, and of which tp leaves a rank less. An experts' rank has T · top · etp / copies pairs of a token and an
expert, copies being the ranks that hold a token: those of tp, and of cp in decode. Buffers are of the hidden states of
T tokens and, whichever is most, of those pairs, of a group's tokens, or of what may come to each expert in decode
(`dagc.cost.buffers`). All of it falls with fewer sequences, so that what has room for some has room for fewer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import ceil

from dagc.cost.admission import default_room
from dagc.cost.memory import MemoryPart, rank_memory
from dagc.degrees import Degrees
from dagc.diag.diagnostic import Diagnostic
from dagc.plan.deployment import Options, Phase
from dagc.plan.plan import Facts, Plan
from dagc.search.candidate import Candidate, PoolForm, ServicePlan, ServiceShape, spell
from dagc.search.layer_parts import shapes_of

PlanOf = Callable[[str, int], Plan | Diagnostic]
"""Takes a strategy and the number of sequences to its plan."""


@dataclass(frozen=True, slots=True)
class _Ranks:
    """Ranks of a stage with one sequence: its bytes in full, activations by phase, and what the cache may take where
    weights, activations and buffers take nothing; `share` of what these take it has less.
    """

    sequence: float
    activations: dict[Phase, float]
    room: float
    share: float


class RunningBounds:
    """Sequences of services under the facts of one plan, whose model has shapes."""

    def __init__(self, facts: Facts, plan_of: PlanOf, weight_share: Callable[[Candidate], float]) -> None:
        self._facts, self._plan_of, self._weight_share = facts, plan_of, weight_share
        self._ranks = cache(self._with_one)

    def running(self, service: ServicePlan, batch: int) -> int:
        """How many of so many sequences a service that decodes surely runs at once.

        1 where sizes alone do not tell, and where a rule refuses the shape, whose weights are not worked out.
        """
        shape, options, workload = service.shape, service.options, self._facts.workload
        if workload.concurrency is None:
            return batch
        plain = Options(micro=options.micro, layers=options.layers, overlap=options.overlap)
        if shape.form is not PoolForm.SHARED or options != plain:
            return 1
        stage, whole = self._ranks(shape.stages, shape.layers, shape.attention), self._ranks(1, None, Degrees())
        if stage is None or whole is None:
            return 1
        capacity = self._facts.cluster.device.memory_bytes
        weights = self._weight_share(Candidate((ServicePlan(shape, Options(layers=shape.layers)),), batch))
        taken = weights * capacity + self._beside(service, batch, whole)
        if not weights or taken + stage.sequence > capacity:
            return 1
        grown = (workload.prompt + workload.output / 2) / (workload.prompt + workload.output)
        each = int((stage.room - stage.share * taken) * _BELOW / (max(stage.sequence, 1.0) * grown))
        caches = shape.replicas * shape.attention.dp
        return batch if each >= ceil(batch / caches) else max(1, min(each * caches, batch - 1))

    def _with_one(self, stages: int, layers: tuple[int, ...] | None, attention: Degrees) -> _Ranks | None:
        """Ranks of stages of one replica, each of one group of tp and cp, with one sequence."""
        shape = ServiceShape(1, stages, replace(attention, dp=1), Degrees(tp=attention.tp), layers=layers)
        plan = self._plan_of(spell(Candidate((ServicePlan(shape, Options(layers=layers)),), 1)), 1)
        if isinstance(plan, Diagnostic):
            return None
        (memory,), workload, runtime = rank_memory(plan), plan.facts.workload, plan.facts.runtime
        share = runtime.memory_share if runtime.shares_free_memory else 1.0
        taken = memory.total - memory.parts[MemoryPart.KV_CACHE]
        return _Ranks(
            float(memory.cache_of(workload.prompt + workload.output).max()),
            {phase: float(held.max()) for phase, held in memory.activations.items()},
            float((default_room(plan, memory) + share * taken).min()),
            share,
        )

    def _beside(self, service: ServicePlan, batch: int, whole: _Ranks) -> float:
        """Bytes of activations and buffers on a rank at most."""
        shape, options, workload = service.shape, service.options, self._facts.workload
        sequences = ceil(batch / shape.replicas)
        each = ceil(ceil(sequences / max(1, min(options.micro or shape.stages, sequences))) / shape.attention.dp)
        decoded = each * whole.activations[Phase.DECODE]
        prompts, prompt = ceil(each * workload.fresh / shape.attention.cp), min(workload.chunk, workload.fresh)
        tokens = {Phase.DECODE: each}
        activations = {Phase.DECODE: decoded}
        if service.phase is Phase.BOTH:
            tokens[Phase.PREFILL] = min(workload.chunk, prompts)
            of_prompts = tokens[Phase.PREFILL] / prompt * whole.activations[Phase.PREFILL]
            activations[Phase.PREFILL] = max(decoded, of_prompts)
        held = buffers = 0.0
        for phase, number in tokens.items():
            copies = shape.attention.tp * (shape.attention.cp if phase is Phase.DECODE else 1)
            held = max(held, activations[phase] * max(1.0, shape.experts.tp / copies))
            buffers = max(buffers, self._buffers(shape.experts, phase, number, copies))
        return held + buffers

    def _buffers(self, degrees: Degrees, phase: Phase, tokens: int, copies: int) -> float:
        """Bytes of buffers for so many tokens of a rank, of which each is on `copies` ranks, at most."""
        shapes = shapes_of(self._facts)
        exchanged = 0.0
        if experts := shapes.experts:
            gathered = 2 * tokens * degrees.ep * degrees.tp / copies
            dispatched = (
                4 * experts.count * ceil(tokens / copies)
                if phase is Phase.DECODE
                else tokens * experts.top * (1 + degrees.tp / copies)
            )
            exchanged = max(gathered, dispatched)
        return (tokens + exchanged) * shapes.hidden * shapes.activation_dtype.bytes


_BELOW = 1 - 1e-9
"""Sums are rounded in another order."""
