"""The results of the functions that ask more of a plan than to compile it.

Each holds what the command of its name prints as JSON, as objects; numbers are in SI units and US dollars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagc.api.result import Result, Row, listed
from dagc.diag.diagnostic import Diagnostic
from dagc.units import format_seconds

if TYPE_CHECKING:
    from dagc.driver.compare import Compared
    from dagc.driver.launch import Launched
    from dagc.driver.recipes import RecipeReading
    from dagc.notation.readings import Reading, Readings
    from dagc.results.comparison import Comparison
    from dagc.results.memory import StrategyMemory
    from dagc.results.search_result import FoundPlan
    from dagc.results.search_result import SearchResult as SearchRecord
    from dagc.results.simulation import SimulationResult, StrategyUnderLoad
    from dagc.results.whatif import WhatIf


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


@dataclass(frozen=True, slots=True, repr=False)
class SearchResult(Result):
    """A search: `record` is what `search.json` holds, None where it could not begin; `plan` the text of `best.moe`.

    `was_interrupted` says that Ctrl-C stopped it: the record has what was decided until then.
    """

    diagnostics: tuple[Diagnostic, ...]
    record: SearchRecord | None
    plan: str | None
    was_interrupted: bool = False

    @property
    def front(self) -> list[FoundPlan]:
        """The Pareto front, the recommended plan first."""
        return self.record.front if self.record else []

    @property
    def best(self) -> FoundPlan | None:
        """The recommended plan; None where no plan meets every requirement."""
        return self.front[0] if self.front else None

    @property
    def rows(self) -> list[Row]:
        """A line for each plan of the front: `strategy`, `batch` and its figures."""
        return [{"strategy": one.strategy, "batch": one.batch, **one.figures, "gpus": one.gpus} for one in self.front]

    def headline(self) -> str:
        """The recommended plan, or why there is none."""
        if self.record is None:
            return "no search"
        if self.best is None:
            return self.record.reason
        from dagc.metrics import TPOT, TTFT, times_text

        best, figures = self.best, self.best.figures
        ttft, tpot = figures.get(TTFT.name), figures.get(TPOT.name)
        times = times_text(self.record.ttft_definition, ttft, tpot) if ttft is not None and tpot is not None else ()
        answer = ", ".join([_count(best.gpus, "GPU"), f"batch {best.batch:,}", *times])
        return f"front of {_count(len(self.front), 'plan')}, best: {best.strategy}: {answer}"

    def text(self) -> str:
        """What `dagc search` prints."""
        if self.record is None:
            return ""
        from dagc.export.text.search import render_search

        return render_search(self.record)

    def svg(self) -> str | None:
        """The front as `dagc search` draws it."""
        if not self.front or self.record is None:
            return None
        from dagc.export.front_svg import front_svg

        return front_svg(self.record)


@dataclass(frozen=True, slots=True, repr=False)
class CompareResult(Result):
    """Plans side by side; `record` is what `dagc compare --format json` prints."""

    compared: Compared

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of all plans."""
        return self.compared.diagnostics

    @property
    def record(self) -> Comparison:
        """The plans, their figures, and where they differ and why."""
        return self.compared.comparison

    @property
    def rows(self) -> list[Row]:
        """A line for each plan: `title`, `plan`, `name`, `strategy`, `fits`, `requirements_met`, and its figures."""
        return [
            {
                "title": one.title,
                "plan": one.plan,
                "name": one.name,
                "strategy": one.strategy,
                "fits": one.fits,
                "requirements_met": one.requirements_met,
                **{figure.name: figure.values[index].value for figure in self.record.figures},
                "gpus": one.gpus,
            }
            for index, one in enumerate(self.record.plans)
        ]

    def headline(self) -> str:
        """The titles of the plans."""
        titles = [plan.title for plan in self.record.plans]
        return f"{_count(len(titles), 'plan')}: {listed(titles)}" if titles else "no plan"

    def text(self) -> str:
        """What `dagc compare` prints."""
        from dagc.export.text.comparison import render_comparison

        return render_comparison(self.record) if self.record.plans else ""

    def page(self) -> str:
        """The page that `dagc compare --page` writes."""
        from dagc.driver.compile import comparison_page

        return comparison_page(self.compared).decode()


@dataclass(frozen=True, slots=True, repr=False)
class MemoryResult(Result):
    """What each GPU holds: `strategies` by name, each with its `memory`, None where shapes are `missing`."""

    diagnostics: tuple[Diagnostic, ...]
    strategies: tuple[StrategyMemory, ...]

    @property
    def rows(self) -> list[Row]:
        """A line for each class of equal ranks: its ranks, GPUs, share of a GPU, and bytes by part."""
        return [
            {
                "name": strategy.name,
                "pool": pool.pool,
                "ranks": ranks.ranks,
                "gpus": ranks.gpus,
                "share": ranks.share,
                "total_bytes": ranks.total_bytes,
                **{f"{part}_bytes": size for part, size in ranks.parts_bytes.items()},
                "kv_capacity_tokens": ranks.kv_capacity_tokens,
            }
            for strategy in self.strategies
            if strategy.memory
            for pool in strategy.memory.pools
            for ranks in pool.classes
        ]

    def headline(self) -> str:
        """Whether each strategy fits, and the fullest GPU of each."""
        return listed([_held(strategy) for strategy in self.strategies], "; ") or "no strategy"

    def text(self) -> str:
        """What `dagc memory` prints."""
        from dagc.export.text.memory import render_memory

        return "".join(
            render_memory(strategy.name, strategy.memory)
            if strategy.memory
            else f"{_held(strategy)}: not stated: {', '.join(strategy.missing)}\n"
            for strategy in self.strategies
        )

    def svg(self) -> str | None:
        """The picture of `dagc memory --format svg`."""
        from dagc.export.memory_svg import Panel, memory_svg

        panels = [
            Panel(strategy.name, strategy.memory, strategy.context) for strategy in self.strategies if strategy.memory
        ]
        return memory_svg(panels) if panels else None


def _held(one: StrategyMemory) -> str:
    from dagc.units import format_bytes

    memory = one.memory
    if memory is None:
        return f"{one.name}: memory undetermined"
    held = f"{format_bytes(memory.per_rank_max_bytes)} of {format_bytes(memory.capacity_bytes)}"
    return f"{one.name}: {held}, {'fits' if memory.fits else 'does not fit'}"


@dataclass(frozen=True, slots=True, repr=False)
class LaunchResult(Result):
    """How engines start a plan: `launched` by strategy, then by engine."""

    diagnostics: tuple[Diagnostic, ...]
    launched: tuple[Launched, ...]

    @property
    def commands(self) -> list[str]:
        """The shell command of each service, in the order of `rows`."""
        return [str(row["command"]) for row in self.rows if row["command"] is not None]

    @property
    def rows(self) -> list[Row]:
        """A line for each service: `phase`, `instances`, `gpus`, `nodes` and `command` of one instance.

        A strategy that an engine cannot express has one line with the `reason`, and no command.
        """
        return [row for one in self.launched for row in _services(one)]

    def headline(self) -> str:
        """The engines that can start each strategy, and those that cannot."""
        names = dict.fromkeys(one.name for one in self.launched)
        by_name = [[one for one in self.launched if one.name == name] for name in names]
        return listed(list(map(_engines, by_name)), "; ") or "no strategy"


def _services(one: Launched) -> list[Row]:
    head: Row = {"name": one.name, "strategy": one.strategy, "engine": one.engine.name}
    if one.refusals:
        none: Row = dict.fromkeys(("phase", "instances", "gpus", "nodes", "command"))
        return [{**head, **none, "reason": "; ".join(problem.message for problem in one.refusals)}]
    return [
        {
            **head,
            "phase": service.phase,
            "instances": service.instances,
            "gpus": service.gpus,
            "nodes": service.command.nodes,
            "command": one.command_line(service),
            "reason": None,
        }
        for service in one.services
    ]


def _engines(launched: Sequence[Launched]) -> str:
    able = [one.engine.title for one in launched if not one.refusals]
    unable = [one.engine.title for one in launched if one.refusals]
    parts = [", ".join(able)] if able else []
    parts += [f"not expressible in {', '.join(unable)}"] if unable else []
    return f"{launched[0].name}: {', '.join(parts)}"


@dataclass(frozen=True, slots=True, repr=False)
class WhatIfResult(Result):
    """Sensitivities or break-even points; `record` is what `dagc whatif --format json` prints."""

    diagnostics: tuple[Diagnostic, ...]
    record: WhatIf

    @property
    def rows(self) -> list[Row]:
        """A line for each change and figure; with `over`, one for each figure of a pair and point of crossing."""
        return _changes(self.record) if self.record.strategies else _crossings(self.record)

    def headline(self) -> str:
        """How many changes, or pairs, were priced."""
        if self.record.strategies:
            return listed(
                [f"{strategy.name}: {_count(len(strategy.effects), 'change')}" for strategy in self.record.strategies]
            )
        duels = self.record.duels
        return f"{_count(len(duels), 'pair')} over {duels[0].over}" if duels else "no change"

    def text(self) -> str:
        """What `dagc whatif` prints."""
        if not self.record.strategies and not self.record.duels:
            return ""
        from dagc.export.text.whatif import render_whatif

        return render_whatif(self.record, 2)

    def svg(self) -> str | None:
        """The tornado picture of the sensitivities."""
        if not self.record.strategies:
            return None
        from dagc.export.whatif_svg import whatif_svg

        return whatif_svg(self.record.strategies)


@dataclass(frozen=True, slots=True, repr=False)
class SimulateResult(Result):
    """Strategies under load: `record` is what `dagc simulate --format json` prints."""

    diagnostics: tuple[Diagnostic, ...]
    record: SimulationResult

    @property
    def rows(self) -> list[Row]:
        """A line for each strategy; with `sweep`, for each load of each strategy, in ascending order."""
        return [row for one in self.record.strategies for row in _loads(one)]

    def headline(self) -> str:
        """p99 of TTFT of each strategy."""
        p99 = [(one.name, one.load.ttft.percentiles_seconds["p99"]) for one in self.record.strategies]
        return listed([f"{name}: TTFT p99 {format_seconds(value)}" for name, value in p99 if value is not None])

    def text(self) -> str:
        """What `dagc simulate` prints."""
        if not self.record.strategies:
            return ""
        from dagc.export.text.load import render_simulation

        return render_simulation(self.record)


def _loads(one: StrategyUnderLoad) -> list[Row]:
    load, sweep = one.load, one.sweep
    if sweep is None:
        every = {"ttft": load.ttft, "tpot": load.tpot, "itl": load.itl, "e2e": load.e2e}
        times = {name: {"mean": found.mean_seconds, **found.percentiles_seconds} for name, found in every.items()}
        return [{"name": one.name, "requests_per_second": load.requests_per_second, **_seconds(times)}]
    return [
        {"name": one.name, sweep.over: at.load, "requests_per_second": at.requests_per_second, "met": at.met,
         **_seconds({"ttft": at.ttft_seconds, "tpot": at.tpot_seconds})}
        for at in sweep.points
    ]  # fmt: skip


def _seconds(times: dict[str, dict[str, float | None]]) -> Row:
    return {f"{name}_{at}_seconds": value for name, found in times.items() for at, value in found.items()}


def _changes(record: WhatIf) -> list[Row]:
    return [
        {
            "name": strategy.name,
            "kind": effect.kind,
            "parameter": effect.parameter,
            "value": effect.value,
            "change": effect.change,
            "fits": effect.fits,
            "figure": moved.name,
            "before": next((metric.value for metric in strategy.metrics if metric.name == moved.name), None),
            "after": moved.value,
            "difference": moved.difference,
        }
        for strategy in record.strategies
        for effect in strategy.effects
        for moved in effect.metrics
    ]


def _crossings(record: WhatIf) -> list[Row]:
    """A pair that never crosses has one line without a point."""
    rows: list[Row] = []
    for comparison in record.duels:
        first, second = (side.strategy for side in comparison.sides)
        for figure in comparison.figures:
            head: Row = {"first": first, "second": second, "over": comparison.over, "figure": figure.metric}
            points = [(comparison.low, figure.leads), *((crossing.at, crossing.leads) for crossing in figure.crossings)]
            rows += ({**head, "from": at, "leads": leads} for at, leads in points)
    return rows


@dataclass(frozen=True, slots=True, repr=False)
class ReadResult(Result):
    """What a text can mean; `found` is None where it cannot be read, or is a recipe: `recipes`, one an entry."""

    diagnostics: tuple[Diagnostic, ...]
    found: Readings | None
    recipes: tuple[RecipeReading, ...] = ()

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The readings, likeliest first."""
        return self.found.readings if self.found else ()

    @property
    def rows(self) -> list[Row]:
        """A line for each reading: its `strategy`, `gpus`, the `engines` that count so, and what it `assumes`."""
        return [one.row() for one in (*self.recipes, *self.readings)]

    def headline(self) -> str:
        """The readings with their GPUs."""
        shown = self.recipes or self.readings
        named = listed([f"{one.strategy} ({_count(one.gpus, 'GPU')})" for one in shown])
        return f"{_count(len(shown), 'recipe' if self.recipes else 'reading')}: {named}" if named else "no reading"
