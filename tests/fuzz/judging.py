"""Runs a command on one case in this process, and says what is wrong with the result.

Wrong is: an exception; an exit status that no command has; a warning of Python or numpy; a verifier's diagnostic; an
error of the language without its place; JSON, SVG or a manifest that cannot be read; NaN; control characters; files
that a run left half-written; more processor time than `SECONDS`; two runs that differ.
"""

from __future__ import annotations

import json
import os
import re
import signal
import traceback
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, NoReturn
from unicodedata import category
from unittest.mock import patch
from xml.etree import ElementTree

from click.testing import CliRunner, Result

from dagc.cli.main import main
from tests.fuzz.cases import Case

SECONDS = 60
"""Processor time that one input may take."""

PATIENCE = 4
"""Times as long may it take by the clock, where it waits or other processes work for it."""

_ERROR = re.compile(r"^(error|warning)\[([A-Z]\d+)\]", re.MULTILINE)
_ARROW = re.compile(r"^ *--> ", re.MULTILINE)
_PLACELESS = "X"
"""Families of codes about what is outside of any text: files, disks, memory."""

_NUMBER_LOST = re.compile(r"(?<!--request-rate )(?<![\w.\\-])-?(?:nan|NaN|inf|Infinity)(?![\w-])")
"""Behind a backslash an `n` is the escape of a line break; a client of benchmarks has `inf` for no rate."""


class TooLong(BaseException):
    """The input took more processor time than it may. No `except Exception` catches it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, with a key that is the same for the same defect."""

    key: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one case came to: `seen` is the same for cases that reach the same diagnostics."""

    seen: tuple[str, ...]
    finding: Finding | None


def judge(case: Case, twice: bool = False) -> Outcome:
    """Run a case, and a second time where asked to compare."""
    result, published, finding = _run(case)
    codes = sorted({code for _, code in _ERROR.findall(result.stderr + result.stdout)}) if result else []
    seen = (case.command, str(result.exit_code if result else None), *codes)
    if finding is None and result is not None and twice and case.command not in ("watch", "search"):
        again, anew, _ = _run(case)
        if again is None or (again.output, anew) != (result.output, published):
            finding = Finding(f"{case.command}: two runs differ", result.output[:2000])
    return Outcome(seen, finding)


def _run(case: Case) -> tuple[Result | None, dict[str, str], Finding | None]:
    """The result, the hashes of the files it published, and what is wrong with them."""
    home = Path.cwd()
    with TemporaryDirectory(prefix="dagc-fuzz-") as scratch:
        # A name that is the same in every run: a command may print it.
        directory = Path(scratch) / "work"
        directory.mkdir()
        case.lay(directory)
        os.chdir(directory)
        try:
            with _limited(), _watched_once():
                result = CliRunner().invoke(main, list(case.argv), input=case.stdin, color=True, prog_name="dagc")
            made = {
                str(path.relative_to(directory)): path for path in sorted(directory.rglob("*"))
                if path.is_file() and path.name not in case.files
            }  # fmt: skip
            hashes = {name: sha256(path.read_bytes()).hexdigest() for name, path in made.items()}
            return result, hashes, next(_wrong(case, result, made), None)
        except TooLong as problem:
            return None, {}, Finding(f"{case.command}: over {SECONDS} s in {_place(problem.__traceback__)}", "")
        finally:
            os.chdir(home)


@contextmanager
def _limited() -> Generator[None]:
    def stop(*_: object) -> NoReturn:
        raise TooLong

    timers = {signal.ITIMER_PROF: (signal.SIGPROF, SECONDS), signal.ITIMER_REAL: (signal.SIGALRM, PATIENCE * SECONDS)}
    before = {number: signal.signal(number, stop) for number, _ in timers.values()}
    for timer, (_, seconds) in timers.items():
        signal.setitimer(timer, seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ResourceWarning)
            yield
    finally:
        for timer, (number, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@contextmanager
def _watched_once() -> Generator[None]:
    """`dagc watch` ends where it would wait for a change."""
    with patch("dagc.watch.changes.wait", side_effect=KeyboardInterrupt):
        yield


def _wrong(case: Case, result: Result, made: dict[str, Path]) -> Iterator[Finding]:
    name = case.command
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        shown = "".join(traceback.format_exception(result.exception))
        kind = type(result.exception).__name__
        trace = result.exc_info[2] if result.exc_info else None
        yield Finding(f"{name}: {kind} in {_place(trace)}", shown[-6000:])
    if result.exit_code not in (0, 1, 2):
        yield Finding(f"{name}: exit status {result.exit_code}", result.output[-2000:])
    if result.exit_code and not result.output.strip():
        yield Finding(f"{name}: exit status {result.exit_code} without a word", "")
    yield from _wrong_text(case, result)
    is_document = ("--format", "json") in pairwise(case.argv) and not result.stdout.startswith("Usage:")
    if is_document and result.exit_code == 0 and result.stdout.strip():
        yield from _unreadable(name, "standard output", result.stdout.encode(), ".json")
    for file, path in made.items():
        if ".dagc-" in file or path.name.startswith("."):
            yield Finding(f"{name}: left {path.suffix}", file)
        yield from _unreadable(name, path.name, path.read_bytes(), path.suffix)
        if path.name == "manifest.json":
            yield from _mismatches(name, path)


def _wrong_text(case: Case, result: Result) -> Iterator[Finding]:
    # `fmt`, the fixes of `check` and their diff print the text of a plan as it is; usage has tabs.
    prints_plans = case.command == "fmt" or {"--fix", "--unsafe-fixes", "--diff"} & set(case.argv)
    is_plain = not prints_plans and not result.stderr.startswith("Usage:")
    for stream in (result.stdout, result.stderr) if is_plain else ():
        if moved := next((char for char in stream if char != "\n" and category(char) in ("Cc", "Cf")), None):
            yield Finding(f"{case.command}: prints U+{ord(moved):04X}", stream[:2000])
    for block in result.stderr.split("\n\n"):
        found = _ERROR.match(block)
        if found and found[2][0] == "V":
            yield Finding(f"{case.command}: verifier {found[2]}", block)
        if found and found[1] == "error" and found[2][0] not in _PLACELESS and not _ARROW.search(block):
            yield Finding(f"{case.command}: {found[2]} without its place", block)
    files = (content.decode("utf-8", "replace") for content in (*case.files.values(), case.stdin))
    given = " ".join((*case.argv, *files))
    if not _NUMBER_LOST.search(given) and (lost := _NUMBER_LOST.search(result.stdout)):
        around = result.stdout[max(0, lost.start() - 500) : lost.end() + 200]
        yield Finding(f"{case.command}: prints {lost[0]}", around)


def _unreadable(command: str, file: str, content: bytes, suffix: str) -> Iterator[Finding]:
    """Files whose format says what they hold."""
    try:
        match suffix:
            case ".json":
                json.loads(content, parse_constant=_refuse)
            case ".svg":
                ElementTree.fromstring(content)
            case _:
                pass
    except (ValueError, ElementTree.ParseError, RecursionError) as problem:
        yield Finding(f"{command}: unreadable {file}", f"{problem}\n{content[:2000]!r}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _mismatches(command: str, manifest: Path) -> Iterator[Finding]:
    document: Any = json.loads(manifest.read_bytes())
    for listed in document["outputs"].values():
        for name, entry in listed.items():
            if sha256((manifest.parent / name).read_bytes()).hexdigest() != entry["sha256"]:
                yield Finding(f"{command}: {name} is not what the manifest says", "")


def _place(trace: TracebackType | None) -> str:
    """The innermost frame in the project, else the innermost."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(trace)]
    own = [(file, line) for file, line in frames if "/dagc/" in file and "/tests/" not in file] or frames
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else "?"
