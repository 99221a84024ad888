"""A checked strategy in the forms that other programs take; each is made only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.driver.outcome import Checked
from dagc.plan.missing import missing_rates, missing_shapes

if TYPE_CHECKING:
    from dagc.export.ranks import RankSelection
    from dagc.export.strategy_graph import StrategyGraph
    from dagc.export.trace.tracks import Traced

NO_TIMES = Code("X310", "nothing-to-export")


class Form(StrEnum):
    """What a strategy can be written as."""

    CHAKRA = "chakra"
    GRAPHML = "graphml"
    MERMAID = "mermaid"


@dataclass(frozen=True, slots=True)
class ExportedFiles:
    """Files by name, why there are none, and what is to be said before they are written."""

    files: dict[str, bytes | Iterable[bytes]]
    diagnostics: tuple[Diagnostic, ...]
    notes: tuple[str, ...] = ()


def export(checked: Checked, form: Form, ranks: RankSelection | None = None, limit: int | None = None) -> ExportedFiles:
    """The files of one form; `ranks` and `limit` (bytes) are for traces."""
    traced = _traced(checked)
    if isinstance(traced, Diagnostic):
        return ExportedFiles({}, (traced,))
    shown = (traced.plan, traced.graph, traced.timelines)
    if form is Form.CHAKRA:
        from dagc.export.chakra.traces import chakra_files

        streams, refused, notes = chakra_files(traced, ranks, limit)
        return ExportedFiles(dict(streams), refused, notes)
    if form is Form.GRAPHML:
        from dagc.export.strategy_graph import graphml_bytes

        return ExportedFiles({"graph.graphml": graphml_bytes(*shown)}, ())
    from dagc.driver.compile import summary_of
    from dagc.export.mermaid import mermaid_text
    from dagc.export.text.context import context

    summary = summary_of(checked)
    lines = context(summary.facts, summary.requirements, has_model=False)
    return ExportedFiles({"graph.mmd": mermaid_text(*shown, checked.priced.metrics, lines).encode()}, ())


def strategy_graph(checked: Checked) -> StrategyGraph | Diagnostic:
    """The networkx graph of a strategy, or why there is none."""
    traced = _traced(checked)
    if isinstance(traced, Diagnostic):
        return traced
    from dagc.export.strategy_graph import strategy_graph as made

    return made(traced.plan, traced.graph, traced.timelines)


def _traced(checked: Checked) -> Traced | Diagnostic:
    priced = checked.priced
    if priced.graph is None or priced.timelines is None:
        return _no_times(checked)
    from dagc.export.trace.tracks import Traced

    return Traced(checked.plan, priced.graph, priced.timelines, priced.others)


def _no_times(checked: Checked) -> Diagnostic:
    lacking = (*missing_shapes(checked.plan), *missing_rates(checked.plan))
    hint = f"state {', '.join(lacking)}" if lacking else "fix the errors above"
    return NO_TIMES.at(
        checked.plan.deployment.strategy.span,
        f"`{checked.plan.name}` has no times, so there is nothing to export",
        notes=("its size and its claims are checked all the same: `dagc check`",),
        help=(hint,),
    )
