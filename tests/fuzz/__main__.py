"""`python -m tests.fuzz SECONDS`: exit status 1 and a file in the corpus for each thing that is wrong."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from tests.fuzz.cases import CORPUS, keep
from tests.fuzz.run import Tally, fuzz

INTERVAL_SECONDS = 30.0


@click.command()
@click.argument("seconds", type=click.FloatRange(min=0))
@click.option("--seed", type=int, default=None, help="Seed of the inputs; the time unless given.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=os.cpu_count() or 1, show_default=True, help="Processes."
)
@click.option("--keep", "directory", type=click.Path(path_type=Path, file_okay=False, exists=True), default=CORPUS,
              help="Directory for what fails, in place of the corpus.")  # fmt: skip
def main(seconds: float, seed: int | None, workers: int, directory: Path) -> None:
    """Give every command generated and mutated inputs for SECONDS, and report what is wrong."""
    seed = int(time.time()) if seed is None else seed
    begun = shown = time.monotonic()
    reported: set[str] = set()

    def report(tally: Tally) -> None:
        nonlocal shown
        for key, (finding, case) in tally.findings.items():
            if key not in reported:
                reported.add(key)
                minutes = (time.monotonic() - begun) / 60
                click.echo(
                    f"\n=== {minutes:.1f} min: {key}\n{finding.detail}\nkept as {keep(case, directory)}", err=True
                )
        if time.monotonic() - shown > INTERVAL_SECONDS:
            shown = time.monotonic()
            click.echo(_line(tally, shown - begun), err=True)

    tally = fuzz(seconds, seed, workers, report)
    report(tally)
    click.echo(f"seed {seed}")
    click.echo(f"{'command':12}{'inputs':>8}{'ms each':>9}")
    for name, count in tally.inputs.most_common():
        click.echo(f"{name or '(none)':12}{count:8,}{tally.seconds[name] / count * 1e3:9.0f}")
    click.echo(_line(tally, time.monotonic() - begun))
    sys.exit(1 if tally.findings else 0)


def _line(tally: Tally, seconds: float) -> str:
    count = tally.inputs.total()
    return (f"{seconds:.0f} s: {count:,} inputs, {count / max(seconds, 1e-9):.1f} a second, "
            f"{len(tally.seen):,} different outcomes, {len(tally.findings)} defects")  # fmt: skip


main(prog_name="python -m tests.fuzz")
