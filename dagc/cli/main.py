"""The `dagc` command: its subcommands, each imported only when it is called, because start-up time counts."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

GROUPS = {
    "Check and size: is it valid, how many GPUs, does it fit?": {
        "check": ("Check a plan and print the GPUs of each strategy", "check plan.moe"),
        "memory": ("Memory of each GPU by part, and the largest batch that fits", "memory plan.moe"),
        "fmt": ("Format a plan", "fmt plan.moe"),
        "read": ("Readings of a flat notation such as `tp 8, dp 8`", "read 'TP8 DP8 EP64' --gpus 64"),
    },
    "Predict: how fast, and why?": {
        "compile": ("Latency, throughput, pictures, trace and report of a plan", "compile plan.moe"),
        "watch": ("Recompile on save, in a browser page", "watch plan.moe --open"),
        "simulate": ("Latency percentiles under load, and the highest load that holds", "simulate plan.moe"),
        "whatif": ("Sensitivity to each parameter, and break-even points", "whatif plan.moe --by 10"),
        "export": ("Files for other programs: a flowchart, traces, graphs", "export plan.moe --format mermaid"),
    },
    "Choose: which strategy is best?": {
        "search": ("Best strategy for a model on a cluster, with proof", "search plan.moe --gpus 64"),
        "verify": ("Check a search's result again", "verify out/plan/search/search.json"),
        "compare": ("Compare plans or strategies side by side", "compare old.moe new.moe"),
    },
    "Start: how do I run it, and is it as fast as predicted?": {
        "launch": ("Commands and files that start a strategy in an engine", "launch plan.moe --engine vllm"),
        "bench": ("Benchmark commands that check a prediction", "bench plan.moe --tool vllm"),
    },
    "Look: what does dagc know, what does it mean?": {
        "explain": ("Explain a diagnostic's code or a term", "explain TPOT"),
        "rules": ("Codes of all diagnostics", "rules W"),
        "models": ("Models of the catalogue, and config.json files", "models deepseek-v3"),
        "devices": ("GPUs of the catalogue, and their calibration", "devices h100-sxm"),
        "completion": ("Shell completion for bash, zsh or fish", "completion bash"),
    },
    "Calibrate: how accurate is it?": {
        "validate": ("Predictions against measured cases", "validate serving"),
        "fit": ("Fit a device's calibration to measurements", "fit measured.csv --device h100-sxm"),
        "trace-diff": ("Operators that explain a profile of an engine", "trace-diff plan.moe trace.json"),
    },
}  # fmt: skip
"""Commands by the question that they answer: name, which is that of module and click command; help; example."""

COMMANDS = {name: text for commands in GROUPS.values() for name, (text, _) in commands.items()}
"""One-line help of each command."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = cmd_name.replace("-", "_")
        return getattr(import_module(f"dagc.cli.{module}"), module)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, so that help imports none of them."""
        for question, commands in GROUPS.items():
            formatter.write(f"\n{question}\n")
            for name, (text, example) in commands.items():
                formatter.write(f"  {name:<11} {text}\n{'':14}$ dagc {example}\n")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands with a prefix, from the table too; options as click has them."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        return [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"dagc {version('moe-dagc')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
)
def main() -> None:
    """Compile a strategy for deploying a mixture-of-experts model into a checked, priced graph."""


def invoke() -> int:
    """Run the command that the arguments name; its exit status.

    Raises what the machine refuses and signals as they come, BrokenPipeError where the reader of a stream is gone.
    """
    stream = sys.stdout
    try:
        status = main(prog_name="dagc", standalone_mode=False)
    except SystemExit as ended:
        status = ended.code
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    if sys.stdout is not stream:
        # Click has put another stream in its place, and ends with the status of a plan with errors.
        raise BrokenPipeError
    stream.flush()
    return status if isinstance(status, int) else 0
