"""`dagc bench`: the benchmark commands that check a plan's prediction."""

from __future__ import annotations

import click

from dagc.cli.inputs import plan_arguments, required_input
from dagc.cli.printing import exit_status, json_text, print_text
from dagc.cli.progress import progress
from dagc.results.bench import TOOLS

_MOST_REQUESTS = 10**7


@click.command()
@plan_arguments
@click.option("--strategy", "name", metavar="NAME", help="Only this strategy of the plan: --strategy main.")
@click.option("--tool", "tools", type=click.Choice(TOOLS), multiple=True, help="Only this tool; may be repeated.")
@click.option("--url", metavar="URL", default="", help="Address of the server: --url http://node7:8000.")
@click.option("--requests", type=click.IntRange(10, _MOST_REQUESTS), metavar="COUNT",
              help="Requests to send and simulate; default: the workload's, else 2,000.")  # fmt: skip
@click.option("--format", "style", type=click.Choice(["shell", "json"]), default="shell", show_default=True,
              help="A script whose comments are the predictions, or a document.")  # fmt: skip
def bench(
    plan: str | None,
    expression: str | None,
    name: str | None,
    tools: tuple[str, ...],
    url: str,
    requests: int | None,
    style: str,
    **blocks: str | None,
) -> None:
    """Print the commands of benchmarks with the plan's workload, and what they should report.

    The tools are `vllm bench serve`, `python -m sglang.bench_serving`, `trtllm-bench` and `aiperf profile`.
    """
    given = required_input(plan, expression, blocks)
    from dagc.driver import bench as driver

    asked = driver.BenchRequest(name, tools or TOOLS, url, requests)
    with progress() as say:
        found = driver.bench(given.source, given.blocks, given.directory, asked, say, given.levels)
    if name is not None and name not in found.names and not exit_status(found.diagnostics):
        raise click.BadParameter(f"the plan has no strategy `{name}`", param_hint="--strategy")
    if style == "json":
        click.echo(json_text(found.result), nl=False)
    else:
        from dagc.export.text.bench import render_bench

        click.echo(render_bench(found.result), nl=False)
        print_text(found.diagnostics)
    raise SystemExit(exit_status(found.diagnostics))
