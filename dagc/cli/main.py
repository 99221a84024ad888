"""The `dagc` command: its subcommands, each imported only when it is called, because start-up time counts."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version

import click

COMMANDS = {
    "check": "diagnostics of a plan",
    "compare": "plans side by side, and where they differ",
    "compile": "a plan's graph, picture, trace and summary",
    "devices": "the GPUs that dagc knows",
    "export": "a plan for other programs: Chakra traces, GraphML, Mermaid",
    "explain": "what a diagnostic's code means",
    "fit": "a device's calibration from measurements",
    "fmt": "a plan in canonical text",
    "launch": "the flags with which an engine runs a strategy",
    "rules": "every code that a diagnostic can have",
    "memory": "what each GPU holds, and what would still fit",
    "models": "the models that dagc knows, and config.json files",
    "watch": "a page that follows a plan while it is written",
    "validate": "measured cases beside what is predicted of them",
    "search": "the best strategies for a model on a cluster",
    "read": "the strategies that a flat notation such as `tp 8, dp 8` can mean",
    "whatif": "what each parameter does to each figure, and break-even points",
}
"""Name of each command, which is that of its module and of the click command in it, and its one-line help."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, or None."""
        if cmd_name not in COMMANDS:
            return None
        return getattr(import_module(f"dagc.cli.{cmd_name}"), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, so that help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


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
