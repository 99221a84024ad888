"""`dagc search`: the best strategies for a model on a cluster, as text, JSON, picture and a plan that compiles."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagc.cli.directories import SEARCH, plan_directory
from dagc.cli.inputs import Input, plan_arguments, required_input
from dagc.cli.printing import ERRORS, exit_status, print_json, print_text, text_or_json
from dagc.cli.progress import progress
from dagc.diag.diagnostic import Diagnostic
from dagc.diag.text import escape

if TYPE_CHECKING:
    from dagc.driver.search import SearchOptions, SearchOutcome
    from dagc.search.branch_and_bound import Progress

INTERRUPTED = 130
"""Exit status of a search that Ctrl-C stopped; what it had is printed and written."""


@click.command()
@plan_arguments
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out"), show_default=True,
              help="Directory to write into, as OUTPUT/PLAN/search/.")  # fmt: skip
@click.option("--gpus", type=click.IntRange(1, 4096), help="Use at most N GPUs, in place of the cluster's: --gpus 64.")
@click.option("--batch", "batches", metavar="N,…", help="Batches to try, in place of the workload's: --batch 64,128.")
@click.option("--over", metavar="NAME,…", default="phase-pools", show_default=True,
              help="What to vary besides degrees, micro-batches and overlap: --over all, --over none.")  # fmt: skip
@click.option("--most", type=click.IntRange(1), help="Price at most N strategies: --most 10000.")
@click.option("--exhaustive", is_flag=True, help="Price every strategy whose weights fit, without pruning by bounds.")
@click.option("--workers", type=click.IntRange(1), help="Number of processes; default: one per core.")
@click.option("--dask", metavar="ADDRESS", help="Scheduler of a Dask cluster: --dask tcp://10.0.0.1:8786.")
@click.option("--resume", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Checkpoint file, read if it exists: --resume search.record.")  # fmt: skip
@text_or_json
def search(
    plan: str | None,
    expression: str | None,
    output: Path,
    style: str,
    gpus: int | None,
    batches: str | None,
    over: str,
    most: int | None,
    exhaustive: bool,
    workers: int | None,
    dask: str | None,
    resume: Path | None,
    **options: str | tuple[str, ...] | None,
) -> None:
    """Search every strategy for the model, cluster, workload and requirements of a plan."""
    given = required_input(plan, expression, options)
    from dagc.driver.search import SearchOptions

    number = workers or (1 if dask else os.cpu_count() or 1)
    directory = output / plan_directory(given.title) / SEARCH
    request = SearchOptions(gpus, _counts(batches), _over(over), most, number, dask, resume, exhaustive, directory)
    outcome = _searched(given, request)
    _print(outcome, style)
    failures = _write(directory, outcome, is_text=style == "text")
    print_text(tuple(one for one in (*outcome.diagnostics, *failures) if one.is_error))
    raise SystemExit(_status(outcome, failures))


def _searched(given: Input, request: SearchOptions) -> SearchOutcome:
    from dagc.driver import search as driver

    with _progress() as report:
        return driver.search(given.source, given.blocks, given.directory, request, report)


@contextmanager
def _progress() -> Generator[Progress]:
    """What is being done, with the rate and the time left, on a terminal."""
    with progress() as say:
        start = time.monotonic()

        def report(what: str, decided: int, generated: int) -> None:
            rate = decided / max(time.monotonic() - start, 1e-3)
            left = (generated - decided) / rate if rate else 0.0
            say(f"{what}: {decided:,} of {generated:,} decided, {rate:,.0f}/s, at most {left:,.0f} s left")

        yield report


def _counts(text: str | None) -> tuple[int, ...]:
    try:
        found = tuple(sorted({int(part) for part in text.split(",")})) if text else ()
    except ValueError:
        found = (0,)
    if any(number < 1 for number in found):
        raise click.BadParameter(f"`{text}` is no list of counts; write `64,128`", param_hint="--batch")
    return found


def _over(text: str) -> frozenset[str]:
    from dagc.search.space import EXTRAS

    names = {"all": frozenset(EXTRAS), "none": frozenset[str]()}.get(text, frozenset(text.split(",")))
    unknown = sorted(names - frozenset(EXTRAS))
    if unknown:
        raise click.BadParameter(f"`{unknown[0]}` is none of {', '.join(EXTRAS)}, all, none", param_hint="--over")
    return names


def _write(directory: Path, outcome: SearchOutcome, *, is_text: bool) -> tuple[Diagnostic, ...]:
    if outcome.result is None:
        return ()
    from dagc.export.front_svg import front_svg
    from dagc.export.publish import publish
    from dagc.export.records import json_bytes

    files = {"search.json": json_bytes(outcome.result), "front.svg": front_svg(outcome.result).encode()}
    if outcome.plan is not None:
        files["best.moe"] = outcome.plan.encode()
    failures = publish(directory, "search", files)
    if not failures and is_text:
        click.echo(f"written to {escape(str(directory))}: {', '.join(files)}")
    return failures


def _print(outcome: SearchOutcome, style: str) -> None:
    if outcome.result is None:
        return
    if style == "json":
        print_json(outcome.result)
        return
    from dagc.export.text.search import render_search

    click.echo(render_search(outcome.result), nl=False)


def _status(outcome: SearchOutcome, failures: tuple[Diagnostic, ...]) -> int:
    if outcome.was_interrupted:
        return INTERRUPTED
    if outcome.result is not None and not outcome.result.front and not failures:
        return ERRORS
    return exit_status((*outcome.diagnostics, *failures))
