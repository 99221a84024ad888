"""A plan's prediction beside the commands that check it: benchmarks of serving with the plan's workload.

Predicted are figures that such a benchmark reports, each with the interval in which half of measured cases lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import hypot
from pathlib import Path

from dagc.diag.diagnostic import Code, Diagnostic, in_order
from dagc.diag.jsonout import to_json
from dagc.driver.bench_tools import Load, tool_run
from dagc.driver.check import check, silent
from dagc.driver.load import REQUESTS, StrategyLoad, arrivals_text, too_large
from dagc.driver.outcome import Blocks, Checked, GivenLevels, Say
from dagc.engines.registry import get_engine
from dagc.plan.instances import instance_of
from dagc.plan.plan import Plan
from dagc.plan.workload import Workload
from dagc.results.bench import TOOLS, Bench, BenchResult, Predicted, ToolRun
from dagc.results.load import Distribution, SimulatedLoad
from dagc.results.metrics import Metrics
from dagc.simulate.kernel import SimulationTooLarge
from dagc.source import Source
from dagc.units import format_gpus

NO_BENCHMARK = Code("N148", "no-benchmark")

PLACEHOLDER = "$MODEL"
"""In place of the model's name or path where the plan has none that a server could load."""

NEAR_SATURATION = 0.8
"""Share of the rate that saturates from which waits grow faster than the error of step times."""


_MEASURED: dict[bool, dict[tuple[str, str], float]] = {
    False: {("ttft", "p99"): 0.16, ("tpot", "p99"): 0.15},
    True: {("ttft", "mean"): 0.35, ("tpot", "p99"): 0.15},
}
"""Median errors by `dagc validate load` of runs of DeepSeek-R1 where they are more than those of step times: on one
node (148 loads), and with pools of prefill and decode (82 loads). TTFT of requests is no nearer than its mean."""


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """One strategy, or all; tools by name, or all; the server's address and the number of requests, if not as usual."""

    name: str | None = None
    tools: tuple[str, ...] = TOOLS
    url: str = ""
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class BenchOutcome:
    """The document, with strategies that have no errors; all diagnostics; names of strategies with a meaning."""

    result: BenchResult
    diagnostics: tuple[Diagnostic, ...]
    names: tuple[str, ...]


def bench(
    source: Source,
    blocks: Blocks = (),
    directory: Path = Path(),
    asked: BenchRequest | None = None,
    say: Say = silent,
    given: GivenLevels = (),
) -> BenchOutcome:
    """Each strategy's prediction and benchmarks; N148 where none of the tools can send the workload."""
    asked = asked or BenchRequest()
    outcome = check(source, blocks, directory, say, given)
    problems = list(outcome.diagnostics)
    found: list[Bench] = []
    for checked in outcome.checked:
        if asked.name in (None, checked.plan.name) and _can_run(checked):
            say(f"simulating {checked.plan.name}")
            try:
                one = _bench(checked, asked, directory, say)
            except SimulationTooLarge as error:
                problems.append(too_large(checked.plan, error))
                continue
            found.append(one)
            if not any(run.commands for run in one.tools):
                problems.append(_none(checked.plan, one.tools))
    names = tuple(one.plan.name for one in outcome.checked)
    shown = in_order(problems)
    return BenchOutcome(BenchResult(strategies=found, diagnostics=[to_json(one) for one in shown]), shown, names)


def _bench(checked: Checked, asked: BenchRequest, directory: Path, say: Say) -> Bench:
    plan, load = checked.plan, checked.priced.load
    if load is not None and asked.requests:
        load = StrategyLoad(load.plan, say, asked.requests)
    workload, is_batch = plan.facts.workload, plan.facts.workload.concurrency is None
    in_flight = workload.batch if is_batch else None if workload.is_open else workload.concurrency
    usual = workload.batch if is_batch else workload.requests or len(workload.trace or ()) or REQUESTS
    requests, warmup = asked.requests or usual, workload.batch if is_batch else workload.warmup
    predicted: Iterable[Predicted] = ()
    remarks: Iterable[str] = ()
    if checked.priced.timelines is None:
        remarks = (f"no prediction: it is undetermined without {', '.join(_missing(checked))}",)
    elif load is None:
        predicted = _of_batch(plan, checked.priced.metrics)
    else:
        under = load.record
        requests, warmup = under.requests, under.warmup
        predicted, remarks = _of_load(plan, checked.priced.metrics, under), _remarks(under, workload)
    arrivals = f"static batch of {workload.batch}" if is_batch else arrivals_text(plan)
    rows = workload.trace or workload.lengths
    engine = plan.facts.engine
    what = Load(
        model=(plan.facts.model.repository or PLACEHOLDER),
        workload=workload,
        requests=requests,
        warmup=warmup,
        in_flight=in_flight,
        is_batch=is_batch,
        path=str(directory / rows.name) if rows else "",
        engine=engine.name if engine else "",
        url=asked.url,
        result=plan.name,
        trtllm=_trtllm(plan),
    )
    return Bench(
        name=plan.name,
        strategy=checked.structure.strategy,
        gpus=plan.deployment.gpus,
        workload=f"{arrivals}; {_lengths(workload)}",
        requests=requests,
        warmup=warmup,
        predicted=list(predicted),
        remarks=list(remarks),
        tools=[tool_run(tool, what) for tool in asked.tools],
    )


def _can_run(checked: Checked) -> bool:
    """Whether requests of the workload can be served as far as is known: what is not simulated has errors."""
    is_batch = checked.plan.facts.workload.concurrency is None
    is_priced = bool(checked.priced.timelines) and (is_batch or checked.priced.load is not None)
    return is_priced or bool(_missing(checked))


def _missing(checked: Checked) -> tuple[str, ...]:
    """Facts that no time is known without."""
    found = checked.priced.assessment
    return (*found.missing_shapes, *found.missing_rates)


def _lengths(workload: Workload) -> str:
    rows = workload.trace or workload.lengths
    if rows is not None:
        return f"lengths of {rows.name}"
    bounds = ("prompt", workload.prompt_bounds), ("output", workload.output_bounds)
    return ", ".join(f"{name} {low:,}" + (f" to {high:,}" if high > low else "") for name, (low, high) in bounds)


def _of_batch(plan: Plan, metrics: Metrics) -> tuple[Predicted, ...]:
    """Those of one batch; with pools of their own the rate is that of many batches behind each other, left out."""
    first, between = metrics.prefill, metrics.decode
    rows = [
        _around("ttft", "last", first.seconds, first.error_share, "seconds"),
        _around("tpot", "mean", between.seconds, between.error_share, "seconds"),
    ]
    if metrics.throughput.limited_by == "both":
        steps = plan.facts.workload.output - 1
        error = _combined(first.seconds, first.error_share, steps * between.seconds, between.error_share)
        rows.append(_rate("output throughput", metrics.throughput.output_tokens_per_second, error, "tokens/s"))
    return tuple(rows)


def _of_load(plan: Plan, metrics: Metrics, load: SimulatedLoad) -> Iterator[Predicted]:
    """TTFT waits on steps of both kinds, so that it errs as much as the worse of them; sampling adds to both.

    No interval is narrower than the median error of the same figure in measured serving runs.
    """
    of_tpot = metrics.decode.error_share
    measured = _MEASURED[len(plan.deployment.services) > 1]
    of_ttft = max(metrics.prefill.error_share, of_tpot, measured.get(("ttft", "mean"), 0.0))
    for name, share in (("ttft", of_ttft), ("tpot", of_tpot)):
        times: Distribution = getattr(load, name)
        if name == "ttft" and not load.holds:
            continue
        for statistic in ("mean", "p50", "p99"):
            value = times.mean_seconds if statistic == "mean" else times.percentiles_seconds[statistic]
            if value is not None:
                wide = max(share, measured.get((name, statistic), 0.0))
                yield _around(name, statistic, value, wide, "seconds", times.errors_seconds[statistic])
    error: float | None = None
    if load.saturation is None or not load.holds:
        first, between = load.ttft.mean_seconds or 0.0, load.tpot.mean_seconds or 0.0
        steps = plan.facts.workload.output - 1
        error = _combined(first if load.holds else 0.0, of_ttft, steps * between, of_tpot)
    yield _rate("output throughput", load.output_tokens_per_second, error, "tokens/s")
    yield _rate("request throughput", load.requests_per_second, error, "requests/s")


def _remarks(load: SimulatedLoad, workload: Workload) -> Iterator[str]:
    sent = load.requests + load.warmup
    yield f"{sent:,} requests with those of warm-up, about {_duration(sent / load.requests_per_second)}"
    if load.saturation is None:
        if (in_flight := workload.concurrency or 0) * 10 > load.requests:
            share = in_flight / load.requests
            yield (
                f"{in_flight:,} in flight are {share:.0%} of {load.requests:,} requests: a benchmark counts its first"
                " and last ones too, which find the server emptier; `--requests` sends more"
            )
        return
    if not load.holds:
        yield "the queue grows without end: TTFT depends on how long the benchmark lasts"
    elif workload.requests_per_second and workload.requests_per_second > NEAR_SATURATION * (
        most := load.saturation.requests_per_second
    ):
        share = workload.requests_per_second / most
        yield f"the rate is {share:.0%} of what saturates: waits may err by more than the intervals of TTFT"
    if load.holds:
        yield "arrivals decide the throughput as long as the server keeps up"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _combined(first: float, of_first: float, rest: float, of_rest: float) -> float:
    """Relative error of a sum whose parts err in the same direction, being of the same formulas."""
    return (first * of_first + rest * of_rest) / (first + rest) if first + rest else 0.0


def _around(
    metric: str, statistic: str, value: float, share: float, unit: str, sampling: float | None = None
) -> Predicted:
    wide = hypot(share * value, sampling or 0.0)
    return Predicted(
        metric=metric, statistic=statistic, value=value, low=max(0.0, value - wide), high=value + wide, unit=unit
    )


def _rate(metric: str, value: float, error: float | None, unit: str) -> Predicted:
    """A rate whose time may be longer or shorter by this share."""
    low = None if error is None else value / (1 + error)
    high = None if error is None or error >= 1 else value / (1 - error)
    return Predicted(metric=metric, statistic="mean", value=value, low=low, high=high, unit=unit)


def _trtllm(plan: Plan) -> dict[str, int] | str:
    """Degrees of the only instance of TensorRT-LLM, or why there is not one."""
    deployment, engine = plan.deployment, plan.facts.engine
    service, *others = deployment.services
    if others:
        return "it runs one instance, and the plan has pools of prefill and decode"
    instance = instance_of(deployment, service, plan.facts.model)
    if instance is None:
        return "TensorRT-LLM has no separate pools of attention and experts"
    if instance.sizes.replicas > 1:
        return f"it runs one instance, and the plan has {instance.sizes.replicas} ({format_gpus(deployment.gpus)})"
    settings = (engine if engine and engine.name == "trtllm" else get_engine("trtllm")).express(instance)
    return settings if isinstance(settings, str) else dict(settings)


_WAYS = {
    "trace": 'write the trace as JSON lines, `{"timestamp": 0, "input_length": 1024, "output_length": 128, '
    '"hash_ids": [0, 1]}`, its times in milliseconds',
    "lengths": "write lengths as ranges: `prompt 819 to 1024 output 256`",
    "rate": "write `concurrency 64` in place of a rate",
}
"""What to write in place of a field that a tool refuses."""


def _none(plan: Plan, runs: Sequence[ToolRun]) -> Diagnostic:
    spans = plan.facts.workload.spans
    own = plan.deployment.strategy.span
    place = next((spans[run.refused] for run in runs if run.refused and run.refused in spans), own)
    others = [tool for tool in TOOLS if tool not in {run.tool for run in runs}]
    ways = [f"ask for another tool: {', '.join(f'`--tool {tool}`' for tool in others)}"] if others else []
    ways += [way for field, way in _WAYS.items() if any(run.refused == field for run in runs)]
    return NO_BENCHMARK.at(
        place,
        f"no benchmark that was asked for can send the workload of `{plan.name}`",
        "this is in the way",
        notes=tuple(f"{run.title}: {run.refusal}" for run in runs),
        help=tuple(ways),
    )
