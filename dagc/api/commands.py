"""The functions that ask more of a plan: each runs the pipeline of the command of its name.

All take a plan as `dagc.compile` does, and blocks as texts. They raise ValueError for an argument out of range,
NoSuchStrategy for a strategy that the plan has not, OSError and UnicodeDecodeError for a file that cannot be read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from dagc.api.compiling import blocks_of, sourced
from dagc.api.result import NoSuchStrategy
from dagc.api.results import (
    CompareResult,
    LaunchResult,
    MemoryResult,
    ReadResult,
    SearchResult,
    SimulateResult,
    WhatIfResult,
)
from dagc.diag.diagnostic import Diagnostic
from dagc.diag.text import render

if TYPE_CHECKING:
    from dagc.search.goal import ObjectiveName


def search(
    plan: str | Path | None = None,
    *,
    gpus: int | tuple[int, int] | None = None,
    objective: ObjectiveName = "throughput_per_gpu",
    seconds: float | None = 60.0,
    batches: Iterable[int] = (),
    over: Iterable[str] = ("phase-pools",),
    most: int | None = None,
    exhaustive: bool = False,
    workers: int = 1,
    model: str | None = None,
    cluster: str | None = None,
    workload: str | None = None,
    require: str | None = None,
    engine: str | None = None,
    rules: str | None = None,
) -> SearchResult:
    """Find the best strategy for the model, cluster, workload and requirements of a plan, or of blocks alone.

    The strategies of the plan are placed beside the front.

    `gpus`, a number or the fewest and the most, and `batches` replace those of the plan; `objective` is what is best;
    `over` are coordinates beside degrees, micro-batches and overlap. The search ends after so many `seconds`, or, where
    `most` is given, after so many bounds and prices; `exhaustive` prices all that fits by weights. `workers` are
    processes: with more than one, a script has its calls under `if __name__ == "__main__":`.
    """
    from dagc.driver import search as driver
    from dagc.driver.search import SearchOptions
    from dagc.search.goal import OBJECTIVE_NAMES
    from dagc.search.space import EXTRAS

    tried, named, sizes = tuple(sorted(set(batches))), frozenset(over), _sizes(gpus)
    for name, number in (*(("batches", one) for one in tried), ("most", most), ("workers", workers)):
        if number is not None and number < 1:
            raise ValueError(f"`{name}` is at least 1, not {number}")
    _among("over", named, EXTRAS)
    _among("objective", (objective,), OBJECTIVE_NAMES)
    if plan is None and model is None:
        raise ValueError("a search takes a plan, or a `model`")
    source, directory = sourced(plan if plan is not None else f"model {model}\n")
    blocks = blocks_of(model=model, cluster=cluster, workload=workload, require=require, engine=engine, rules=rules)
    limit = None if most is not None or exhaustive else seconds
    request = SearchOptions(
        sizes, tried, named, most, workers, is_exhaustive=exhaustive, objective=objective, seconds=limit
    )
    outcome = driver.search(source, blocks, directory, request, lambda _: None)
    return SearchResult(outcome.diagnostics, outcome.result, outcome.plan, outcome.was_interrupted)


_MOST_GPUS = 4096


def _sizes(gpus: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """The fewest and the most GPUs. Raises ValueError where they are none, too many or in the other order."""
    if gpus is None:
        return None
    fewest, most = (gpus, gpus) if isinstance(gpus, int) else gpus
    if min(fewest, most) < 1:
        raise ValueError(f"`gpus` is at least 1, not {min(fewest, most)}")
    if most > _MOST_GPUS:
        raise ValueError(f"`gpus` is at most {_MOST_GPUS:,}, not {most:,}")
    if fewest > most:
        raise ValueError(f"`gpus` is the fewest and the most, not {fewest:,} and {most:,}")
    return fewest, most


def compare(
    *plans: str | Path,
    strategies: Collection[str] = (),
    model: str | None = None,
    cluster: str | None = None,
    workload: str | None = None,
    require: str | None = None,
    engine: str | None = None,
    rules: str | None = None,
) -> CompareResult:
    """Compare plans, or the strategies of one; figures are relative to the first.

    `strategies` are the names to take, all where it is empty. Blocks are for all plans. Raises ValueError where there
    are no two strategies to compare.
    """
    from dagc.driver import compare as driver
    from dagc.driver.compare import Given

    wanted = frozenset([strategies] if isinstance(strategies, str) else strategies)
    sources = [sourced(plan, f"plan {number}") for number, plan in enumerate(plans, 1)]
    given = [Given(source, directory, wanted or None) for source, directory in sources]
    blocks = blocks_of(model=model, cluster=cluster, workload=workload, require=require, engine=engine, rules=rules)
    compared = driver.compare(given, blocks, (), lambda _: None)
    if not any(diagnostic.stops for diagnostic in compared.diagnostics):
        for name in sorted(wanted.difference(checked_plan.plan.name for checked_plan in compared.checked)):
            raise ValueError(f"no plan has a strategy `{name}`")
        if len(compared.checked) < 2:
            raise ValueError("a comparison needs two strategies: name another plan, or a plan with two")
    return CompareResult(compared)


def memory(
    plan: str | Path,
    *,
    strategy: str | None = None,
    model: str | None = None,
    cluster: str | None = None,
    workload: str | None = None,
    require: str | None = None,
    engine: str | None = None,
    rules: str | None = None,
) -> MemoryResult:
    """What each GPU holds, by class of ranks and part, and what would still fit; `strategy` takes one of them."""
    from dagc.driver import memory as driver

    source, directory = sourced(plan)
    blocks = blocks_of(model=model, cluster=cluster, workload=workload, require=require, engine=engine, rules=rules)
    held = driver.memory(source, blocks, directory)
    _known(strategy, [one.name for one in held.strategies], held.diagnostics)
    return MemoryResult(held.diagnostics, tuple(one for one in held.strategies if strategy in (None, one.name)))


def launch(
    plan: str | Path,
    *,
    strategy: str | None = None,
    model: str | None = None,
    cluster: str | None = None,
    workload: str | None = None,
    require: str | None = None,
    engine: str | None = None,
    rules: str | None = None,
) -> LaunchResult:
    """The commands with which the engine of a plan starts each strategy, or why it cannot; without `engine`, of all."""
    from dagc.driver import launch as driver

    source, directory = sourced(plan)
    blocks = blocks_of(model=model, cluster=cluster, workload=workload, require=require, engine=engine, rules=rules)
    started = driver.launch(source, blocks, directory)
    _known(strategy, [one.name for one in started.launched], started.diagnostics)
    return LaunchResult(started.diagnostics, tuple(one for one in started.launched if strategy in (None, one.name)))


def whatif(
    plan: str | Path,
    *,
    strategy: str | None = None,
    by: float = 10.0,
    only: Collection[str] = (),
    over: str | None = None,
    against: str | None = None,
    between: tuple[int, int] | None = None,
    metrics: Collection[str] = (),
    model: str | None = None,
    cluster: str | None = None,
    workload: str | None = None,
    require: str | None = None,
    engine: str | None = None,
    rules: str | None = None,
) -> WhatIfResult:
    """Change the parameters of hardware, workload and strategy, one at a time, and price each changed plan.

    `by` is the per cent by which figures of the hardware change; `only` are kinds of parameters (`hardware`,
    `workload`, `strategy`). With `over`, a field of the workload, the result is the points from which another strategy
    is better: `against` one, by name or text, or all one decision away; `between` two values; by these `metrics`.
    """
    from dagc.driver import whatif as driver
    from dagc.driver.whatif import Asked, BreakEvenQuery
    from dagc.metrics import COMPARED
    from dagc.results.whatif import KindName

    if not 0 < by < 100:
        raise ValueError(f"`by` is a per cent between 0 and 100, not {by}")
    _among("only", only, get_args(KindName))
    _among("metrics", metrics, [one.name for one in COMPARED])
    if over is None and (against is not None or between is not None or metrics):
        raise ValueError("`against`, `between` and `metrics` need `over`: the quantity to compare strategies over")
    if between is not None and not 1 <= between[0] < between[1]:
        raise ValueError(f"`between` is a low and a higher value from 1 on, not {between}")
    source, directory = sourced(plan)
    blocks = blocks_of(model=model, cluster=cluster, workload=workload, require=require, engine=engine, rules=rules)
    query = BreakEvenQuery(over, against, between, tuple(metrics)) if over is not None else None
    asked = Asked(by / 100, tuple(only), strategy)
    found = driver.whatif(source, blocks, directory, asked, query, lambda _: None, ())
    _known(strategy, found.names, found.diagnostics)
    if over is not None and found.names:
        _among("over", (over,), found.quantities)
    return WhatIfResult(found.diagnostics, found.answers)


def simulate(
    plan: str | Path,
    *,
    strategy: str | None = None,
    requests: int | None = None,
    seed: int | None = None,
    sweep: str | None = None,
    model: str | None = None,
    cluster: str | None = None,
    workload: str | None = None,
    require: str | None = None,
    engine: str | None = None,
    rules: str | None = None,
) -> SimulateResult:
    """Simulate the requests of a workload with `concurrency`, `rate` or a trace on each strategy, or on one.

    `requests` is how many are counted, `seed` that of arrivals and lengths; both replace those of the workload. `sweep`
    over `rate` or `concurrency` finds the highest load that keeps every requirement.
    """
    from dagc.driver import simulate as driver
    from dagc.driver.simulate import FEWEST_REQUESTS, MOST_REQUESTS, MOST_SEED, SimulationRequest
    from dagc.plan.workload import LoadSample

    over = "rate" if sweep == "rate" else "concurrency" if sweep == "concurrency" else None
    if over != sweep:
        raise ValueError(f"`sweep` is one of rate, concurrency, not {sweep!r}")
    if requests is not None and not FEWEST_REQUESTS <= requests <= MOST_REQUESTS:
        raise ValueError(f"`requests` is from {FEWEST_REQUESTS} to {MOST_REQUESTS:,}, not {requests:,}")
    if seed is not None and not 0 <= seed <= MOST_SEED:
        raise ValueError(f"`seed` is from 0 to {MOST_SEED}, not {seed}")
    source, directory = sourced(plan)
    blocks = blocks_of(model=model, cluster=cluster, workload=workload, require=require, engine=engine, rules=rules)
    asked = SimulationRequest(strategy, LoadSample(requests, seed), over)
    found = driver.simulate(source, blocks, directory, asked)
    _known(strategy, found.names, found.diagnostics)
    return SimulateResult(found.diagnostics, found.result)


def read(text: str, *, engine: str | None = None, model: str | None = None, cluster: str | None = None) -> ReadResult:
    """What a flat notation such as `TP2-EP4-PP2-DP2` can mean; with `engine`, what flags of that engine mean.

    A name or an entry of a benchmark recipe is read too (`recipes`). With a model or a cluster, each reading is judged
    by the rules on degrees and sizes, and with both what the text claims of the deployment.
    """
    from dagc.driver import read as driver
    from dagc.driver.recipes import read_recipes
    from dagc.engines.registry import engine_names

    if engine is not None:
        _among("engine", (engine,), engine_names())
    source, _ = sourced(text)
    blocks = blocks_of(model=model, cluster=cluster)
    recipes = None if engine else read_recipes(source, blocks)
    if recipes is not None:
        return ReadResult(recipes[1], None, recipes[0])
    found, diagnostics = driver.read(source, blocks, Path(), engine)
    return ReadResult(diagnostics, found)


def _among(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raises ValueError for a name that is none of those that there are."""
    for name in names:
        if name not in known:
            raise ValueError(f"`{what}`: `{name}` is none of {', '.join(known)}")


def _known(strategy: str | None, names: Collection[str], diagnostics: tuple[Diagnostic, ...]) -> None:
    if strategy is not None and strategy not in names:
        raise NoSuchStrategy(strategy, tuple(dict.fromkeys(names)), render(diagnostics))
