"""Parameters become effects: every change is priced from the text or the facts on, and set beside the plan as it is.

Nothing is extrapolated: an effect is the difference of two full runs of the pipeline. Why a phase changed is read from
the two critical paths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from dagc.graph.priced import PICOSECONDS
from dagc.metrics import SENSITIVITIES
from dagc.results import whatif as out
from dagc.results.assemble import requirements_of
from dagc.results.assessment import Assessment
from dagc.results.comparison import difference
from dagc.results.facts import facts_of
from dagc.results.serving import cause, token_parts
from dagc.results.structure import strategy_text
from dagc.results.values import value, values
from dagc.schedule.timeline import Timeline
from dagc.whatif.parameter import (
    Answer,
    Change,
    PhaseTime,
    Pricing,
    RefusedPlan,
    SensitivityParameter,
)

MOST_OPERATORS = 3
"""Operators that are named for each phase."""


def sensitivities(
    base: Answer, parameters: Sequence[SensitivityParameter], pricing: Pricing, say: Callable[[str], None]
) -> out.Sensitivities:
    """What each change of each parameter does, in the order given; `say` reports each step.

    A plan of which no figure is known is not changed: of what is undetermined there is no effect to find.
    """
    metrics = list(_metrics(base))
    steps = [(parameter, change) for parameter in parameters for change in parameter.changes] if metrics else []
    effects: list[out.Effect] = []
    refusals = [_refusal(parameter) for parameter in parameters if parameter.reason]
    for number, (parameter, change) in enumerate(steps, start=1):
        say(f"{base.plan.name}: {number} of {len(steps)}, {parameter.title} {change.label}")
        answer = None if change.reason else pricing.of(change.to, base.plan)
        if isinstance(answer, Answer):
            effects.append(_effect(parameter, change, base, answer))
        else:
            refusals.append(_refusal(parameter, change, answer))
    return out.Sensitivities(
        name=base.plan.name,
        strategy=strategy_text(base.plan.deployment),
        gpus=base.plan.deployment.gpus,
        fits=base.fits,
        metrics=metrics,
        effects=effects,
        refusals=refusals,
        missing=[*base.found.missing_shapes, *base.found.missing_rates],
        facts=facts_of(base.plan.facts),
        requirements=requirements_of(base.found),
    )


def _metrics(base: Answer) -> Iterator[out.MetricRecord]:
    """The plan's figures; one that it can have under no change is left out, such as a cost without a price."""
    for kind in SENSITIVITIES:
        known = value(kind, base.plan, base.found)
        if known is not None:
            yield out.MetricRecord(
                name=kind.name,
                title=kind.titled([base.plan.facts.workload.ttft_definition]),
                unit=kind.unit,
                better=kind.better or "less",
                value=known,
                text=kind.text(known),
            )


def _refusal(
    parameter: SensitivityParameter, change: Change | None = None, refused: RefusedPlan | None = None
) -> out.Refusal:
    problem = refused.problem if refused else None
    return out.Refusal(
        parameter=parameter.name,
        title=parameter.title,
        kind=parameter.kind.value,
        change=change.label if change else "",
        code=problem.code.code if problem else None,
        reason=problem.message if problem else change.reason if change else parameter.reason,
    )


def _effect(parameter: SensitivityParameter, change: Change, base: Answer, answer: Answer) -> out.Effect:
    before, after = values(base.plan, base.found), values(answer.plan, answer.found)
    return out.Effect(
        parameter=parameter.name,
        title=parameter.title,
        kind=parameter.kind.value,
        value=parameter.value,
        change=change.label,
        strategy=strategy_text(answer.plan.deployment) if isinstance(change.to, str) else None,
        gpus=answer.plan.deployment.gpus,
        metrics=[
            out.Moved(
                name=one.name,
                value=(new := after[one.name]),
                text=one.text(new),
                difference=difference(new, before[one.name]),
            )
            for one in SENSITIVITIES
            if before[one.name] is not None
        ],
        fits=answer.fits,
        verdicts=list(_turned(base.found, answer.found)),
        phases=[_phase(before, after) for before, after in zip(base.phases, answer.phases, strict=False)],
        note=parameter.note,
    )


def _turned(before: Assessment, after: Assessment) -> Iterator[out.VerdictRecord]:
    """Requirements whose verdict is another one."""
    for old, new in zip(before.requirements, after.requirements, strict=True):
        if old.ok != new.ok:
            yield out.VerdictRecord(name=old.name, required=old.required, before=old.ok, after=new.ok)


def _phase(before: PhaseTime, after: PhaseTime) -> out.PhaseChange:
    return out.PhaseChange(
        phase="prefill" if before.name == "prefill" else "decode",
        before=_state(before),
        after=_state(after),
        operators=_operators(before, after),
    )


def _state(phase: PhaseTime) -> out.PhaseState:
    shares, bound = phase.metrics.critical_path, phase.metrics.bound
    return out.PhaseState(
        seconds=phase.metrics.seconds,
        bound=cause(phase.serving, bound) if phase.serving else bound,
        parts_seconds=token_parts(phase.serving) if phase.serving else {},
        compute_share=shares.compute_share,
        memory_share=shares.memory_share,
        communication_share=shares.communication_share,
        bubble_share=shares.bubble_share,
    )


def _operators(before: PhaseTime, after: PhaseTime) -> list[out.OperatorTime]:
    """Those on either path whose time changed most, the largest change first; equals in the order of the names."""
    old, new = operator_seconds(before.timeline), operator_seconds(after.timeline)
    changed = {key: new.get(key, 0.0) - old.get(key, 0.0) for key in {*old, *new}}
    most = sorted((key for key in changed if changed[key]), key=lambda key: (-abs(changed[key]), key))
    return [
        out.OperatorTime(key=key, before_seconds=old.get(key, 0.0), after_seconds=new.get(key, 0.0))
        for key in most[:MOST_OPERATORS]
    ]


def operator_seconds(timeline: Timeline) -> Mapping[str, float]:
    """Seconds on the critical path by key of the operator, in the order in which they first occur on it.

    A receive runs beside its send, and both are on the path: time that was counted already is not counted again, so
    that the seconds sum to the length of the path, the makespan of the phase.
    """
    templates, runs = timeline.priced.graph.templates, timeline.runs
    names = [[node.key.removeprefix("a.").removeprefix("b.") for node in template.nodes] for template in templates]
    time_by_key: Counter[str] = Counter()
    covered = 0
    for slot in timeline.path:
        time_by_key[names[runs[slot.run].template][slot.node]] += max(0, slot.end - max(slot.start, covered))
        covered = max(covered, slot.end)
    return {key: time / PICOSECONDS for key, time in time_by_key.items()}
