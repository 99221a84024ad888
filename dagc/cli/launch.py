"""`dagc launch`: the flags with which an engine runs a strategy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagc.cli.inputs import plan_arguments, required_input
from dagc.cli.printing import CLEAN, ERRORS, USAGE, exit_status, print_json, print_text
from dagc.diag.text import escape

if TYPE_CHECKING:
    from dagc.driver.launch import Launched, ServiceLaunch, Started

SCHEMA_VERSION = 2
_FILES = ("shell", "docker", "slurm", "kubernetes", "dynamo")


@click.command()
@plan_arguments
@click.option("--strategy", "name", metavar="NAME", help="Only this strategy of the plan: --strategy main.")
@click.option("--format", "style", type=click.Choice(["text", "json", *_FILES]), default="text", show_default=True,
              help="The command, JSON, or files for a shell, Docker, Slurm, Kubernetes, or Dynamo.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path),
              help="Directory to write files into, as OUTPUT/STRATEGY-ENGINE/, in place of printing them.")  # fmt: skip
def launch(
    plan: str | None,
    expression: str | None,
    name: str | None,
    style: str,
    output: Path | None,
    **blocks: str | None,
) -> None:
    """Print how an engine starts each strategy, or why it cannot; without --engine, how each server does."""
    if output is not None and style not in _FILES:
        raise click.UsageError(f"`-o` is for files: --format {', '.join(_FILES)}")
    given = required_input(plan, expression, blocks)
    from dagc.driver import launch as driver

    started = driver.launch(given.source, given.blocks, given.directory)
    shown = [one for one in started.launched if name in (None, one.name)]
    if name is not None and not shown and not exit_status(started.diagnostics):
        raise click.BadParameter(f"the plan has no strategy `{name}`", param_hint="--strategy")
    status = _status(started, shown)
    if style in _FILES:
        status = max(status, _files(started, shown, style, output))
    else:
        _print(started, shown, style)
    raise SystemExit(status)


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


def _files(started: Started, shown: list[Launched], style: str, output: Path | None) -> int:
    """Files of every strategy that an engine starts; what keeps others goes to standard error."""
    from dagc.driver.launch import launch_files
    from dagc.export.write import write_file

    diagnostics, status = [*started.diagnostics], CLEAN
    for one in shown:
        if one.refusals:
            click.echo("\n".join(_lines(one)), err=True)
            continue
        for warning in one.warnings:
            click.echo(f"warning: {escape(warning.message)}", err=True)
        files = launch_files(one, style)
        if isinstance(files, str):
            click.echo(f"error: {escape(files)}", err=True)
            status = ERRORS
            continue
        folder = f"{one.launchable().slug}-{one.engine.name}"
        for name, text in files.items():
            if output is None:
                several = len(files) * len(shown) > 1
                click.echo(f"# file: {folder}/{name}\n{text}" if several else text, nl=False)
            else:
                diagnostics += write_file(output / folder / name, text.encode())
        if output is not None:
            click.echo(f"written to {escape(str(output / folder))}: {', '.join(files)}")
    print_text(diagnostics)
    return max(status, exit_status(diagnostics))


def _lines(one: Launched) -> Iterator[str]:
    yield one.title
    for problem in one.refusals:
        yield f"  not expressible: {problem.message.removeprefix(f'not expressible in {one.engine.title}: ')}"
        yield from (f"    {text}" for text in problem.help)
    for service in one.services:
        yield from _service(one, service)
    router = one.router_line()
    if router:
        yield "  router:"
        yield f"    {router}"
    yield from (f"  warning: {warning.message}" for warning in one.warnings)


def _service(one: Launched, service: ServiceLaunch) -> Iterator[str]:
    phase = "" if service.phase == "both" else f"{service.phase}: "
    count = "1 instance" if service.instances == 1 else f"{service.instances} instances"
    gpus = "1 GPU" if service.gpus == 1 else f"{service.gpus} GPUs"
    command, worker = service.command, one.worker_line(service)
    if not one.engine.is_server:
        count = f"arguments of {count}"
    if command.nodes == 1:
        yield f"  {phase}{count} of {gpus}"
        yield f"    {one.command_line(service)}"
        return
    where = f"on {command.nodes} nodes of {command.gpus}"
    if worker is None:
        on = "on the first" if command.ranks_by_mpi else "on each"
        yield f"  {phase}{count} of {gpus} {where}, {on}"
        yield f"    {one.command_line(service)}"
        return
    yield f"  {phase}{count} of {gpus} {where}, on the first"
    yield f"    {one.command_line(service)}"
    yield "    and on the others"
    yield f"    {worker}"
