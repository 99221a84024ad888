"""A strategy under load as text for a person: percentiles of times, services, saturation, verdicts, a sweep."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.export.text.columns import columns
from dagc.export.text.context import MARKS
from dagc.results.load import Distribution, SimulatedLoad
from dagc.results.simulation import SimulationResult, StrategyUnderLoad, Sweep
from dagc.units import format_count, format_rate, format_seconds, format_share

_TIMES = {"ttft": "TTFT", "itl": "ITL", "tpot": "TPOT", "e2e": "end to end"}
_SHOWN = ("p50", "p90", "p95", "p99")


def render_simulation(found: SimulationResult) -> str:
    """Every strategy as lines, the last one ended."""
    lines = [f"defaults: {found.assumed}"] if found.assumed else []
    for number, one in enumerate(found.strategies):
        lines += [""] if number or lines else []
        lines += _strategy(one)
    return "\n".join(lines) + "\n"


def load_lines(load: SimulatedLoad) -> list[str]:
    """The load of a summary: TTFT and TPOT of requests, and the rate that saturates."""
    if not load.holds:
        return [f"{load.arrivals}: {saturation_text(load)}"]
    lines = [f"{load.arrivals}: {load.requests:,} simulated requests"]
    for name in ("ttft", "tpot"):
        times: Distribution = getattr(load, name)
        quantiles = times.percentiles_seconds
        if times.mean_seconds is not None:
            shown = ", ".join(f"{_seconds(quantiles[one])} ({one})" for one in ("p50", "p99"))
            error = times.errors_seconds["p99"]
            lines.append(f"{_TIMES[name]} under load {shown}" + (f" ± {format_seconds(error)}" if error else ""))
    return lines + ([saturation_text(load)] if load.saturation else [])


def saturation_text(load: SimulatedLoad) -> str:
    """Up to which rate the queue stays bounded, or that it does not."""
    if load.saturation is None:
        return "the number in flight bounds the queue"
    highest = format_rate(load.saturation.requests_per_second, "requests/s")
    return f"saturates at {highest}" if load.holds else f"the queue grows without end: saturates at {highest}"


def _strategy(one: StrategyUnderLoad) -> Iterator[str]:
    load = one.load
    yield f"{one.name}: {load.arrivals}; {saturation_text(load)}"
    runs = f" of {load.sections} runs, each" if load.sections > 1 else ""
    seconds = format_seconds(load.seconds)
    yield f"  {load.requests:,} requests{runs} after {load.warmup:,} of warm-up, {seconds} simulated"
    # A time that includes a wait in a queue that grows is as long as the run.
    shown = {name: title for name, title in _TIMES.items() if load.holds or name in ("itl", "tpot")}
    rows = [("", "mean", *_SHOWN, "± of p99"), *(_times(title, getattr(load, name)) for name, title in shown.items())]
    yield from (f"  {line}" for line in columns(rows, ">"))
    if load.server_time is not None and load.holds:
        outside, error = map(format_seconds, (load.server_time.seconds, load.server_time.ttft_error_seconds))
        yield f"  TTFT includes {outside} ± {error} of HTTP, tokenizer and scheduler (fitted)"
    rates = [
        format_rate(load.requests_per_second, "requests/s"),
        f"{format_count(load.output_tokens_per_second)} output tokens/s",
    ]
    if load.goodput_requests_per_second is not None:
        rates.append(f"goodput {format_rate(load.goodput_requests_per_second, 'requests/s')}")
    yield f"  completes {', '.join(rates)}"
    for service in load.services:
        name = "" if len(load.services) == 1 else f"{service.service}: "
        yield (
            f"  {name}{format_share(service.utilisation)} busy, {service.running_mean:.3g} running"
            f" (at most {service.running_max} a replica), {service.queue_mean:.3g} waiting"
            f" (at most {service.queue_max}), cache {format_share(service.cache_mean_share)} full"
            f" (at most {format_share(service.cache_max_share)})"
        )
    if load.preemptions:
        yield f"  {load.preemptions:,} preemptions, as blocks ran out"
    for row in one.requirements:
        yield f"  {MARKS[row.ok]} {row.name} {row.required}: {row.actual or 'undetermined'} ({row.reason})"
    if one.sweep:
        yield from _sweep(one.sweep)


def _times(title: str, times: Distribution) -> tuple[str, ...]:
    quantiles = [_seconds(times.percentiles_seconds[one]) for one in _SHOWN]
    return title, _seconds(times.mean_seconds), *quantiles, _seconds(times.errors_seconds["p99"])


def _sweep(sweep: Sweep) -> Iterator[str]:
    highest = "none" if sweep.highest is None else _load(sweep, sweep.highest)
    limits = any(point.met is not None for point in sweep.points)
    yield f"  highest {sweep.over} {'that meets the requirements' if limits else 'that holds'}: {highest}"
    rows: list[tuple[str, ...]] = [(sweep.over, "completed", "TTFT p50", "p99", "TPOT p50", "p99", "")]
    for point in sweep.points:
        times = [one[name] for one in (point.ttft_seconds, point.tpot_seconds) for name in ("p50", "p99")]
        mark = "" if point.met is None else MARKS[point.met]
        completed = format_rate(point.requests_per_second, "requests/s")
        rows.append((_load(sweep, point.load), completed, *map(_seconds, times), mark))
    yield from (f"  {line}" for line in columns(rows, ">"))


def _load(sweep: Sweep, load: float) -> str:
    return format_rate(load, "requests/s") if sweep.over == "rate" else f"{load:,.0f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else format_seconds(value)
