"""A plan's facts become the best strategies for them: the search, and the plan file of what it recommends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from dagc.diag.diagnostic import Code, Diagnostic, in_order
from dagc.driver.evaluator import PooledEvaluator
from dagc.driver.fit import PACKAGE_ABSENT
from dagc.driver.front import overrides_of, read_plan, stops
from dagc.driver.front_load import LowerLoad, RequestsOf, UnderLoad
from dagc.driver.outcome import Blocks
from dagc.driver.pricing import Judge, judge_of
from dagc.driver.running_bounds import RunningBounds
from dagc.driver.search_rate import closed
from dagc.driver.simulated_plan import decides
from dagc.facts.facts import NO_STRATEGY
from dagc.metrics import GPUS, THROUGHPUT
from dagc.plan.plan import Facts
from dagc.results.paired import probability_faster
from dagc.results.search_result import SearchResult
from dagc.results.structure import one_line
from dagc.search.assemble import SearchFindings, assemble
from dagc.search.bounds import LowerBounds
from dagc.search.branch_and_bound import MOST_PAIRS, Problem, Progress, Search, TooMany
from dagc.search.budget import Budget
from dagc.search.checkpoint import Checkpoint, begin, content_key
from dagc.search.choice import LoadFigures, PlanChoice, choose
from dagc.search.goal import Goal, ObjectiveName
from dagc.search.incumbents import Incumbents, Named, PricedStrategy
from dagc.search.optimum import MANY, GoalResult, Optimizer
from dagc.search.plan_text import Origin, plan_text
from dagc.search.relax import PATIENCE, Relaxed, lower_load, more_gpus, nearest, requirements
from dagc.search.services import Services
from dagc.search.space import Space, well_known
from dagc.search.ties import Odds, with_ties
from dagc.search.worker_pool import RETRIES, WorkerPool, worker_pool
from dagc.source import Source

UNDETERMINED = Code("X503", "search-undetermined")
NO_CLUSTER = Code("X504", "no-dask-cluster")
TOO_LARGE = Code("X505", "search-too-large")
LOST = Code("X508", "search-workers-lost")

RESERVE = 0.2
"""Share of the time that is left to simulate plans of the front, and to find their highest load."""

RESERVE_TO_CHOOSE = 0.3
"""The same where simulated requests decide a requirement: more plans are simulated, and under more loads."""

SMALLEST_RESERVE_SECONDS = 4.0
"""What that is at least, of a search of twice as long or longer; else half of its time."""

PART = 32
"""GPUs of the part of a cluster of `MANY` that is searched first, at most."""

MOST_OF_PART = 1000
"""Evaluations of that search at most."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What the command line asks of a search; None is the plan's own, or no limit.

    `gpus` are the fewest and the most that a strategy takes, `seconds` what the search takes at most. `directory` is
    where the recommended plan is written: paths in it start there.
    """

    gpus: tuple[int, int] | None = None
    batches: tuple[int, ...] = ()
    over: frozenset[str] = frozenset()
    most: int | None = None
    workers: int = 1
    dask: str | None = None
    resume: Path | None = None
    is_exhaustive: bool = False
    directory: Path = Path()
    objective: ObjectiveName = "throughput_per_gpu"
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """The result, the text of the recommended plan, and all diagnostics; no result where the search cannot begin."""

    result: SearchResult | None
    plan: str | None
    diagnostics: tuple[Diagnostic, ...]
    was_interrupted: bool = False


def search(source: Source, blocks: Blocks, directory: Path, options: SearchOptions, report: Progress) -> SearchOutcome:
    """Search the strategies for the model, cluster, workload and requirements that a plan states."""
    found: list[Diagnostic] = []
    known = read_plan(source, blocks, directory, found)
    found = [one for one in found if one.code is not NO_STRATEGY]
    if known is None or stops(found):
        return SearchOutcome(None, None, in_order(found))
    file, facts = known
    space = _space(facts, options)
    if isinstance(space, Diagnostic):
        return SearchOutcome(None, None, (*in_order(found), space))
    given = [(one.name, one_line(one.body.outer.text)) for one in file.strategies]
    if facts.workload.is_open and not options.batches:
        report("finding requests in flight")
        tried = [*given, *well_known(space.gpus, facts.cluster.gpus_per_node, has_experts=space.experts > 0)]
        blocks = closed(blocks, Origin(file.blocks, overrides_of(blocks, [])[0], directory, directory), facts, tried)
        file, facts = read_plan(source, blocks, directory, []) or known
        space = replace(space, batches=(facts.workload.batch,))
    checkpoint = begin(options.resume, content_key(facts, version("moe-dagc"))) if options.resume else Checkpoint()
    if isinstance(checkpoint, Diagnostic):
        return SearchOutcome(None, None, (*in_order(found), checkpoint))
    reserve = RESERVE_TO_CHOOSE if any(one.is_of_load for one in facts.requirements) else RESERVE
    seconds = options.seconds
    if seconds is not None:
        seconds -= max(reserve * seconds, min(SMALLEST_RESERVE_SECONDS, seconds / 2))
    budget, judge = Budget(options.most, seconds), judge_of(facts)
    with ExitStack() as stack:
        pool = _entered(options, stack)
        if isinstance(pool, Diagnostic):
            return SearchOutcome(None, None, (*in_order(found), pool))
        running = _Running(facts, space, judge, PooledEvaluator(judge, pool, checkpoint, budget), options, report)
        try:
            result, best = running.result(given)
        except TooMany as excess:
            return SearchOutcome(None, None, (*in_order(found), _too_many(excess.number)))
        except BrokenProcessPool:
            return SearchOutcome(None, None, (*in_order(found), _lost(options.resume)))
    origin = Origin(file.blocks, overrides_of(blocks, [])[0], directory, options.directory)
    plan = plan_text(origin, best, facts.workload.batch) if best else None
    result = replace(result, question=plan_text(origin, None, facts.workload.batch))
    failures = (checkpoint.failure,) if checkpoint.failure else ()
    return SearchOutcome(result, plan, (*in_order(found), *failures), budget.ended_by == "interrupt")


@dataclass(slots=True)
class _Running:
    """A search in progress: the best plan with its proof, then the front, or what would have to give."""

    facts: Facts
    space: Space
    judge: Judge
    evaluator: PooledEvaluator
    options: SearchOptions
    report: Progress
    services: Services = field(init=False)
    optimizer: Optimizer = field(init=False)

    def __post_init__(self) -> None:
        """Bounds and services are there for all that follows."""
        self.services = self._enumerated(self.space)
        self.optimizer = self._optimizer(self.services, self.space)

    def result(self, given: Iterable[tuple[str, str]]) -> tuple[SearchResult, PricedStrategy | None]:
        """The result, and the recommended plan."""
        facts, space, judge = self.facts, self.space, self.judge
        placed = _entries(judge, space, given)
        node = facts.cluster.gpus_per_node
        famous = _entries(judge, space, well_known(space.gpus, node, has_experts=space.experts > 0))
        known = [entry for _, entry in (*placed, *famous)]
        incumbents = self._front(known) if self.options.is_exhaustive else None
        answers = [self._optimum(batch, known) for batch in space.batches]
        if incumbents is None and any(one.best.entry for one in answers):
            incumbents = self._front([*known, *self.evaluator.priced])
        relaxed: list[Relaxed] = []
        if incumbents is None:
            incumbents, relaxed = self._relaxed(answers[0].best.goal, known)
        goal = answers[0].best.goal
        odds = _odds(judge)
        ranked = incumbents.ranked(goal.score_of)
        for answer in answers:
            answer.best.settle(ranked)
        choice = self._choice([entry for entry in ranked if goal.is_met_by(entry.verdict)])
        if relaxed and decides(facts):
            named = [(one.plan.strategy, one.plan.batch) for one in relaxed]
            choice = PlanChoice(dict(zip(named, self.evaluator.pool.map(RequestsOf(judge), named), strict=True)))
        ordered, ties = with_ties(choice, ranked, goal.score_of, odds)
        found = SearchFindings(answers, incumbents, ordered, ties, choice, relaxed, self.evaluator.budget, odds)
        return assemble(facts, space, goal, found, placed, famous), choice.chosen

    def _optimum(self, batch: int, known: Sequence[PricedStrategy]) -> GoalResult:
        """The best plan under a batch."""
        goal = Goal(self.facts, self.options.objective, tuple(range(len(self.facts.requirements))), batch)
        of_size = [one for one in (*known, *self._repeated(goal)) if one.batch == batch and self._is_of_size(one)]
        patience = None if self.options.is_exhaustive else PATIENCE
        return self.optimizer.solve(goal, of_size, patience)

    def _repeated(self, goal: Goal) -> list[PricedStrategy]:
        """The best plan that was found on a part of many GPUs, as many times as there are parts.

        To enumerate a size takes longer the more GPUs it has. A part has a share of the sequences, and meets what is
        required of times.
        """
        gpus, node = self.space.gpus, goal.facts.cluster.gpus_per_node
        parts = 1
        while gpus // parts > PART and gpus % (2 * parts * node) == 0 and 2 * parts <= goal.batch:
            parts *= 2
        if gpus <= MANY or parts == 1:
            return []
        asked = goal.facts.requirements
        of_times = tuple(index for index in goal.required if asked[index].metric not in (THROUGHPUT, GPUS))
        part = replace(goal, batch=-(-goal.batch // parts), required=of_times)
        best = self._on(gpus // parts).solve(part, patience=MOST_OF_PART, most=MOST_OF_PART).best.entry
        if best is None or not self.evaluator.budget.take(1):
            return []
        named = [(f"dp {parts} < {best.strategy} >", goal.batch)]
        return [PricedStrategy(*one, verdict) for one, verdict in zip(named, self.evaluator.price(named), strict=True)]

    def _is_of_size(self, entry: PricedStrategy) -> bool:
        verdict = entry.verdict
        return verdict.code is None and not verdict.is_over and int(verdict.vector[0]) in self.space.sizes

    def _enumerated(self, space: Space) -> Services:
        bounds, judge = LowerBounds(self.facts, self.evaluator.parts), self.judge
        held = RunningBounds(self.facts, judge.plan, judge.weight_share)
        return Services(space, judge.refusals, judge.weight_share, held.running, bounds)

    def _optimizer(self, services: Services, space: Space) -> Optimizer:
        return Optimizer(space, services, self.evaluator, self.evaluator.budget, self.report)

    def _on(self, gpus: int) -> Optimizer:
        """The search of another number of GPUs."""
        space = replace(self.space, fewest=gpus, gpus=gpus)
        return self._optimizer(self._enumerated(space), space)

    def _relaxed(self, goal: Goal, known: Sequence[PricedStrategy]) -> tuple[Incumbents, list[Relaxed]]:
        """The plan nearest to the requirements, and what would have to give for a plan to meet the rest."""
        of_size = [one for one in known if self._is_of_size(one)]
        answer = nearest(self.optimizer, goal, of_size)
        others = [
            lower_load(self.optimizer, goal),
            *requirements(self.optimizer, goal, of_size),
            more_gpus(self._on, goal, self.space.gpus),
        ]
        incumbents = Incumbents(self.evaluator.price, self.evaluator.budget)
        incumbents.nearest, incumbents.is_complete = answer.best.entry, answer.is_proven
        incumbents.complete(self.evaluator.whole)
        return incumbents, [one for one in others if one]

    def _front(self, known: Sequence[PricedStrategy]) -> Incumbents:
        """The Pareto front of all strategies, or of those priced so far where the search has ended."""
        budget, problem = self.evaluator.budget, Problem(self.facts, self.space, self.options.is_exhaustive)
        running = Search(problem, self.evaluator, self.services, budget, self.report)
        running.admit([one for one in known if one.batch in self.space.batches])
        try:
            running.run()
        except KeyboardInterrupt:
            budget.ended_by = "interrupt"
        self.report("completing figures")
        running.incumbents.complete(self.evaluator.whole)
        return running.incumbents

    def _choice(self, ranked: Sequence[PricedStrategy]) -> PlanChoice:
        """The plan that is recommended, the first without simulated requests where the search is interrupted."""
        if self.evaluator.budget.ended_by == "interrupt":
            return PlanChoice(chosen=next(iter(ranked), None))
        pool, judge = self.evaluator.pool, self.judge

        def simulated(named: Sequence[Named]) -> list[LoadFigures]:
            self.report("simulating requests")
            return pool.map(UnderLoad(judge), named)

        def lowered(named: Sequence[Named]) -> list[tuple[PricedStrategy, LoadFigures] | None]:
            self.report("simulating lower loads")
            return pool.map(LowerLoad(judge), named)

        return choose(ranked, simulated, lowered if decides(self.facts) else None)


def _entries(judge: Judge, space: Space, named: Iterable[tuple[str, str]]) -> list[tuple[str, PricedStrategy]]:
    """Strategies by name, each priced under every batch of the search."""
    return [
        (name, PricedStrategy(strategy, batch, judge.verdict(strategy, batch)))
        for name, strategy in named
        for batch in space.batches
    ]


def _odds(judge: Judge) -> Odds:
    """How likely one strategy is faster than another, by errors of measured pairs."""

    def odds(one: PricedStrategy, other: PricedStrategy, ratio: float) -> float | None:
        plan, better = (judge.plan(entry.strategy, entry.batch) for entry in (one, other))
        if isinstance(plan, Diagnostic) or isinstance(better, Diagnostic):
            return None
        found = probability_faster(better, plan, 1.0, ratio)
        return found[0] if found else None

    return odds


def _space(facts: Facts, options: SearchOptions) -> Space | Diagnostic:
    if facts.workload.is_open and not facts.workload.requests_per_second and not options.batches:
        return UNDETERMINED.at(
            facts.workload.spans.get("trace"),
            "a search prices strategies at a number of requests in flight, and this trace has no rate to tell it",
            "no `concurrency` is given",
            help=("state `concurrency`, or give numbers with `--batch`",),
        )
    shapes, cluster = facts.model.shapes(), facts.cluster
    fewest, gpus = options.gpus or (cluster.gpus, cluster.gpus)
    lacking = [f"model {name}" for name in facts.model.missing()]
    lacking += ["device bandwidth"] if not cluster.device.bandwidth_bytes_per_second else []
    lacking += ["device compute"] if not cluster.device.flops.get(facts.model.activation_dtype) else []
    lacking += ["cluster gpus"] if gpus is None else []
    lacking += ["cluster link"] if not cluster.link_bytes_per_second and cluster.gpus_per_node > 1 else []
    lacking += (
        ["cluster network"] if not cluster.network_bytes_per_second and (gpus or 0) > cluster.gpus_per_node else []
    )
    if lacking or shapes is None or gpus is None or fewest is None:
        return UNDETERMINED.at(
            None,
            f"a search prices strategies, which is undetermined without {', '.join(lacking)}",
            help=("state it in the plan, or with the option of its block; `--gpus` limits the GPUs",),
        )
    return Space(
        gpus=gpus,
        batches=options.batches or (facts.workload.batch,),
        layers=shapes.layers,
        experts=shapes.experts.count if shapes.experts else 0,
        has_shared=bool(shapes.experts and shapes.experts.shared_ffn),
        over=options.over,
        takes_layers=facts.engine is None,
        fewest=fewest,
        in_steps=facts.workload.concurrency is not None,
    )


def _too_many(number: int) -> Diagnostic:
    return TOO_LARGE.at(
        None,
        f"there are {number:,} pairs of prefill and decode, more than the limit of {MOST_PAIRS:,} for `--exhaustive`",
        help=("leave `--exhaustive` out: pairs are then searched by bounds; or search fewer GPUs with `--gpus`",),
    )


def _lost(record: Path | None) -> Diagnostic:
    kept = "priced strategies are in the record: " if record else ""
    return LOST.at(
        None,
        f"the worker processes of the search terminated {RETRIES + 1} times before completing their work",
        notes=("a system that runs out of memory kills processes",),
        help=(f"{kept}search with fewer processes, e.g. `--workers 1`, or with more memory",),
    )


# Workers


def _entered(options: SearchOptions, stack: ExitStack) -> WorkerPool | Diagnostic:
    """The worker pool, which ends with the stack, or why there is none."""
    try:
        return stack.enter_context(worker_pool(options.workers, options.dask))
    except ImportError:
        message = "`dagc search --dask` needs the package `distributed`, which is not installed"
        help = 'install it: `pip install distributed`, or from a clone of dagc `pip install ".[cluster]"`'
        return PACKAGE_ABSENT.at(None, message, help=(help,))
    except (OSError, ValueError) as problem:
        return NO_CLUSTER.at(
            None,
            f"no Dask scheduler answers at `{options.dask}`: {problem}",
            help=("start one with `dask scheduler`, and workers beside it; or leave `--dask` out",),
        )
