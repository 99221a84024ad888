"""`dagc compile`: graph, picture, data, trace and summary of each strategy, into a directory each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagc.cli.directories import check_into
from dagc.cli.inputs import Input, plan_arguments, required_input
from dagc.cli.printing import finish, print_named
from dagc.cli.progress import progress
from dagc.diag.diagnostic import Diagnostic
from dagc.diag.text import escape

if TYPE_CHECKING:
    from dagc.export.ranks import RankSelection
    from dagc.export.requested import Request


_DIGITS = 18
"""Of a count, so that it is one that a machine can count to."""


@click.command(name="compile")
@plan_arguments
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out"), show_default=True,
              help="Directory to write into, as OUTPUT/PLAN/STRATEGY/.")  # fmt: skip
@click.option(
    "--renderer",
    metavar="NAME",
    help="Program that lays out the pictures, in place of the built-in one: --renderer dot.",
)
@click.option("--view", "views", multiple=True, type=click.Choice(["deployment", "stage", "layer", "rank"]),
              help="Draw only this view, repeatable: --view layer.")  # fmt: skip
@click.option("--ranks", metavar="RANKS",
              help="Ranks in the trace: --ranks 0-7, --ranks 3,5, --ranks all; default: one of each kind.")  # fmt: skip
@click.option("--trace-format", type=click.Choice(["json", "perfetto", "kineto"]), default="json",
              show_default=True,
              help="Chrome JSON, Perfetto protobuf, or PyTorch's Kineto.")  # fmt: skip
@click.option("--trace-slices", metavar="COUNT",
              help="Slices in the trace: --trace-slices all; default: 200000 without --ranks.")  # fmt: skip
@click.option("--gzip", is_flag=True, help="Compress the trace.")
@click.option("--expand", is_flag=True, help="Write graph.json with every rank, for small plans.")
@click.option("--memory-limit", metavar="GB", type=click.FloatRange(min=0),
              help="Largest file of ranks, in memory; default: half of the available memory.")  # fmt: skip
def compile(
    plan: str | None,
    expression: str | None,
    output: Path,
    renderer: str | None,
    views: tuple[str, ...],
    ranks: str | None,
    trace_format: str,
    trace_slices: str | None,
    gzip: bool,
    expand: bool,
    memory_limit: float | None,
    **options: str | tuple[str, ...] | None,
) -> None:
    """Compile every strategy of a plan and write its files."""
    request = _request(ranks, trace_format, _count(trace_slices), gzip, expand, memory_limit)
    given = required_input(plan, expression, options)
    diagnostics = _compile(given, output, renderer, request, views)
    finish(diagnostics)


def _count(text: str | None) -> int | None:
    """The number that `--trace-slices` gives. Raises click.BadParameter for what is none."""
    if text is None or (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        return None if text is None else int(text)
    if text == "all":
        return sys.maxsize
    raise click.BadParameter(
        f"`{text}` is no count; write `all` or a number such as `500000`", param_hint="--trace-slices"
    )


def _request(
    ranks: str | None, trace_format: str, slices: int | None, gzip: bool, expand: bool, limit: float | None
) -> Request | None:
    """What is asked for beyond the default files; None for nothing."""
    if slices is not None and trace_format == "kineto":
        raise click.UsageError("`--trace-slices` is for one trace; of Kineto's files `--ranks` leaves ranks out")
    if ranks is None and trace_format == "json" and slices is None and not gzip and not expand:
        return None
    from dagc.export.requested import Request, TraceFormat

    chosen = None if ranks is None else parsed_ranks(ranks)
    return Request(chosen, TraceFormat(trace_format), gzip, expand, None if limit is None else int(limit * 1e9), slices)


def parsed_ranks(text: str) -> RankSelection:
    """The selection that `--ranks` names. Raises click.BadParameter for what is none."""
    from dagc.export.ranks import parse_ranks

    found = parse_ranks(text)
    if found is None:
        raise click.BadParameter(f"`{text}` names no ranks; write `all`, `0-7` or `3,5`", param_hint="--ranks")
    return found


def _compile(
    given: Input, output: Path, renderer: str | None, request: Request | None, views: tuple[str, ...]
) -> tuple[Diagnostic, ...]:
    from dagc.driver.compile import export, outlook
    from dagc.export.publish import publish
    from dagc.export.text.summary import render_text

    diagnostics: list[Diagnostic] = []
    with progress() as say:
        outcome, strategies = check_into(given, output, say)
        diagnostics += outcome.diagnostics
        print_named(outcome.checked[0].plan.facts.named if outcome.checked else ())
        for checked, directory in strategies:
            say(f"drawing and writing {checked.plan.name}")
            if expected := outlook(checked):
                click.echo(f"note: {escape(expected)}", err=True)
            product = export(checked, renderer, request, views)
            for note in product.notes:
                click.echo(f"note: {escape(note)}", err=True)
            failures = publish(directory, "compile", product.files)
            diagnostics += (*product.diagnostics, *failures)
            click.echo(render_text(product.summary), nl=False)
            if not failures:
                click.echo(f"written to {escape(str(directory))}: {', '.join(product.files)}\n")
    return tuple(diagnostics)
