"""A plan becomes its checked and priced strategies.

A plan is a text or a path, blocks are texts. Paths in a text start in the working directory, those in a file in that of
the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dagc.api.result import NoSuchStrategy, NothingToShow, Result, Row, listed, one_line
from dagc.diag.diagnostic import Diagnostic
from dagc.diag.text import render
from dagc.driver.check import check
from dagc.driver.export import export, strategy_graph
from dagc.driver.outcome import Checked
from dagc.metrics import MEMORY, TPOT, TTFT

if TYPE_CHECKING:
    from dagc.export.strategy_graph import StrategyGraph
    from dagc.results.summary import Summary


from dagc.driver.outcome import Blocks
from dagc.source import MOST_PLAN_BYTES, Source, read_file


@dataclass(frozen=True, repr=False)
class Strategy:
    """One strategy of a plan, sized and, where shapes and rates are known, priced."""

    checked: Checked

    @property
    def name(self) -> str:
        """Its name in the plan; `main` without one."""
        return self.checked.plan.name

    @property
    def gpus(self) -> int:
        """GPUs of the whole deployment."""
        return self.checked.plan.deployment.gpus

    @property
    def ttft(self) -> float | None:
        """Time to first token in seconds; None where it is `undetermined`."""
        return self.figures[TTFT.name]

    @property
    def tpot(self) -> float | None:
        """Time per output token in seconds; None where it is `undetermined`."""
        return self.figures[TPOT.name]

    @property
    def memory(self) -> float | None:
        """Bytes on the GPU that holds most; None where they are `undetermined`."""
        return self.figures[MEMORY.name]

    @property
    def fits(self) -> bool | None:
        """Whether every GPU has the memory for what it holds; None where that is `undetermined`."""
        memory = self.checked.priced.assessment.memory
        return None if memory is None else memory.fullest.share <= 1

    @cached_property
    def figures(self) -> dict[str, float | None]:
        """Every figure of `dagc compare`, by name: seconds, bytes, tokens/s, USD, shares in [0, 1]."""
        from dagc.results.values import values

        return values(self.checked.plan, self.checked.priced.assessment)

    @property
    def undetermined(self) -> dict[str, tuple[str, ...]]:
        """What could not be computed (`memory`, `phases`: TTFT and TPOT, `throughput`), and the facts not stated.

        Times that a diagnostic prevents are not in it: `diagnostics` has the reason.
        """
        return {row.what: tuple(row.missing) for row in self.summary.undetermined}

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Those of this strategy."""
        return self.checked.diagnostics

    @cached_property
    def summary(self) -> Summary:
        """What `summary.json` holds, with the same names; times in seconds, sizes in bytes."""
        from dagc.driver.compile import summary_of

        return summary_of(self.checked)

    def graph(self) -> StrategyGraph:
        """The operators as a networkx `DiGraph`: nodes, edges and attributes as in `graph.json`."""
        found = strategy_graph(self.checked)
        if isinstance(found, Diagnostic):
            raise NothingToShow(render((found,)))
        return found

    def graphml(self) -> str:
        """The graph as GraphML."""
        return self._text("graphml")

    def mermaid(self) -> str:
        """The deployment and its stages as a Mermaid flowchart."""
        return self._text("mermaid")

    def svg(self, view: str = "layer") -> str:
        """A picture that `dagc compile` writes: `deployment`, `stage`, `layer` (`graph.svg`) or `rank`.

        Raises NothingToShow for a strategy without times, ValueError for another view.
        """
        from dagc.driver.compile import picture

        found = picture(self.checked, view)
        if isinstance(found, str):
            return found
        raise NothingToShow(render(found) if found else f"`{self.name}` has no times: no picture of them")

    def report(self) -> str:
        """The page that `dagc compile` writes as `report.html`."""
        from dagc.driver.compile import report

        return report(self.checked).decode()

    def __repr__(self) -> str:
        return one_line("Strategy", self.headline(), self.diagnostics)

    def _repr_html_(self) -> str:
        """For a notebook: the answer of the report, then the deployment."""
        from dagc.export.notebook import answers

        return answers([_shown(self)], render(self.diagnostics))

    def headline(self) -> str:
        """GPUs, times and whether it fits, in one line; times that are undetermined are left out."""
        from dagc.metrics import times_text

        parts = [f"{self.gpus:,} GPU{'s' * (self.gpus != 1)}"]
        if self.ttft is not None and self.tpot is not None:
            parts += times_text(self.checked.plan.facts.workload.ttft_definition, self.ttft, self.tpot)
        verdict = {True: "fits", False: "does not fit", None: "memory undetermined"}[self.fits]
        return f"{self.name}: {', '.join([*parts, verdict])}"

    def _text(self, form: str) -> str:
        made = export(self.checked, form)
        if made.diagnostics:
            raise NothingToShow(render(made.diagnostics))
        (content,) = made.files.values()
        return (content if isinstance(content, bytes) else b"".join(content)).decode()


@dataclass(frozen=True, slots=True, repr=False)
class Plan(Result):
    """A plan: what is wrong with it or could be better, and its strategies that have a meaning."""

    diagnostics: tuple[Diagnostic, ...]
    strategies: tuple[Strategy, ...]

    def __getitem__(self, name: str) -> Strategy:
        """The strategy of a name. Raises NoSuchStrategy, a KeyError, where the plan has none that could be sized."""
        for strategy in self.strategies:
            if strategy.name == name:
                return strategy
        raise NoSuchStrategy(name, tuple(one.name for one in self.strategies), str(self))

    @property
    def rows(self) -> list[Row]:
        """A line for each strategy: `name`, `strategy`, `fits`, and the figures of `dagc compare` by name."""
        from dagc.results.structure import strategy_text

        return [
            {
                "name": strategy.name,
                "strategy": strategy_text(strategy.checked.plan.deployment),
                "fits": strategy.fits,
                **strategy.figures,
            }
            for strategy in self.strategies
        ]

    def headline(self) -> str:
        """The answer of a plan of one strategy; else the names."""
        if len(self.strategies) == 1:
            return self.strategies[0].headline()
        named = listed([strategy.name for strategy in self.strategies])
        return f"{len(self.strategies)} strategies: {named}" if named else "no strategy"

    def text(self) -> str:
        """Nothing: `str` of a plan is its diagnostics."""
        return ""

    def _repr_html_(self) -> str:
        """For a notebook: the answer and the deployment of each strategy, and the diagnostics."""
        from dagc.export.notebook import answers

        return answers([_shown(strategy) for strategy in self.strategies], str(self))


def _shown(strategy: Strategy) -> tuple[Summary, str | None]:
    """What a notebook shows: the answer, and the deployment where there are times to draw."""
    try:
        return strategy.summary, strategy.svg("deployment")
    except NothingToShow:
        return strategy.summary, None


def compile(
    plan: str | Path,
    *,
    model: str | None = None,
    cluster: str | None = None,
    workload: str | None = None,
    require: str | None = None,
    engine: str | None = None,
    rules: str | None = None,
) -> Plan:
    """Check and price every strategy of a plan: its text, or the path of a file that holds it.

    The others are blocks, each the text after its keyword; they win over the plan's own. Raises OSError and
    UnicodeDecodeError for a file that cannot be read.
    """
    source, directory = sourced(plan)
    blocks = blocks_of(model=model, cluster=cluster, workload=workload, require=require, engine=engine, rules=rules)
    outcome = check(source, blocks, directory)
    return Plan(outcome.diagnostics, tuple(map(Strategy, outcome.checked)))


def sourced(plan: str | Path, name: str = "plan") -> tuple[Source, Path]:
    """The text of a plan, and where its paths start; `name` is that of a plan without a file.

    Raises OSError and UnicodeDecodeError for a file that cannot be read, ValueError for a path that is not a `Path`.
    """
    if isinstance(plan, str):
        if plan.endswith(".moe") and not any(map(str.isspace, plan)):
            raise ValueError(f"a string is the text of a plan; for the file, pass `Path({plan!r})`")
        return Source(name, plan), Path()
    path = Path(plan)
    text = read_file(path, MOST_PLAN_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
    return Source(str(path), text), path.parent


def blocks_of(**blocks: object) -> Blocks:
    """The blocks that were given, each the text after its keyword. Raises TypeError for one that is no text."""
    given = {keyword: content for keyword, content in blocks.items() if content is not None}
    for keyword, content in given.items():
        if not isinstance(content, str):
            raise TypeError(f"`{keyword}` is the text of a block, not {type(content).__name__}")
    return tuple((keyword, Source(keyword, str(content))) for keyword, content in given.items())
