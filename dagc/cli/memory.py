"""`dagc memory`: what each GPU holds, by part, and what would still fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dagc.cli.inputs import plan_arguments, required_input
from dagc.cli.printing import ERRORS, exit_status, print_json, print_text

if TYPE_CHECKING:
    from dagc.results.memory import PlanMemory, StrategyMemory

SCHEMA_VERSION = 1


@click.command()
@plan_arguments
@click.option("--strategy", "name", metavar="NAME", help="Only this strategy of the plan: --strategy main.")
@click.option("--format", "style", type=click.Choice(["text", "json", "svg"]), default="text", show_default=True,
              help="A table, a document, or a picture.")  # fmt: skip
def memory(plan: str | None, expression: str | None, name: str | None, style: str, **blocks: str | None) -> None:
    """Show the memory of each strategy by class of ranks and part, the room for cache, and the largest batch."""
    given = required_input(plan, expression, blocks)
    from dagc.driver import memory as driver

    held = driver.memory(given.source, given.blocks, given.directory)
    shown = [strategy for strategy in held.strategies if name in (None, strategy.name)]
    if name is not None and not shown and not exit_status(held.diagnostics):
        raise click.BadParameter(f"the plan has no strategy `{name}`", param_hint="--strategy")
    _print(held, shown, style)
    fits = all(one.memory.fits for one in shown if one.memory)
    raise SystemExit(exit_status(held.diagnostics) or (0 if fits else ERRORS))


def _print(held: PlanMemory, shown: list[StrategyMemory], style: str) -> None:
    if style == "json":
        _print_json(held, shown)
        return
    if style == "svg":
        from dagc.export.memory_svg import Panel, memory_svg

        panels = [Panel(one.name, one.memory, one.context) for one in shown if one.memory]
        if panels:
            click.echo(memory_svg(panels), nl=False)
    else:
        from dagc.export.text.memory import render_memory

        for one in shown:
            if one.memory:
                click.echo(render_memory(one.name, one.memory), nl=False)
    for one in shown:
        if one.missing:
            click.echo(f"{one.name}: memory is undetermined: not stated: {', '.join(one.missing)}", err=style == "svg")
    print_text(held.diagnostics)


def _print_json(held: PlanMemory, shown: list[StrategyMemory]) -> None:
    from dagc.diag.jsonout import to_json

    strategies = [
        {
            "name": one.name,
            "memory": one.memory,
            "missing": list(one.missing),
        }
        for one in shown
    ]
    diagnostics = [to_json(d) for d in held.diagnostics]
    print_json({"schema_version": SCHEMA_VERSION, "diagnostics": diagnostics, "strategies": strategies})
