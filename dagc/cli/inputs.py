"""What the commands take: a plan file, `-`, or `-e STRATEGY`, with blocks given as options.

Turns command-line arguments into sources. A file that cannot be read as text becomes a diagnostic; so does a
command line that names no plan or two. A plan whose text was fixed or formatted is written back the same way.
"""

from __future__ import annotations

import difflib
import errno
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dagc.cli import completing
from dagc.cli.printing import finish
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.levels import AdviceLevel
from dagc.source import MOST_PLAN_BYTES, Source, read_file

if TYPE_CHECKING:
    from dagc.catalog.serving_results import ServingResult

CANNOT_READ = Code("X001", "cannot-read-file")
IS_A_DIRECTORY = Code("X002", "is-a-directory")
NOT_TEXT = Code("X003", "file-not-text")
TOO_LARGE = Code("X004", "file-too-large")

BLOCKS = ("model", "cluster", "workload", "require", "engine", "rules")
"""Blocks that an option of the same name may give."""

_OPTIONS: Mapping[str, tuple[str, str, completing.Completer | None]] = {
    "model": ("MODEL", "Model: --model deepseek-v3, --model config.json.", completing.models),
    "cluster": ("CLUSTER", "Cluster: --cluster 'h100-sxm x 64'.", completing.devices),
    "workload": ("WORKLOAD", "Workload: --workload 'batch 128 prompt 1024 output 256'.", None),
    "require": ("REQUIREMENTS", "Requirements: --require 'ttft <= 2 s tpot <= 50 ms'.", None),
    "engine": ("ENGINE", "Engine whose rules apply: --engine vllm, --engine vllm@0.11.0.", completing.engines),
    "rules": ("RULES", "Levels of warnings: --rules 'deny W124 allow W129'.", None),
}
"""Of each block: metavariable, what to type, completion. An option replaces the block of the plan."""

LEVELS = {
    "allow": "Silence warnings, by code or name: --allow W101,W124.",
    "warn": "Turn on warnings that are off by default: --warn W201.",
    "deny": "Report warnings as errors: --deny W124.",
}
"""Options that give advice a level, and their help."""

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Input:
    """A plan's text, the name of its output directory, the directory its paths start from, blocks and levels by option.

    `path` is where the text can be written back: None for what came by `-e` or standard input.
    """

    source: Source
    title: str
    directory: Path
    blocks: tuple[tuple[str, Source], ...] = ()
    levels: tuple[tuple[AdviceLevel, Source], ...] = ()
    path: Path | None = None


def plan_arguments(function: Command) -> Command:
    """Add PLAN, `-e`, the block options and those of levels to a command."""
    function = block_options(function)
    function = click.option(
        "-e", "expression", metavar="STRATEGY", help="A strategy in place of a file: -e 'pp 4 < ep 16 ; tp 2 >'."
    )(function)
    return click.argument("plan", required=False, metavar="[PLAN]", shell_complete=completing.files)(function)


def block_options(function: Command) -> Command:
    """Add the options that give blocks, and those of levels, to a command."""
    for name, help_text in reversed(LEVELS.items()):
        function = click.option(
            f"--{name}", multiple=True, metavar="CODE", help=help_text, shell_complete=completing.codes
        )(function)
    for name in reversed(BLOCKS):
        metavar, help_text, completer = _OPTIONS[name]
        function = click.option(f"--{name}", metavar=metavar, help=help_text, shell_complete=completer)(function)
    return function


def read_input(
    plan: str | None, expression: str | None, options: Mapping[str, str | tuple[str, ...] | None]
) -> Input | Diagnostic:
    """The input that the arguments name, or why there is none; `options` are those of `plan_arguments`."""
    if (plan is None) == (expression is None):
        raise click.UsageError("give one plan: a file, `-` for standard input, or `-e STRATEGY`")
    read = _read(plan, expression)
    return read if isinstance(read, Diagnostic) else replace(read, blocks=_blocks(options), levels=_levels(options))


def required_input(
    plan: str | None, expression: str | None, options: Mapping[str, str | tuple[str, ...] | None]
) -> Input:
    """The input that the arguments name; where there is none, the reason is printed and the command ends."""
    read = read_input(plan, expression, options)
    if isinstance(read, Diagnostic):
        finish((read,))
    return read


def asked(title: str, options: Mapping[str, str | tuple[str, ...] | None]) -> Input:
    """The input of options alone, `--model` among them: a plan of one block, which other options complete."""
    model, *rest = _blocks(options)
    source = Source("--model", f"model {model[1].text}\n")
    return Input(source, title, Path(), tuple(rest), _levels(options))


def _read(plan: str | None, expression: str | None) -> Input | Diagnostic:
    if expression is not None:
        return Input(Source("-e", expression), "expression", Path())
    if plan == "-":
        text = _read_stdin()
        return text if isinstance(text, Diagnostic) else Input(Source("<stdin>", text), "stdin", Path())
    path = Path(str(plan))
    text = read_text(path)
    return text if isinstance(text, Diagnostic) else Input(Source(str(path), text), path.stem, path.parent, path=path)


def _read_stdin() -> str | Diagnostic:
    """The text of standard input. There is none where the process was started with it closed."""
    try:
        content = sys.stdin.buffer.read(MOST_PLAN_BYTES + 1) if sys.stdin else None
    except OSError:
        content = None
    if content is None:
        return CANNOT_READ.at(
            None, "cannot read standard input: it is closed", help=("name a file, or pipe a plan in",)
        )
    return _decode(content, "<stdin>")


def _blocks(options: Mapping[str, str | tuple[str, ...] | None]) -> tuple[tuple[str, Source], ...]:
    given = ((name, options.get(name)) for name in BLOCKS)
    return tuple((name, Source(f"--{name}", _block_text(name, text))) for name, text in given if isinstance(text, str))


def _levels(options: Mapping[str, str | tuple[str, ...] | None]) -> tuple[tuple[AdviceLevel, Source], ...]:
    given = ((name, text) for name in LEVELS for text in options.get(name) or ())
    return tuple((AdviceLevel(name), Source(f"--{name}", text)) for name, text in given)


def _block_text(name: str, text: str) -> str:
    """What an option becomes in a plan: `vllm@0.11.0` is an engine with its version."""
    engine, sign, version = text.partition("@")
    return f'{engine} {{ version "{version}" }}' if name == "engine" and sign else text


MOST_RESULT_BYTES = 1 << 28
"""Bytes of a result of a search at most."""


def read_result(path: Path) -> Source | Diagnostic:
    """The result of a search in a file, or why it cannot be had."""
    text = read_text(path, MOST_RESULT_BYTES)
    return text if isinstance(text, Diagnostic) else Source(str(path), text)


def read_text(path: Path, most_bytes: int = MOST_PLAN_BYTES) -> str | Diagnostic:
    """Text of a file, or why it cannot be had."""
    content = read_bytes(path, most_bytes)
    return content if isinstance(content, Diagnostic) else _decode(content, str(path), most_bytes)


def read_bytes(path: Path, most_bytes: int) -> bytes | Diagnostic:
    """Content of a file, or why it cannot be had."""
    try:
        return read_file(path, most_bytes)
    except IsADirectoryError:
        plans = sorted(str(child) for child in path.glob("*.moe"))[:3]
        advice = f"name a file in it, e.g. `{plans[0]}`" if plans else "name a plan file"
        return IS_A_DIRECTORY.at(None, f"`{path}` is a directory, not a plan", help=(advice,))
    except (OSError, ValueError) as problem:
        return _unread(path, problem, most_bytes)


def given_results(paths: Iterable[Path]) -> tuple[list[ServingResult], tuple[Diagnostic, ...]]:
    """Results of serving benchmarks in files, and what is wrong with others."""
    from dagc.catalog.serving_results import MOST_RESULT_BYTES, read_results

    found: list[ServingResult] = []
    problems: list[Diagnostic] = []
    for path in paths:
        text = read_text(path, MOST_RESULT_BYTES)
        read, wrong = ((), (text,)) if isinstance(text, Diagnostic) else read_results(Source(str(path), text))
        found.extend(read)
        problems.extend(wrong)
    return found, tuple(problems)


def _unread(path: Path, problem: OSError | ValueError, most_bytes: int) -> Diagnostic:
    number = problem.errno if isinstance(problem, OSError) else None
    if number == errno.EFBIG:
        return _too_large(str(path), most_bytes)
    reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    advice = "check the path and its permissions"
    if number == errno.EINVAL:
        advice = "name a file with the same text; a plan can be piped in too, as `-`"
    return CANNOT_READ.at(None, f"cannot read `{path}`: {reason}", help=(advice,))


def _too_large(name: str, most_bytes: int) -> Diagnostic:
    what, usual = ("a plan", "some kilobytes") if most_bytes == MOST_PLAN_BYTES else ("such a file", "some megabytes")
    return TOO_LARGE.at(
        None,
        f"`{name}` is larger than {most_bytes:,} bytes, the most that {what} may have",
        help=(f"{what} is a text of {usual}: is this the right file?",),
    )


def _decode(content: bytes, name: str, most_bytes: int = MOST_PLAN_BYTES) -> str | Diagnostic:
    if len(content) > most_bytes:
        return _too_large(name, most_bytes)
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        return NOT_TEXT.at(
            None,
            f"`{name}` is not text: byte {problem.start:,} is 0x{content[problem.start]:02x}, which is not UTF-8",
            help=("a plan is UTF-8 text: is this the right file?",),
        )


def show_diff(given: Input, text: str) -> None:
    """Print the change as a unified diff; nothing where there is none."""
    name = given.source.name
    before, after = (part.splitlines(keepends=True) for part in (given.source.text, text))
    for line in difflib.unified_diff(before, after, name, name):
        end = "" if line.endswith("\n") else "\n\\ No newline at end of file\n"
        click.echo(f"{line}{end}", nl=False)


def write_back(given: Input, text: str) -> tuple[Diagnostic, ...]:
    """Rewrite the plan's file whole or not at all, in its own line ends; what came from elsewhere is printed."""
    if given.path is None:
        click.echo(text, nl=not text.endswith("\n"))
        return ()
    if text == given.source.text:
        return ()
    from dagc.export.write import write_file

    return write_file(given.path, _encoded(text, given.path.read_bytes()))


def _encoded(text: str, original: bytes) -> bytes:
    """The text as the file had it: with its byte order mark and its line ends."""
    mark = b"\xef\xbb\xbf" if original.startswith(b"\xef\xbb\xbf") else b""
    has_returns = 0 < original.count(b"\r\n") == original.count(b"\n")
    return mark + (text.replace("\n", "\r\n") if has_returns else text).encode()
