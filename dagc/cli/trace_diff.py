"""`dagc trace-diff`: which operators explain the difference between a profile of an engine and a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagc.cli import completing
from dagc.cli.inputs import block_options, required_input
from dagc.cli.printing import exit_status, finish, print_json, text_or_json

if TYPE_CHECKING:
    from dagc.driver.outcome import Checked


@click.command("trace-diff")
@click.argument("plan", metavar="PLAN", shell_complete=completing.files)
@click.argument("trace", type=click.Path(path_type=Path), metavar="TRACE", shell_complete=completing.files)
@click.option("--phase", type=click.Choice(["prefill", "decode"]), default="decode", show_default=True,
              help="Which step the trace has.")  # fmt: skip
@click.option("--strategy", "name", metavar="NAME", help="The strategy that ran: --strategy main.")
@click.option("--within", multiple=True, metavar="PATTERN",
              help="Only kernels launched within such annotations of the profiler: --within 'attn(F)'.")  # fmt: skip
@block_options
@text_or_json
def trace_diff(
    plan: str, trace: Path, phase: str, name: str | None, within: tuple[str, ...], style: str, **blocks: str | None
) -> None:
    """Match the kernels of TRACE (PyTorch profiler JSON, or a CSV of kernels) with the operators of a layer of PLAN."""
    given = required_input(plan, None, blocks)
    from dagc.cli.inputs import read_bytes
    from dagc.cli.progress import progress
    from dagc.diag.diagnostic import Diagnostic
    from dagc.driver import trace_diff as driver
    from dagc.driver.check import check
    from dagc.plan.deployment import Phase

    with progress() as say:
        say(f"reading {trace}")
        content = read_bytes(trace, driver.MOST_TRACE_BYTES)
        kernels = content if isinstance(content, Diagnostic) else driver.read_kernels(content, str(trace), within)
        if isinstance(kernels, Diagnostic):
            finish((kernels,))
        outcome = check(given.source, given.blocks, given.directory, say, given.levels, sample=None)
        if exit_status(outcome.diagnostics) and not outcome.checked:
            finish(outcome.diagnostics)
        say("matching kernels")
        found = driver.trace_diff(_chosen(outcome.checked, name), Phase(phase), kernels, str(trace))
    if isinstance(found, Diagnostic):
        finish((found,))
    if style == "json":
        print_json(found)
    else:
        from dagc.export.text.trace_diff import render_diff

        click.echo(render_diff(found, str(trace)), nl=False)


def _chosen(checked: tuple[Checked, ...], name: str | None) -> Checked:
    names = ", ".join(f"`{one.plan.name}`" for one in checked)
    if name is None and len(checked) > 1:
        raise click.BadParameter(f"the trace is of one strategy: name one of {names}", param_hint="--strategy")
    found = next((one for one in checked if name in (None, one.plan.name)), None)
    if found is None:
        raise click.BadParameter(f"the plan has no strategy `{name}` that can be priced", param_hint="--strategy")
    return found
