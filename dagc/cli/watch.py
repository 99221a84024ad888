"""`dagc watch`: a page that follows a plan while it is written."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagc.cli.inputs import Input, plan_arguments, read_input
from dagc.cli.printing import CLEAN, print_text
from dagc.cli.progress import progress
from dagc.diag.diagnostic import Diagnostic, tally
from dagc.diag.text import escape

if TYPE_CHECKING:
    from dagc.watch.server import Board, WatchServer


@click.command()
@plan_arguments
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="PORT",
              help="Port of the page: --port 8000; default: a free one.")  # fmt: skip
@click.option("--open", "opens_browser", is_flag=True, help="Open the page in a browser.")
def watch(
    plan: str | None, expression: str | None, port: int, opens_browser: bool, **options: str | tuple[str, ...] | None
) -> None:
    """Compile PLAN whenever it is saved, and show its report on a page that follows. Ctrl-C ends it."""
    if expression is not None or plan in (None, "-"):
        raise click.UsageError("name a file: only a file can be watched")
    from dagc.watch.server import Board

    gc.enable()  # unlike other commands, it lives for hours
    board = Board()
    server = _serving(board, str(plan), port)
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    click.echo(f"watching {escape(str(plan))} on {address}  (Ctrl-C ends)")
    if opens_browser:
        click.launch(address)
    try:
        _follow(board, str(plan), options)
    except KeyboardInterrupt:
        click.echo("ended", err=True)
    finally:
        board.close()
        server.shutdown()
    raise SystemExit(CLEAN)


def _serving(board: Board, plan: str, port: int) -> WatchServer:
    from dagc.watch.server import serve

    try:
        return serve(board, plan, port)
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.BadParameter(f"cannot listen on {port}: {reason.lower()}; omit it to use a free one",
                                 param_hint="--port") from error  # fmt: skip


def _follow(board: Board, plan: str, options: dict[str, str | tuple[str, ...] | None]) -> None:
    """Compile, show, and wait for a change, until interrupted."""
    from dagc.watch.changes import state, wait, watched

    while True:
        as_read = state((Path(plan),))
        given = read_input(plan, None, options)
        paths = watched(Path(plan), given.source.text if isinstance(given, Input) else "")
        before = state(paths)
        if before[: len(as_read)] == as_read:
            _show(board, given)
            wait(paths, before)


def _show(board: Board, given: Input | Diagnostic) -> None:
    from dagc.driver.watch import problems, recompile
    from dagc.source import Source

    begun = time.perf_counter()
    if isinstance(given, Diagnostic):
        diagnostics: tuple[Diagnostic, ...] = (given,)
        board.show("cannot be read", problems(Source("plan", ""), diagnostics), ())
    else:
        with progress() as say:
            made = recompile(given.source, given.blocks, given.directory, say, given.levels)
        diagnostics = made.diagnostics
        board.show(_summary(diagnostics, time.perf_counter() - begun), made.problems, made.reports)
    click.echo(f"{time.strftime('%H:%M:%S')} {board.shown.summary}")
    print_text([diagnostic for diagnostic in diagnostics if diagnostic.is_error])


def _summary(diagnostics: tuple[Diagnostic, ...], seconds: float) -> str:
    found = tally(diagnostics) or "no diagnostics"
    return f"compiled in {seconds:.1f} s: {found}"
