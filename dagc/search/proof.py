"""The answer to a goal as the record of its proof."""

from __future__ import annotations

from collections import Counter
from math import isfinite

from dagc.plan.deployment import Phase
from dagc.results import proof as out
from dagc.search.best import Missed, Witness
from dagc.search.candidate import spell
from dagc.search.optimum import GoalResult, NotEnumerated, ServiceCount
from dagc.search.pair_walks import CellOutcome
from dagc.search.walks import FamilyOutcome
from dagc.search.yields import Yields, witness_of


def proof_of(answer: GoalResult) -> out.Proof:
    """The record of what was found for a goal, and why nothing else is better."""
    best, not_enumerated = answer.best, answer.not_enumerated
    return out.Proof(
        batch=best.goal.batch,
        best=best.entry.strategy if best.entry else None,
        score=best.score if best.entry else None,
        best_bound=answer.best_bound if isfinite(answer.best_bound) else None,
        gap=answer.gap,
        is_proven=answer.is_proven,
        families=[_family(one) for one in answer.families],
        services=[_services(one) for one in answer.services],
        cells=[_cell(one) for one in answer.cells],
        not_enumerated=None if not_enumerated is None else _not_enumerated(not_enumerated),
    )


def _not_enumerated(one: NotEnumerated) -> out.NotEnumeratedRecord:
    yields = one.yields
    return out.NotEnumeratedRecord(
        sizes=list(one.sizes),
        cells=[list(cell) for cell in one.cells],
        score=one.score if isfinite(one.score) else None,
        score_by_yields=one.score_by_yields if yields else None,
        floor=yields.floor if yields else None,
        yields=_yields(yields) if yields else [],
    )


def _yields(yields: Yields) -> list[out.YieldRecord]:
    (prefill,) = yields.rows[Phase.PREFILL]
    found: list[out.YieldRecord] = []
    for phase, rows in yields.rows.items():
        for row in rows:
            one, gpus = witness_of(row, phase, prefill)
            found.append(
                out.YieldRecord(
                    phase=str(Phase(phase)),
                    sequences=row.sequences,
                    requests=row.requests,
                    strategy=spell(one),
                    batch=one.batch,
                    gpus=gpus,
                )
            )
    return found


def _family(one: FamilyOutcome) -> out.FamilyRecord:
    count, key, refused = one.count, one.count.key, one.count.refused + one.refused
    missed = sum(other.number for other in one.missed.values())
    return out.FamilyRecord(
        gpus=one.gpus,
        replicas=key.replicas,
        stages=key.stages,
        width=key.width,
        beside=key.beside,
        form=key.form,
        members=refused.total() + count.weights + one.over + missed + one.priced + one.bounded,
        refused=dict(sorted(refused.items())),
        weights=None
        if count.smallest is None
        else out.WeightsRecord(strategies=count.weights, share=count.smallest, example=count.example or ""),
        over=one.over,
        missed=_missed(one.missed),
        priced=one.priced,
        bounded=one.bounded,
        witness=_witness(one.witness),
    )


def _services(one: ServiceCount) -> out.ServicesRecord:
    refused = sum((family.refused for family in one.families), start=Counter[str]())
    weights = sum(family.weights for family in one.families)
    return out.ServicesRecord(
        phase=str(Phase(one.phase)),
        gpus=one.gpus,
        members=refused.total() + weights + one.fitting,
        refused=dict(sorted(refused.items())),
        weights=weights,
        fitting=one.fitting,
    )


def _cell(one: CellOutcome) -> out.CellRecord:
    return out.CellRecord(
        prefill_gpus=one.prefill_gpus,
        decode_gpus=one.decode_gpus,
        pairs=None if one.decode is None else one.prefill * one.decode,
        over=one.over,
        missed=_missed(one.missed),
        priced=one.priced,
        bounded=one.bounded,
        witness=_witness(one.witness),
    )


def _missed(missed: dict[str, Missed]) -> list[out.MissRecord]:
    return [
        out.MissRecord(requirement=name, strategies=one.number, nearest=one.nearest or 0.0)
        for name, one in sorted(missed.items())
        if one.number
    ]


def _witness(one: Witness | None) -> out.WitnessRecord | None:
    if one is None:
        return None
    return out.WitnessRecord(
        strategy=one.strategy, score=one.score, gpus=one.gpus, ttft=one.ttft, tpot=one.tpot, throughput=one.throughput
    )
