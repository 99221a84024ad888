"""A plan's facts become the best strategies for them: the search, and the plan file of what it recommends."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TypeVar

from dagc.diag.diagnostic import Code, Diagnostic, in_order
from dagc.driver.computing import Computing
from dagc.driver.fitting import PACKAGE_ABSENT
from dagc.driver.front import overrides_of, stated, stops
from dagc.driver.judging import Judge, judge_of
from dagc.driver.outcome import Blocks
from dagc.driver.parts import Work
from dagc.graph.priced import Picoseconds
from dagc.plan.plan import Facts
from dagc.report.search_result import SearchResult
from dagc.report.structure import one_line
from dagc.search.assemble import assemble
from dagc.search.bounds import Asked
from dagc.search.candidate import Attention
from dagc.search.content import content_key
from dagc.search.executors import RETRIES, Awaited, Workers, workers
from dagc.search.found import Entry, Found
from dagc.search.plan_text import Origin, plan_text
from dagc.search.record import Record, begin
from dagc.search.run import MOST_PAIRS, Labour, Named, Problem, Search, Tell, TooMany
from dagc.search.space import Space
from dagc.search.verdict import Verdict
from dagc.search.well_known import well_known
from dagc.source import Source

UNDETERMINED = Code("X503", "search-undetermined")
NO_CLUSTER = Code("X504", "no-dask-cluster")
TOO_LARGE = Code("X505", "search-too-large")
LOST = Code("X508", "search-workers-lost")

PIECE = 4
"""Cuts or parts that a worker is given at once. A strategy takes as long as some of these, and goes alone."""

One = TypeVar("One")
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Wish:
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


def search(source: Source, blocks: Blocks, directory: Path, wish: Wish, tell: Tell) -> SearchOutcome:
    """Search the strategies for the model, cluster, workload and requirements that a plan states."""
    found: list[Diagnostic] = []
    known = stated(source, blocks, directory, found)
    if known is None or stops(found):
        return SearchOutcome(None, None, in_order(found))
    file, facts = known
    space = _space(facts, wish)
    if isinstance(space, Diagnostic):
        return SearchOutcome(None, None, (*in_order(found), space))
    record = begin(wish.resume, content_key(facts, version("moe-dagc"))) if wish.resume else Record()
    if isinstance(record, Diagnostic):
        return SearchOutcome(None, None, (*in_order(found), record))
    judge = judge_of(facts)
    given = _entries(judge, space, [(one.name, one_line(one.body.outer.text)) for one in file.strategies])
    node = facts.cluster.gpus_per_node
    famous = _entries(judge, space, well_known(space.gpus, node, has_experts=space.experts > 0))
    with _staffed(wish) as staff:
        if isinstance(staff, Diagnostic):
            return SearchOutcome(None, None, (*in_order(found), staff))
        try:
            known = [entry for _, entry in (*given, *famous)]
            outcome, was_interrupted = _run(facts, space, wish, _Staff(judge, staff, record), known, tell)
        except TooMany as problem:
            return SearchOutcome(None, None, (*in_order(found), _too_many(problem.number)))
        except BrokenProcessPool:
            return SearchOutcome(None, None, (*in_order(found), _lost(wish.resume)))
    result = assemble(facts, space, outcome, given, famous)
    origin = Origin(file.blocks, overrides_of(blocks, [])[0], directory, wish.directory)
    plan = plan_text(origin, outcome.best, facts.workload.batch) if outcome.best else None
    failures = (record.failure,) if record.failure else ()
    return SearchOutcome(result, plan, (*in_order(found), *failures), was_interrupted)


def _run(
    facts: Facts, space: Space, wish: Wish, staff: _Staff, known: Sequence[Entry], tell: Tell
) -> tuple[Found, bool]:
    """The result of the search, and whether it was interrupted. `known` are strategies that are priced already."""
    judge, computing = staff.judge, Computing(facts, staff.parts)
    means = judge.refusals, judge.weight_share, judge.service_share, computing.begin
    problem = Problem(facts, space, *means, wish.is_exhaustive)
    running = Search(problem, Labour(staff.price, staff.least), wish.most, tell)
    running.admit(known)
    try:
        return running.run(), False
    except KeyboardInterrupt:
        return running.found, True


def _entries(judge: Judge, space: Space, named: Iterable[tuple[str, str]]) -> list[tuple[str, Entry]]:
    """Strategies by name, each priced under every batch of the search."""
    return [
        (name, Entry(strategy, batch, judge.verdict(strategy, batch)))
        for name, strategy in named
        for batch in space.batches
    ]


def _space(facts: Facts, wish: Wish) -> Space | Diagnostic:
    shapes, cluster = facts.model.shapes(), facts.cluster
    gpus = wish.gpus or cluster.gpus
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
        batches=wish.batches or (facts.workload.batch,),
        layers=shapes.layers,
        experts=shapes.experts.count if shapes.experts else 0,
        has_shared=bool(shapes.experts and shapes.experts.shared_ffn),
        over=wish.over,
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


@contextmanager
def _staffed(wish: Wish) -> Generator[Workers | Diagnostic]:
    """The workers, or why there are none."""
    if wish.dask is None:
        with workers(wish.workers) as crew:
            yield crew
        return
    try:
        staff = workers(wish.workers, wish.dask)
        entered = staff.__enter__()
    except ImportError:
        message = "`dagc search --dask` needs the package `distributed`, which is not installed"
        yield PACKAGE_ABSENT.at(
            None,
            message,
            help=('install it: `pip install distributed`, or from a clone of dagc `pip install ".[cluster]"`',),
        )
        return
    except (OSError, ValueError) as problem:
        yield NO_CLUSTER.at(
            None,
            f"no Dask scheduler answers at `{wish.dask}`: {problem}",
            help=("start one with `dask scheduler`, and workers beside it; or leave `--dask` out",),
        )
        return
    try:
        yield entered
    finally:
        staff.__exit__(None, None, None)


@dataclass(frozen=True, slots=True)
class _Staff:
    """What workers do for a search: each piece of work goes to a judge of theirs."""

    judge: Judge
    workers: Workers
    record: Record

    def price(self, named: Sequence[Named]) -> list[Verdict]:
        """Verdicts, those that are recorded from there."""
        missing = [one for one in named if one not in self.record.known]
        found = self._begin(self.judge.verdicts, [[one] for one in missing])()
        self.record.add(list(zip(missing, found, strict=True)))
        return [self.record.known[one] for one in named]

    def least(self, asked: Sequence[Asked]) -> Awaited[list[Picoseconds]]:
        """Least times of cuts, begun; those that cut attention alike have much in common."""
        akin: dict[Attention, list[int]] = {}
        for place, (cut, _) in enumerate(asked):
            akin.setdefault(cut.shape.attention, []).append(place)
        pieces = [(hash(attention), piece) for attention, places in akin.items() for piece in _pieces(places)]
        work = [[asked[place] for place in piece] for _, piece in pieces]
        done = self.workers.begin(self.judge.least, work, [kin for kin, _ in pieces])

        def found() -> list[Picoseconds]:
            places = chain.from_iterable(piece for _, piece in pieces)
            times = dict(zip(places, chain.from_iterable(done()), strict=True))
            return [times[place] for place in range(len(asked))]

        return found

    def parts(self, asked: Sequence[Work]) -> Awaited[list[Picoseconds]]:
        """What parts of layers compute, begun."""
        return self._begin(self.judge.parts, _pieces(asked))

    def _begin(
        self, work: Callable[[Sequence[One]], list[Done]], pieces: Sequence[Sequence[One]]
    ) -> Awaited[list[Done]]:
        """The work on all pieces."""
        done = self.workers.begin(work, pieces)
        return lambda: [one for piece in done() for one in piece]


def _pieces(items: Sequence[One]) -> list[Sequence[One]]:
    return [items[start : start + PIECE] for start in range(0, len(items), PIECE)]
