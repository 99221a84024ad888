"""`dagc search`: the best strategies for a model on a cluster, as text, JSON, picture and a plan that compiles."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagc.cli.directories import SEARCH, plan_directory
from dagc.cli.inputs import Input, asked, plan_arguments, required_input
from dagc.cli.printing import ERRORS, exit_status, print_json, print_text, text_or_json
from dagc.cli.progress import progress
from dagc.diag.diagnostic import Diagnostic
from dagc.diag.text import escape

if TYPE_CHECKING:
    from dagc.driver.search import SearchOptions, SearchOutcome
    from dagc.search.branch_and_bound import Progress
    from dagc.search.goal import ObjectiveName

OBJECTIVES = ("throughput_per_gpu", "cost", "tpot", "ttft", "gpus", "throughput")
"""`OBJECTIVE_NAMES` of `dagc.search.goal`, which this module does not import for the sake of start-up."""

MOST_GPUS = 4096
"""GPUs of a strategy at most."""

INTERRUPTED = 130
"""Exit status of a search that Ctrl-C stopped; what it had is printed and written."""


@click.command()
@plan_arguments
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out"), show_default=True,
              help="Directory to write into, as OUTPUT/PLAN/search/.")  # fmt: skip
@click.option("--gpus", metavar="N|N..M", help="GPUs that a strategy takes, in place of the cluster's: --gpus 8..64.")
@click.option("--objective", type=click.Choice(OBJECTIVES), default=OBJECTIVES[0], show_default=True,
              help="What is best, within the requirements.")  # fmt: skip
@click.option("--time", "seconds", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True,
              help="Seconds after which the search ends with what it has: --time 600.")  # fmt: skip
@click.option("--batch", "batches", metavar="N,…", help="Batches to try, in place of the workload's: --batch 64,128.")
@click.option("--over", metavar="NAME,…", default="phase-pools", show_default=True,
              help="What to vary besides degrees, micro-batches and overlap: --over all, --over none.")  # fmt: skip
@click.option("--most", type=click.IntRange(1), help="End after N bounds and prices, on any machine: --most 10000.")
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
    gpus: str | None,
    objective: ObjectiveName,
    seconds: float,
    batches: str | None,
    over: str,
    most: int | None,
    exhaustive: bool,
    workers: int | None,
    dask: str | None,
    resume: Path | None,
    **options: str | tuple[str, ...] | None,
) -> None:
    """Find the best strategy for the model, cluster, workload and requirements of a plan.

    They may be given by options alone, without a plan. What is asked of `--most` ends the search in place of the clock.
    """
    given = _question(options) if plan is None and expression is None else required_input(plan, expression, options)
    from dagc.driver.search import SearchOptions

    number = workers or (1 if dask else os.cpu_count() or 1)
    directory = output / plan_directory(given.title) / SEARCH
    request = SearchOptions(
        _sizes(gpus), _counts(batches), _over(over), most, number, dask, resume, exhaustive, directory, objective,
        None if most is not None or exhaustive else seconds,
    )  # fmt: skip
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
        yield lambda what: say(f"{time.monotonic() - start:,.0f} s: {what}")


def _question(options: Mapping[str, str | tuple[str, ...] | None]) -> Input:
    """What options alone ask: a plan without a text, named by its model."""
    if not options.get("model") or not options.get("cluster"):
        raise click.UsageError("give a plan (a file, `-`, or `-e STRATEGY`), or `--model` and `--cluster`")
    title = Path(str(options["model"]).split()[0]).stem
    return asked(title, options)


def _sizes(text: str | None) -> tuple[int, int] | None:
    """The fewest and the most GPUs: those of `8..64`, or one number twice."""
    if text is None:
        return None
    first, dots, last = text.partition("..")
    try:
        fewest, most = int(first), int(last if dots else first)
    except ValueError:
        fewest, most = 0, 0
    if not 1 <= fewest <= most <= MOST_GPUS:
        what = f"`{text}` is no number of GPUs up to {MOST_GPUS:,}; write `64`, or `8..64`"
        raise click.BadParameter(what, param_hint="--gpus")
    return fewest, most


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
    best = outcome.result.recommended if outcome.result else None
    if outcome.result is not None and (best is None or best.is_lowered) and not failures:
        return ERRORS
    return exit_status((*outcome.diagnostics, *failures))
