"""`dagc launch`: the flags with which an engine runs a strategy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from dagc.cli.inputs import plan_arguments, required_input
from dagc.cli.printing import CLEAN, ERRORS, USAGE, exit_status, print_json, print_text, text_or_json
from dagc.units import format_gpus

if TYPE_CHECKING:
    from dagc.driver.launch import Launched, ServiceLaunch, Started

SCHEMA_VERSION = 1


@click.command()
@plan_arguments
@click.option("--strategy", "name", metavar="NAME", help="Only this strategy of the plan: --strategy main.")
@text_or_json
def launch(plan: str | None, expression: str | None, name: str | None, style: str, **blocks: str | None) -> None:
    """Print how an engine starts each strategy, or why it cannot; without --engine, how each of them does."""
    given = required_input(plan, expression, blocks)
    from dagc.driver import launch as driver

    started = driver.launch(given.source, given.blocks, given.directory)
    shown = [one for one in started.launched if name in (None, one.name)]
    if name is not None and not shown and not exit_status(started.diagnostics):
        raise click.BadParameter(f"the plan has no strategy `{name}`", param_hint="--strategy")
    _print(started, shown, style)
    raise SystemExit(_status(started, shown))


def _status(started: Started, shown: list[Launched]) -> int:
    """Errors of the plan, else 1 where an engine that was named refuses a strategy."""
    status = exit_status(started.diagnostics)
    if status in (ERRORS, USAGE):
        return status
    asked = {one.engine.name for one in shown}
    return ERRORS if len(asked) == 1 and any(one.refusals for one in shown) else CLEAN


def _print(started: Started, shown: list[Launched], style: str) -> None:
    if style == "json":
        from dagc.diag.jsonout import to_json
        from dagc.driver.launch import launch_data

        diagnostics = [to_json(d) for d in started.diagnostics]
        launches = [launch_data(one) for one in shown]
        print_json({"schema_version": SCHEMA_VERSION, "diagnostics": diagnostics, "launches": launches})
        return
    for one in shown:
        click.echo("\n".join(_lines(one)))
    print_text(started.diagnostics)


def _lines(one: Launched) -> Iterator[str]:
    yield f"{one.name}: {one.strategy}, {format_gpus(one.gpus)}, {one.engine.title} {one.engine.version}"
    for problem in one.refusals:
        yield f"  not expressible: {problem.message.removeprefix(f'not expressible in {one.engine.title}: ')}"
        yield from (f"    {text}" for text in problem.help)
    for service in one.services:
        yield from _service(service)


def _service(service: ServiceLaunch) -> Iterator[str]:
    phase = "" if service.phase == "both" else f"{service.phase}: "
    count = "1 instance" if service.instances == 1 else f"{service.instances} instances"
    nodes = "" if service.command.nodes == 1 else f", the command on each of {service.command.nodes} nodes"
    gpus = "1 GPU" if service.gpus == 1 else f"{service.gpus} GPUs"
    yield f"  {phase}{count} of {gpus}{nodes}"
    yield f"    {service.command.line}"
