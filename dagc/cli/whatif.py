"""`dagc whatif`: what each parameter does to each figure, and where one strategy overtakes another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from dagc.cli.inputs import plan_arguments, required_input
from dagc.cli.printing import exit_status, print_json, print_text
from dagc.cli.progress import progress

if TYPE_CHECKING:
    from dagc.driver.whatif import Asked, BreakEvenQuery, Found

QUANTITIES = ("batch", "concurrency", "prompt", "output", "chunk")
"""Fields of a workload over which strategies are held against each other."""

KINDS = ("hardware", "workload", "strategy")

_MOST = 10**7
"""Largest quantity: times and memory stay in range, whatever is priced."""


@click.command()
@plan_arguments
@click.option("--strategy", "name", metavar="NAME", help="Only this strategy of the plan: --strategy main.")
@click.option("--by", "percent", type=click.FloatRange(0, 100, min_open=True, max_open=True), default=10.0,
              show_default=True, help="Per cent by which hardware figures change, down and up: --by 20.")  # fmt: skip
@click.option("--only", "kinds", multiple=True, type=click.Choice(KINDS),
              help="Only parameters of this kind, repeatable: --only hardware.")  # fmt: skip
@click.option("--why", "reasons", type=click.IntRange(0), default=2, show_default=True,
              help="How many changes of each kind to explain, the strongest first: --why 3.")  # fmt: skip
@click.option(
    "--over", type=click.Choice(QUANTITIES), help="Find break-even points over a quantity instead: --over batch."
)
@click.option("--against", metavar="STRATEGY",
              help="With --over: the other strategy, by name or text; default: all one decision away.")  # fmt: skip
@click.option("--between", nargs=2, type=click.IntRange(1, _MOST), metavar="LOW HIGH",
              help="With --over: its range; default: 1/64 to 64 times the stated value.")  # fmt: skip
@click.option("--metric", "metrics", multiple=True, metavar="NAME",
              help="With --over: the figure, repeatable: --metric tpot.")  # fmt: skip
@click.option("--format", "style", type=click.Choice(["text", "json", "svg"]), default="text", show_default=True,
              help="Tables, a document, or a tornado picture.")  # fmt: skip
def whatif(
    plan: str | None,
    expression: str | None,
    name: str | None,
    percent: float,
    kinds: tuple[str, ...],
    reasons: int,
    over: str | None,
    against: str | None,
    between: tuple[int, int] | None,
    metrics: tuple[str, ...],
    style: str,
    **options: str | None,
) -> None:
    """Change the parameters of hardware, workload and strategy, one at a time, and price each changed plan.

    With --over, find from which batch, prompt or output on another strategy is better. Advice is left to `dagc check`;
    errors are printed, and what is left out.
    """
    _fitting(over, {"--against": against, "--between": between, "--metric": metrics}, style)
    given = required_input(plan, expression, options)
    from dagc.driver import whatif as driver
    from dagc.driver.whatif import Asked

    asked = Asked(percent / 100, kinds, name)
    query = _query(over, against, between, metrics)
    with progress() as say:
        found = driver.whatif(given.source, given.blocks, given.directory, asked, query, say, given.levels)
    _known(found, asked, query)
    _print(found, style, reasons)
    raise SystemExit(exit_status(found.diagnostics))


def _fitting(over: str | None, of_duels: Mapping[str, object], style: str) -> None:
    """Options that go together."""
    if over is not None:
        if style == "svg":
            raise click.UsageError("--format svg is the picture of sensitivities, which --over takes the place of")
        return
    given = next((option for option, value in of_duels.items() if value), None)
    if given is not None:
        raise click.UsageError(f"{given} needs --over: name the quantity over which strategies are compared")


def _query(
    over: str | None, against: str | None, between: tuple[int, int] | None, metrics: tuple[str, ...]
) -> BreakEvenQuery | None:
    if over is None:
        return None
    from dagc.driver.whatif import BreakEvenQuery
    from dagc.metrics import COMPARED

    names = [kind.name for kind in COMPARED]
    wrong = next((metric for metric in metrics if metric not in names), None)
    if wrong is not None:
        raise click.BadParameter(f"`{wrong}` is none of {', '.join(names)}", param_hint="--metric")
    if between is not None and between[0] >= between[1]:
        raise click.BadParameter(f"{between[0]} is not below {between[1]}", param_hint="--between")
    return BreakEvenQuery(over, against, between, metrics)


def _known(found: Found, asked: Asked, query: BreakEvenQuery | None) -> None:
    """Usage errors that show only when the plan is known."""
    if exit_status(found.diagnostics) and not found.names:
        return
    if asked.name is not None and asked.name not in found.names:
        raise click.BadParameter(f"the plan has no strategy `{asked.name}`", param_hint="--strategy")
    if query is not None and query.over not in found.quantities:
        raise click.BadParameter(
            f"the workload has no `{query.over}`, but {', '.join(found.quantities)}", param_hint="--over"
        )


def _print(found: Found, style: str, reasons: int) -> None:
    answers = found.answers
    if style == "json":
        print_json(answers)
    elif style == "svg" and answers.strategies:
        from dagc.export.whatif_svg import whatif_svg

        click.echo(whatif_svg(answers.strategies), nl=False)
    elif answers.strategies or answers.duels:
        from dagc.export.text.whatif import render_whatif

        click.echo(render_whatif(answers, reasons), nl=False)
    if style != "json":
        from dagc.diag.diagnostic import Family

        shown = (one for one in found.diagnostics if one.is_error or one.code.family is Family.LIMITS)
        print_text(tuple(shown))
