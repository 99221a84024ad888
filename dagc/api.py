"""dagc from Python: the stages of the command, with their results as objects.

    >>> import dagc
    >>> plan = dagc.compile("tp 2", model="mixtral-8x7b", cluster="h100-sxm x 2")
    >>> plan["main"].gpus
    2
    >>> sorted(phase["name"] for phase in plan["main"].graph().graph["phases"])
    ['decode', 'prefill']

`compile` never raises for what is wrong with a plan: that is in `diagnostics`. What a strategy does not have (times,
without shapes) raises `NothingToShow` where it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dagc import driver
from dagc.diag.diagnostic import Diagnostic
from dagc.diag.text import render
from dagc.driver.interchange import Form, interchange, strategy_graph
from dagc.source import MOST_PLAN_BYTES, Source, read_file

if TYPE_CHECKING:
    from dagc.export.strategy_graph import StrategyGraph
    from dagc.report.summary import Summary


class NothingToShow(ValueError):
    """A strategy has no graph or times; the text is the diagnostic that says why."""


class NoSuchStrategy(KeyError):
    """A plan has no strategy of a name: it was not written, or diagnostics stopped it."""

    def __init__(self, name: str, known: tuple[str, ...], diagnostics: str) -> None:
        super().__init__(name)
        self.name, self.known, self.diagnostics = name, known, diagnostics

    def __str__(self) -> str:
        """The name, those that there are, and the diagnostics of the plan."""
        others = ", ".join(f"`{one}`" for one in self.known) or "none"
        return f"no strategy `{self.name}`; those of the plan: {others}\n{self.diagnostics}".rstrip()


@dataclass(frozen=True, slots=True)
class Strategy:
    """One strategy of a plan, sized and, where shapes and rates are known, priced."""

    checked: driver.Checked

    @property
    def name(self) -> str:
        """Its name in the plan; `main` without one."""
        return self.checked.plan.name

    @property
    def gpus(self) -> int:
        """GPUs of the whole deployment."""
        return self.checked.plan.deployment.gpus

    @property
    def summary(self) -> Summary:
        """What `summary.json` holds, with the same names; times in seconds, sizes in bytes."""
        from dagc.driver.exporting import summary_of

        return summary_of(self.checked)

    def graph(self) -> StrategyGraph:
        """The operators as a networkx `DiGraph`: nodes, edges and attributes as in `graph.json`."""
        found = strategy_graph(self.checked)
        if isinstance(found, Diagnostic):
            raise NothingToShow(render((found,)))
        return found

    def graphml(self) -> str:
        """The graph as GraphML."""
        return self._text(Form.GRAPHML)

    def mermaid(self) -> str:
        """The deployment and its stages as a Mermaid flowchart."""
        return self._text(Form.MERMAID)

    def svg(self) -> str:
        """The picture that `dagc compile` writes as `graph.svg`."""
        from dagc.driver.exporting import picture

        found = picture(self.checked)
        if isinstance(found, str):
            return found
        raise NothingToShow(render(found) if found else f"`{self.name}` has no times: no picture of them")

    def report(self) -> str:
        """The page that `dagc compile` writes as `report.html`."""
        from dagc.driver.exporting import report

        return report(self.checked).decode()

    def _repr_svg_(self) -> str | None:
        """The picture, for a notebook; None where there is none."""
        return _picture(self)

    def _text(self, form: Form) -> str:
        made = interchange(self.checked, form)
        if made.diagnostics:
            raise NothingToShow(render(made.diagnostics))
        (content,) = made.files.values()
        return (content if isinstance(content, bytes) else b"".join(content)).decode()


def _picture(strategy: Strategy) -> str | None:
    try:
        return strategy.svg()
    except NothingToShow:
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: what is wrong with it or could be better, and its strategies that have a meaning."""

    diagnostics: tuple[Diagnostic, ...]
    strategies: tuple[Strategy, ...]

    def __getitem__(self, name: str) -> Strategy:
        """The strategy of a name. Raises NoSuchStrategy, a KeyError, where the plan has none that could be sized."""
        for strategy in self.strategies:
            if strategy.name == name:
                return strategy
        raise NoSuchStrategy(name, tuple(one.name for one in self.strategies), str(self))

    def __str__(self) -> str:
        """The diagnostics as the command prints them."""
        return render(self.diagnostics)

    def _repr_html_(self) -> str:
        """For a notebook: each strategy's answer and picture, and what is wrong with the plan or could be better."""
        from dagc.export.notebook import shown

        return shown([(strategy.summary, _picture(strategy)) for strategy in self.strategies], str(self))


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
    blocks = {
        "model": model, "cluster": cluster, "workload": workload, "require": require, "engine": engine, "rules": rules,
    }  # fmt: skip
    name, text = ("plan", plan) if isinstance(plan, str) else (str(plan), _text(plan))
    given = tuple((keyword, Source(keyword, content)) for keyword, content in blocks.items() if content is not None)
    directory = Path() if isinstance(plan, str) else plan.parent
    outcome = driver.check(Source(name, text), given, directory)
    return Plan(outcome.diagnostics, tuple(map(Strategy, outcome.checked)))


def _text(path: Path) -> str:
    return read_file(path, MOST_PLAN_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
