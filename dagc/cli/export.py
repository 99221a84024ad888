"""`dagc export`: a plan's strategies in the forms that other programs take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagc.cli.compile import parsed_ranks
from dagc.cli.directories import check_into
from dagc.cli.inputs import Input, plan_arguments, required_input
from dagc.cli.printing import finish
from dagc.cli.progress import progress
from dagc.diag.diagnostic import Diagnostic
from dagc.diag.text import escape
from dagc.driver.export import FORMATS

if TYPE_CHECKING:
    from dagc.export.ranks import RankSelection

_TITLES = [one.title for one in FORMATS.values()]


@click.command(name="export")
@plan_arguments
@click.option("--format", "form", type=click.Choice(list(FORMATS)), required=True,
              help=f"{', '.join(_TITLES[:-1])}, or {_TITLES[-1]}: --format mermaid.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out"), show_default=True,
              help="Directory to write into, as OUTPUT/PLAN/STRATEGY/.")  # fmt: skip
@click.option(
    "--ranks", metavar="RANKS", help="Ranks that get a Chakra trace, in place of all: --ranks 0-7, --ranks 3,5."
)
@click.option("--memory-limit", metavar="GB", type=click.FloatRange(min=0),
              help="Largest traces, in memory; default: half of the available memory.")  # fmt: skip
def export(
    plan: str | None,
    expression: str | None,
    form: str,
    output: Path,
    ranks: str | None,
    memory_limit: float | None,
    **options: str | tuple[str, ...] | None,
) -> None:
    """Write every strategy of a plan in a form for other programs."""
    if not FORMATS[form].has_ranks and (ranks is not None or memory_limit is not None):
        ranked = " or ".join(f"`--format {name}`" for name, one in FORMATS.items() if one.has_ranks)
        raise click.UsageError(f"`--ranks` and `--memory-limit` are for {ranked}")
    chosen = None if ranks is None else parsed_ranks(ranks)
    given = required_input(plan, expression, options)
    limit = None if memory_limit is None else int(memory_limit * 1e9)
    finish(_export(given, output, form, chosen, limit))


def _export(
    given: Input, output: Path, form: str, ranks: RankSelection | None, limit: int | None
) -> tuple[Diagnostic, ...]:
    from dagc.driver.export import export
    from dagc.export.publish import publish

    diagnostics: list[Diagnostic] = []
    with progress() as say:
        outcome, strategies = check_into(given, output, say)
        diagnostics += outcome.diagnostics
        for checked, directory in strategies:
            say(f"writing {checked.plan.name}")
            made = export(checked, form, ranks, limit)
            for note in made.notes:
                click.echo(f"note: {escape(note)}", err=True)
            failures = publish(directory, f"export {form}", made.files) if made.files else ()
            diagnostics += (*made.diagnostics, *failures)
            if made.files and not failures:
                click.echo(f"written to {escape(str(directory))}: {_listed(tuple(made.files))}")
    return tuple(diagnostics)


def _listed(names: tuple[str, ...]) -> str:
    """`graph.mmd`, or `chakra/prefill (65 files), chakra/decode (65 files)`."""
    counts: dict[str, int] = {}
    for name in names:
        folder = name.rpartition("/")[0]
        counts[folder or name] = counts.get(folder or name, 0) + 1
    return ", ".join(f"{name} ({count} files)" if "/" in name else name for name, count in counts.items())
