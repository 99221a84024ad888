"""`dagc compare`: plans side by side, a line a figure, and where their graphs differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagc.cli import completing
from dagc.cli.inputs import block_options, required_input
from dagc.cli.printing import exit_status, print_json, print_text, text_or_json
from dagc.cli.progress import progress
from dagc.diag.diagnostic import Diagnostic

if TYPE_CHECKING:
    from dagc.driver.compare import Compared


@click.command()
@click.argument("plans", nargs=-1, required=True, metavar="PLAN...", shell_complete=completing.files)
@click.option(
    "--strategy", "names", multiple=True, metavar="NAME", help="Only these strategies: --strategy a --strategy b."
)
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write a page with the timelines of all: --page compare.html.")  # fmt: skip
@block_options
@text_or_json
def compare(
    plans: tuple[str, ...],
    names: tuple[str, ...],
    page: Path | None,
    style: str,
    **options: str | tuple[str, ...] | None,
) -> None:
    """Compare PLANs, or the strategies of one, by GPUs, memory, times, throughput, shares and cost.

    Advice is left to `dagc check`; errors are printed.
    """
    inputs = [required_input(plan, None, options) for plan in plans]
    from dagc.driver import compare as driver
    from dagc.driver.compare import Given

    given = [Given(one.source, one.directory, frozenset(names) or None) for one in inputs]
    with progress() as say:
        compared = driver.compare(given, inputs[0].blocks, inputs[0].levels, say)
    _require(compared, names)
    failures = _write(page, compared)
    _print(compared, style, failures)
    raise SystemExit(exit_status((*compared.diagnostics, *failures)))


def _require(compared: Compared, names: tuple[str, ...]) -> None:
    if any(problem.stops for problem in compared.diagnostics):
        return
    known = {checked.plan.name for checked in compared.checked}
    missing = next((name for name in names if name not in known), None)
    if missing is not None:
        raise click.BadParameter(f"no plan has a strategy `{missing}`", param_hint="--strategy")
    if len(compared.checked) > 1:
        return
    raise click.UsageError("a comparison needs two strategies: name another plan, or a plan with two")


def _write(page: Path | None, compared: Compared) -> tuple[Diagnostic, ...]:
    if page is None:
        return ()
    from dagc.driver.compile import comparison_page
    from dagc.export.write import write_file

    return write_file(page, comparison_page(compared))


def _print(compared: Compared, style: str, failures: tuple[Diagnostic, ...]) -> None:
    if style == "json":
        print_json(compared.comparison)
        print_text(failures)
        return
    from dagc.export.text.comparison import render_comparison

    if compared.comparison.plans:
        click.echo(render_comparison(compared.comparison), nl=False)
    print_text(tuple(one for one in (*compared.diagnostics, *failures) if one.is_error))
