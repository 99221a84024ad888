"""A checked strategy in the forms that other programs take; each is made only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.driver.compile import summary_of, traced_of

if TYPE_CHECKING:
    from dagc.driver.outcome import Checked
    from dagc.export.ranks import RankSelection
    from dagc.export.strategy_graph import StrategyGraph
    from dagc.export.trace.tracks import Traced

NO_TIMES = Code("X310", "nothing-to-export")


@dataclass(frozen=True, slots=True)
class Exportable:
    """A strategy with times; `ranks` and `limit` (bytes) are for formats with a file for each rank."""

    checked: Checked
    traced: Traced
    ranks: RankSelection | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class ExportedFiles:
    """Files by name, why there are none, and what is to be said before they are written."""

    files: dict[str, bytes | Iterable[bytes]]
    diagnostics: tuple[Diagnostic, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """What a strategy can be written as. `title` is for the help of the command."""

    title: str
    write: Callable[[Exportable], ExportedFiles]
    has_ranks: bool = False


def _chakra(source: Exportable) -> ExportedFiles:
    from dagc.export.chakra.traces import chakra_files

    streams, refused, notes = chakra_files(source.traced, source.ranks, source.limit)
    return ExportedFiles(dict(streams), refused, notes)


def _graphml(source: Exportable) -> ExportedFiles:
    from dagc.export.strategy_graph import graphml_bytes

    traced = source.traced
    return ExportedFiles({"graph.graphml": graphml_bytes(traced.plan, traced.graph, traced.timelines)})


def _mermaid(source: Exportable) -> ExportedFiles:
    from dagc.export.mermaid import mermaid_text
    from dagc.export.text.context import context

    traced, summary = source.traced, summary_of(source.checked)
    lines = context(summary.facts, summary.requirements, has_model=False)
    text = mermaid_text(traced.plan, traced.graph, traced.timelines, source.checked.priced.metrics, lines)
    return ExportedFiles({"graph.mmd": text.encode()})


FORMATS = {
    "chakra": Format("Chakra traces (ASTRA-sim)", _chakra, has_ranks=True),
    "graphml": Format("GraphML", _graphml),
    "mermaid": Format("a Mermaid flowchart", _mermaid),
}
"""By name, as `dagc export --format` has it. A new format is an entry here."""


def export(checked: Checked, form: str, ranks: RankSelection | None = None, limit: int | None = None) -> ExportedFiles:
    """The files of one of `FORMATS`; `ranks` and `limit` (bytes) are for those with a file for each rank."""
    traced = traced_of(checked)
    if traced is None:
        return ExportedFiles({}, (_no_times(checked),))
    return FORMATS[form].write(Exportable(checked, traced, ranks, limit))


def strategy_graph(checked: Checked) -> StrategyGraph | Diagnostic:
    """The networkx graph of a strategy, or why there is none."""
    traced = traced_of(checked)
    if traced is None:
        return _no_times(checked)
    from dagc.export.strategy_graph import strategy_graph as made

    return made(traced.plan, traced.graph, traced.timelines)


def _no_times(checked: Checked) -> Diagnostic:
    from dagc.plan.plan import missing_rates, missing_shapes

    lacking = (*missing_shapes(checked.plan), *missing_rates(checked.plan))
    hint = f"state {', '.join(lacking)}" if lacking else "fix the errors above"
    return NO_TIMES.at(
        checked.plan.deployment.strategy.span,
        f"`{checked.plan.name}` has no times, so there is nothing to export",
        notes=("its size and its claims are checked all the same: `dagc check`",),
        help=(hint,),
    )
