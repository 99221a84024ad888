"""A plan's facts become the best strategies for them: the search, and the plan file of what it recommends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TypeVar

from dagc.diag.diagnostic import Code, Diagnostic, in_order
from dagc.driver.fit import PACKAGE_ABSENT
from dagc.driver.front import overrides_of, read_plan, stops
from dagc.driver.outcome import Blocks
from dagc.driver.pricing import Judge, judge_of
from dagc.graph.priced import Picoseconds
from dagc.metrics import TPOT
from dagc.plan.plan import Facts
from dagc.results.paired import probability_faster
from dagc.results.search_result import SearchResult
from dagc.results.structure import one_line
from dagc.search.assemble import Odds, assemble
from dagc.search.branch_and_bound import MOST_PAIRS, Problem, Progress, Search, TooMany
from dagc.search.candidate import spell_placed
from dagc.search.checkpoint import Checkpoint, begin, content_key
from dagc.search.incumbents import Named, PricedStrategy
from dagc.search.layer_parts import Work
from dagc.search.pairs import Placed
from dagc.search.plan_text import Origin, plan_text
from dagc.search.space import Space, well_known
from dagc.search.verdict import StrategyVerdict
from dagc.search.worker_pool import RETRIES, WorkerPool, worker_pool
from dagc.source import Source

UNDETERMINED = Code("X503", "search-undetermined")
NO_CLUSTER = Code("X504", "no-dask-cluster")
TOO_LARGE = Code("X505", "search-too-large")
LOST = Code("X508", "search-workers-lost")

PIECE = 4
"""Parts of layers that a worker is given at once. A strategy takes as long as some of these, and goes alone."""

One = TypeVar("One")


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What the command line asks of a search; None is the plan's own, or no limit.

    `directory` is where the recommended plan is written: paths in it start there.
    """

    gpus: int | None = None
    batches: tuple[int, ...] = ()
    over: frozenset[str] = frozenset()
    most: int | None = None
    workers: int = 1
    dask: str | None = None
    resume: Path | None = None
    is_exhaustive: bool = False
    directory: Path = Path()


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
    if known is None or stops(found):
        return SearchOutcome(None, None, in_order(found))
    file, facts = known
    space = _space(facts, options)
    if isinstance(space, Diagnostic):
        return SearchOutcome(None, None, (*in_order(found), space))
    checkpoint = begin(options.resume, content_key(facts, version("moe-dagc"))) if options.resume else Checkpoint()
    if isinstance(checkpoint, Diagnostic):
        return SearchOutcome(None, None, (*in_order(found), checkpoint))
    judge = judge_of(facts)
    given = _entries(judge, space, [(one.name, one_line(one.body.outer.text)) for one in file.strategies])
    node = facts.cluster.gpus_per_node
    famous = _entries(judge, space, well_known(space.gpus, node, has_experts=space.experts > 0))
    problem = Problem(facts, space, judge.refusals, judge.weight_share, options.is_exhaustive)
    with ExitStack() as stack:
        pool = _entered(options, stack)
        if isinstance(pool, Diagnostic):
            return SearchOutcome(None, None, (*in_order(found), pool))
        running = Search(problem, _Evaluator(judge, pool, checkpoint), options.most, report)
        running.admit([entry for _, entry in (*given, *famous)])
        was_interrupted = False
        try:
            running.run()
        except KeyboardInterrupt:
            was_interrupted = True
        except TooMany as excess:
            return SearchOutcome(None, None, (*in_order(found), _too_many(excess.number)))
        except BrokenProcessPool:
            return SearchOutcome(None, None, (*in_order(found), _lost(options.resume)))
    running.incumbents.complete(judge.verdict)
    result, best = (
        assemble(facts, space, running.incumbents, given, famous, _odds(judge)),
        running.incumbents.ranked[:1],
    )
    origin = Origin(file.blocks, overrides_of(blocks, [])[0], directory, options.directory)
    plan = plan_text(origin, best[0], facts.workload.batch) if best else None
    failures = (checkpoint.failure,) if checkpoint.failure else ()
    return SearchOutcome(result, plan, (*in_order(found), *failures), was_interrupted)


def _entries(judge: Judge, space: Space, named: Iterable[tuple[str, str]]) -> list[tuple[str, PricedStrategy]]:
    """Strategies by name, each priced under every batch of the search."""
    return [
        (name, PricedStrategy(strategy, batch, judge.verdict(strategy, batch)))
        for name, strategy in named
        for batch in space.batches
    ]


def _odds(judge: Judge) -> Odds:
    """How likely one strategy has a lower TPOT than another, by errors of measured pairs."""

    def odds(one: PricedStrategy, other: PricedStrategy) -> float | None:
        plan, better = (judge.plan(entry.strategy, entry.batch) for entry in (one, other))
        seconds, best = (dict(entry.verdict.figures).get(TPOT.name) for entry in (one, other))
        if isinstance(plan, Diagnostic) or isinstance(better, Diagnostic) or not seconds or not best:
            return None
        found = probability_faster(better, plan, best, seconds)
        return found[0] if found else None

    return odds


def _space(facts: Facts, options: SearchOptions) -> Space | Diagnostic:
    if facts.workload.is_open and not options.batches:
        spans = facts.workload.spans
        return UNDETERMINED.at(
            spans.get("rate", spans.get("trace")),
            "a search prices strategies at a number of requests in flight, and nothing limits those of an open loop",
            "no `concurrency` is given",
            help=("state `concurrency`, or give numbers with `--batch`",),
        )
    shapes, cluster = facts.model.shapes(), facts.cluster
    gpus = options.gpus or cluster.gpus
    lacking = [f"model {name}" for name in facts.model.missing()]
    lacking += ["device bandwidth"] if not cluster.device.bandwidth_bytes_per_second else []
    lacking += ["device compute"] if not cluster.device.flops.get(facts.model.activation_dtype) else []
    lacking += ["cluster gpus"] if gpus is None else []
    lacking += ["cluster link"] if not cluster.link_bytes_per_second and cluster.gpus_per_node > 1 else []
    lacking += (
        ["cluster network"] if not cluster.network_bytes_per_second and (gpus or 0) > cluster.gpus_per_node else []
    )
    if lacking or shapes is None or gpus is None:
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


@dataclass(frozen=True, slots=True)
class _Evaluator:
    """What workers do for a search, each piece of work on their own judge; prices that are recorded are from there."""

    judge: Judge
    pool: WorkerPool
    checkpoint: Checkpoint

    def price(self, named: Sequence[Named]) -> list[StrategyVerdict]:
        """Verdicts on strategies."""
        return self._recorded(named, named, self.judge.verdicts)

    def seconds(self, asked: Sequence[Placed]) -> list[float]:
        """Prices of single services."""
        named = [(spell_placed(service, begin), batch) for service, batch, begin in asked]
        verdicts = self._recorded(named, asked, self.judge.services)
        return [verdict.figures[0][1] or 0.0 for verdict in verdicts]

    def parts(self, asked: Sequence[Work]) -> list[Picoseconds]:
        """What parts of layers compute."""
        pieces = [asked[start : start + PIECE] for start in range(0, len(asked), PIECE)]
        return list(chain.from_iterable(self.pool.map(self.judge.parts, pieces)))

    def _recorded(
        self, named: Sequence[Named], asked: Sequence[One], work: Callable[[Sequence[One]], list[StrategyVerdict]]
    ) -> list[StrategyVerdict]:
        new = {name: one for name, one in zip(named, asked, strict=True) if name not in self.checkpoint.known}
        found = chain.from_iterable(self.pool.map(work, [[one] for one in new.values()]))
        self.checkpoint.add(list(zip(new, found, strict=True)))
        return [self.checkpoint.known[name] for name in named]
