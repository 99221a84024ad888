"""Results of serving benchmarks beside a plan's strategies under the load that was run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from dagc.catalog.serving_results import RATES, STATISTICS, TIMES, ServingResult
from dagc.diag.diagnostic import Diagnostic, Severity, in_order
from dagc.driver.check import silent
from dagc.driver.front import read_plan, stops
from dagc.driver.load import StrategyLoad, arrivals_text, too_large
from dagc.driver.outcome import Blocks, Checked, Say
from dagc.driver.strategies import check_strategy, price_plan
from dagc.plan.plan import Facts, Plan
from dagc.plan.workload import OPEN, RequestTrace, Workload
from dagc.results.run_comparison import RunComparison, RunComparisons, compared, run_comparisons
from dagc.simulate.kernel import SimulationTooLarge
from dagc.simulate.load import LoadRun
from dagc.source import Source
from dagc.syntax.tree import PlanFile

_SHARES = {"median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """A plan whose text can be read: what it states, and its strategies."""

    file: PlanFile
    facts: Facts

    def under(self, result: ServingResult, found: list[Diagnostic]) -> Iterator[Checked]:
        """Its strategies under the load of a result, priced; `found` collects why others are not."""
        facts = replace(self.facts, workload=workload_of(result, self.facts.workload))
        for strategy in self.file.strategies:
            problems: list[Diagnostic] = []
            pricing = partial(price_plan, say=silent, sample=None)
            checked = check_strategy(strategy, facts, problems, pricing)
            if checked and checked.priced.assessment.metrics:
                yield checked
            else:
                found += [one for one in problems if one.severity is Severity.ERROR][:1]


def readable_plan(source: Source, blocks: Blocks, directory: Path) -> ReadPlan | tuple[Diagnostic, ...]:
    """A plan whose load will be that of results, or what is wrong with it."""
    found: list[Diagnostic] = []
    known = read_plan(source, blocks, directory, found)
    if known is None or stops(found):
        return in_order(found)
    return ReadPlan(*known)


def validate_results(
    plan: ReadPlan, results: Sequence[ServingResult], say: Say
) -> tuple[RunComparisons, tuple[Diagnostic, ...]]:
    """Each result beside each strategy of the plan, and why others have no prediction."""
    runs: list[RunComparison] = []
    found: list[Diagnostic] = []
    for number, result in enumerate(results, 1):
        for checked in plan.under(result, found):
            say(f"{number} of {len(results)} runs: simulating {checked.plan.name}")
            run = _simulated(checked.plan, found)
            if run is not None:
                runs.append(_comparison(checked.plan, result, run))
    return run_comparisons(runs), tuple(dict.fromkeys(found))


def _simulated(plan: Plan, found: list[Diagnostic]) -> LoadRun | None:
    """All requests of the benchmark, from the first to the last."""
    load = StrategyLoad(plan, silent)
    if (refusal := load.refusal()) is not None:
        found.append(load.refused(refusal))
        return None
    try:
        return load.whole_run()
    except SimulationTooLarge as error:
        found.append(too_large(plan, error))
        return None


def workload_of(result: ServingResult, asked: Workload) -> Workload:
    """The load of a result; of what a plan asks it keeps routing, chunks, blocks, the prefix cache and drafts."""
    limit = result.concurrency or OPEN
    ranges = result.ranges or (None, None)
    return replace(
        asked,
        batch=limit,
        concurrency=limit,
        prompt=max(1, round(result.prompt)),
        output=max(1, round(result.output)),
        requests_per_second=result.rate,
        is_open=result.concurrency is None,
        prompt_range=ranges[0],
        output_range=ranges[1],
        lengths=_lengths(result),
        trace=None,
        requests=result.requests,
        warmup=0,
    )


def _lengths(result: ServingResult) -> RequestTrace | None:
    if result.lengths is None:
        return None
    prompt, output = np.array(result.lengths, dtype=np.int32).T
    text = result.place.source.text.encode()
    return RequestTrace(result.name, sha256(text).hexdigest(), np.zeros(len(prompt), np.int64), prompt, output)


def _comparison(plan: Plan, result: ServingResult, run: LoadRun) -> RunComparison:
    notes = [f"{result.failed:,} requests failed"] if result.failed else []
    notes += ["the number in flight follows from what was measured"] if result.is_inferred else []
    return RunComparison(
        run=result.name,
        tool=result.tool,
        model=result.model,
        strategy=plan.name,
        load=arrivals_text(plan),
        requests=result.requests,
        prompt=result.prompt,
        output=result.output,
        figures=compared(result.figures, _figures(run)),
        note="; ".join(notes),
    )


def _figures(run: LoadRun) -> dict[str, float]:
    """What a run predicts of the figures that results may have; times of nothing are left out."""
    output, prompt = float(run.requests.output.mean()), float(run.requests.prompt.mean())
    rate = run.requests_per_second
    found: dict[str, float] = dict(zip(RATES, (rate, rate * output, rate * (output + prompt)), strict=True))
    for time, sample in zip(TIMES, (run.ttft, run.tpot, run.itl, run.e2e), strict=True):
        values = [sample.mean, *sample.quantiles(list(_SHARES.values()))]
        found |= {f"{one}_{time}": value for one, value in zip(STATISTICS, values, strict=True) if value == value}
    return found
