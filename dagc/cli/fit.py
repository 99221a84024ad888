"""`dagc fit`: the calibration of a device from tables of measurements, with the error of the fit by regime."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from dagc.cli import completing
from dagc.cli.inputs import read_text
from dagc.cli.printing import USAGE, exit_status, print_json, print_text, text_or_json
from dagc.diag.diagnostic import Diagnostic
from dagc.source import Source
from dagc.units import format_share

if TYPE_CHECKING:
    from dagc.catalog.calibration import Calibration
    from dagc.catalog.device import ClusterSpec
    from dagc.driver.fit import Coverage

SCHEMA_VERSION = 1


@click.command()
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...", shell_complete=completing.files)
@click.option("--device", "name", metavar="NAME", shell_complete=completing.devices,
              help="Device that was measured, one of `dagc devices`: --device h100-sxm.")  # fmt: skip
@click.option("--serving", is_flag=True,
              help="Fit a factor of each kind of work to results of serving benchmarks.")  # fmt: skip
@click.option("--plan", metavar="FILE", shell_complete=completing.files,
              help="The plan that results ran: --serving run.json --plan plan.moe.")  # fmt: skip
@click.option("--relative", metavar="NAME", shell_complete=completing.devices,
              help="Device whose coefficients replace what was not measured: --relative h800-sxm.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the calibration: -o calibration.json.")  # fmt: skip
@text_or_json
def fit(
    tables: tuple[str, ...], name: str | None, serving: bool, plan: str | None, relative: str | None,
    output: Path | None, style: str,
) -> None:  # fmt: skip
    """Fit formulas to measurements (CSV, or the output of nccl-tests), and print how far they are from them.

    With --serving, fit how many times as long as formulas say each kind of work takes in serving runs: files that
    `dagc validate results` reads with their plan, or tables of `dagc validate --cases`.
    """
    if serving:
        _fit_serving(tables, name, plan, output, style)
    if name is None:
        raise click.UsageError("name the device that was measured: --device h100-sxm")
    if plan is not None:
        raise click.UsageError("a plan is one of results: --serving run.json --plan plan.moe")
    cluster = _cluster("--device", name)
    other = _cluster("--relative", relative).device.calibration if relative else None
    texts = [(path, read_text(Path(path))) for path in tables]
    unread = tuple(text for _, text in texts if isinstance(text, Diagnostic))
    if unread:
        _refuse(unread)
    from dagc.driver import fit as driver

    sources = [Source(path, text) for path, text in texts if isinstance(text, str)]
    calibration, diagnostics = driver.fit(sources, cluster, other)
    if calibration is None:
        _refuse(diagnostics)
    if output is not None:
        _write(output, calibration)
    if style == "json":
        print_json({"schema_version": SCHEMA_VERSION, **asdict(calibration)})
    else:
        click.echo("\n".join([*_summary(driver.covered(calibration, cluster), name), "", *_lines(calibration)]))


def _cluster(option: str, name: str) -> ClusterSpec:
    from dagc.catalog.presets import device_names, load_device, unknown_name

    cluster = load_device(name)
    if cluster is None:
        _refuse((unknown_name(Source(option, name).span(0, len(name)), "device", device_names()),), USAGE)
    return cluster


def _refuse(diagnostics: tuple[Diagnostic, ...], status: int | None = None) -> NoReturn:
    print_text(diagnostics)
    raise SystemExit(exit_status(diagnostics) if status is None else status)


def _write(output: Path, calibration: Calibration) -> None:
    from dagc.catalog.calibration import calibration_text
    from dagc.export.write import write_file

    if failures := write_file(output, calibration_text(calibration).encode()):
        _refuse(failures)


def _summary(found: Coverage, device: str) -> Iterator[str]:
    """What was fitted and how well; what stays uncovered."""
    regimes = "1 regime" if len(found.fitted) == 1 else f"{len(found.fitted)} regimes"
    rows = "1 row" if found.rows == 1 else f"{found.rows:,} rows"
    error = "" if found.median is None else f", median error {format_share(found.median)}"
    yield f"{device}: {regimes} fitted, judged on {rows}{error}"
    for label, names in (
        ("derived", found.derived),
        ("not covered: operators", found.operators),
        ("not covered: collectives", found.collectives),
    ):
        if names:
            text = textwrap.fill(", ".join(names), 72, break_long_words=False, break_on_hyphens=False)
            yield f"{label}\n{textwrap.indent(text, '  ')}"
    if found.operators or found.collectives:
        yield "What is not covered is priced by the regime of another type, or by the efficiency of the device."


def _lines(calibration: Calibration) -> Iterator[str]:
    yield f"{'regime':28}{'median':>8}{'p90':>8}{'bias':>8}{'rows':>7}   judged on"
    for name, regime in calibration.regimes.items():
        found = regime.residuals
        judged = "held-out rows" if found.held_out else "fitted rows"
        judged = f"derived: {regime.derived}" if regime.derived else judged
        shares = (format_share(found.median), format_share(found.p90), format_share(found.bias))
        yield f"{name:28}{shares[0]:>8}{shares[1]:>8}{shares[2]:>8}{found.rows:7,}   {judged}"


def _fit_serving(
    tables: tuple[str, ...], name: str | None, plan: str | None, output: Path | None, style: str
) -> NoReturn:
    from dagc.catalog.serving_results import MOST_RESULT_BYTES
    from dagc.cli.inputs import required_input
    from dagc.cli.progress import progress
    from dagc.driver import fit_serving as driver
    from dagc.driver.validate_results import readable_plan
    from dagc.export.text.serving_fit import render_fit

    given = required_input(plan, None, {}) if plan is not None else None
    readable = readable_plan(given.source, given.blocks, given.directory) if given else None
    if isinstance(readable, tuple):
        _refuse(readable)
    device = _cluster("--device", name).device.name if name is not None else None
    texts = [(path, read_text(Path(path), MOST_RESULT_BYTES)) for path in tables]
    problems = [text for _, text in texts if isinstance(text, Diagnostic)]
    with progress() as say:
        sources = [Source(path, text) for path, text in texts if isinstance(text, str)]
        runs = [run for source in sources for run in driver.serving_runs(source, readable, problems, say)]
        found = driver.fit_serving(runs, device, ", ".join(Path(path).name for path in tables), say)
    if isinstance(found, Diagnostic):
        _refuse((*problems, found))
    calibration, fitted = found
    if output is not None:
        _write(output, calibration)
    if style == "json":
        print_json(fitted)
    else:
        click.echo(render_fit(fitted), nl=False)
    print_text(tuple(problems))
    raise SystemExit(exit_status(tuple(problems)))
