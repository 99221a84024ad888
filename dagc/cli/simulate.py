"""`dagc simulate`: latencies of requests under load, and the highest load that keeps the requirements."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagc.cli.inputs import plan_arguments, required_input
from dagc.cli.printing import exit_status, json_text, print_text
from dagc.cli.progress import progress

if TYPE_CHECKING:
    from dagc.diag.diagnostic import Diagnostic
    from dagc.driver.simulate import SimulationOutcome, SimulationRequest

_OF_REQUESTS = ("csv", "trace")
"""Formats of one run."""

_MOST_REQUESTS = 10**7


@click.command()
@plan_arguments
@click.option("--strategy", "name", metavar="NAME", help="Only this strategy of the plan: --strategy main.")
@click.option("--requests", type=click.IntRange(10, _MOST_REQUESTS), metavar="COUNT",
              help="Requests that figures are of; default: the workload's, else 2,000.")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), help="Seed of arrivals and lengths; default: the workload's."
)
@click.option("--sweep", type=click.Choice(["rate", "concurrency"]),
              help="Find the highest load that meets the requirements: --sweep rate.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write a file in place of standard output: -o load.svg.")  # fmt: skip
@click.option("--format", "style", type=click.Choice(["text", "json", "svg", "csv", "trace"]), default="text",
              show_default=True,
              help="Tables, a document, pictures, a row for each request, or a trace for Perfetto.")  # fmt: skip
def simulate(
    plan: str | None,
    expression: str | None,
    name: str | None,
    requests: int | None,
    seed: int | None,
    sweep: str | None,
    output: Path | None,
    style: str,
    **blocks: str | None,
) -> None:
    """Simulate requests on each strategy: percentiles of TTFT, ITL, TPOT and end-to-end latency, queues, goodput.

    A trace and CSV are of one strategy, which --strategy names.
    """
    if style == "trace" and output is None and sys.stdout.isatty():
        raise click.UsageError("a trace is binary: name a file with `-o load.perfetto-trace`, or redirect the output")
    if sweep is not None and style in _OF_REQUESTS:
        raise click.UsageError(f"--sweep has other loads, whose requests `--format {style}` does not show")
    given = required_input(plan, expression, blocks)
    from dagc.driver import simulate as driver
    from dagc.driver.simulate import SimulationRequest
    from dagc.plan.workload import LoadSample

    over = "rate" if sweep == "rate" else "concurrency" if sweep == "concurrency" else None
    asked = SimulationRequest(name, LoadSample(requests, seed), over, style in _OF_REQUESTS)
    with progress() as say:
        found = driver.simulate(given.source, given.blocks, given.directory, asked, say, given.levels)
    _check_name(found, asked)
    content = _content(found, style)
    failures: tuple[Diagnostic, ...] = ()
    if content is not None and output is not None:
        from dagc.export.write import write_file

        failures = write_file(output, content)
    elif content is not None:
        for piece in (content,) if isinstance(content, bytes) else content:
            click.echo(piece, nl=False)
    is_in_document = style == "json" and output is None
    print_text(failures if is_in_document else (*found.diagnostics, *failures))
    raise SystemExit(exit_status((*found.diagnostics, *failures)))


def _check_name(found: SimulationOutcome, asked: SimulationRequest) -> None:
    """Usage errors that show only when the plan is known."""
    if asked.name is not None and asked.name not in found.names and not exit_status(found.diagnostics):
        raise click.BadParameter(f"the plan has no strategy `{asked.name}`", param_hint="--strategy")
    if asked.is_single and asked.name is None and len(found.names) > 1:
        names = ", ".join(f"`{name}`" for name in found.names)
        raise click.BadParameter(f"this format is of one strategy: name one of {names}", param_hint="--strategy")


def _content(found: SimulationOutcome, style: str) -> bytes | Iterable[bytes] | None:
    """What is printed or written, whole or in pieces; None where no strategy was simulated and there is no document."""
    if style == "json":
        return json_text(found.result).encode()
    if not found.result.strategies:
        return None
    match style:
        case "svg":
            return _pictures(found).encode()
        case "csv":
            from dagc.export.load.requests_csv import requests_csv

            return requests_csv(next(iter(found.runs.values())))
        case "trace":
            from dagc.export.trace.requests import request_trace

            return request_trace(next(iter(found.runs.values())))
        case _:
            from dagc.export.text.load import render_simulation

            return render_simulation(found.result).encode()


def _pictures(found: SimulationOutcome) -> str:
    from dagc.export.load.distributions import SimulatedStrategy
    from dagc.export.load.pictures import simulation_svg
    from dagc.export.load.plot import load_limits
    from dagc.export.load.sweep import SweptStrategy

    rows = [(one, load_limits(found.requirements[one.name])) for one in found.result.strategies]
    simulated = [SimulatedStrategy(one.name, one.load.arrivals, found.runs[one.name], limits) for one, limits in rows]
    return simulation_svg(simulated, [SweptStrategy(one, limits) for one, limits in rows if one.sweep])
