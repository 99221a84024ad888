"""What was priced, in a file: a search that was stopped continues from there.

JSON lines: the first says of which problem, each further one holds a strategy, a batch and its verdict. Lines are added
as verdicts come, so that a search that is killed loses at most the last one, which is then cut short and not counted.
The problem is known by a key of its content: facts that are the same have the same key, wherever they were written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.files import replace_file
from dagc.search.incumbents import Named
from dagc.search.verdict import Judged, StrategyVerdict
from dagc.source import Span

DAMAGED = Code("X501", "bad-search-file")
FOREIGN = Code("X502", "search-of-another-problem")
UNUSABLE = Code("X506", "cannot-use-search-file")
NOT_RECORDED = Code("X507", "search-not-recorded")


@dataclass(slots=True)
class Checkpoint:
    """Verdicts that are known, and the file that they go to."""

    path: Path | None = None
    known: dict[Named, StrategyVerdict] = field(default_factory=dict[Named, StrategyVerdict])
    failure: Diagnostic | None = None

    def add(self, found: Sequence[tuple[Named, StrategyVerdict]]) -> None:
        """Keep verdicts, in the file too. Where that fails the search goes on without it; `failure` says why."""
        self.known.update(found)
        if self.path is None or self.failure is not None:
            return
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.writelines(json.dumps([*named, asdict(verdict)]) + "\n" for named, verdict in found)
        except OSError as problem:
            self.failure = NOT_RECORDED.at(
                None,
                f"cannot write `{self.path}`: {_reason(problem)}",
                notes=("the search continued; strategies priced from then on are not recorded",),
                help=("free some space, or name a file on another disk",),
            )


def begin(path: Path, key: str) -> Checkpoint | Diagnostic:
    """The record in a file, or a new one where there is none."""
    try:
        return _begin(path, key)
    except OSError as problem:
        help = ("name a file that can be read and written, on a disk with space",)
        return UNUSABLE.at(None, f"cannot use the search record `{path}`: {_reason(problem)}", help=help)


def _reason(problem: OSError) -> str:
    return (problem.strerror or str(problem)).lower()


def _begin(path: Path, key: str) -> Checkpoint | Diagnostic:
    if path.exists() and not path.is_file():
        return UNUSABLE.at(None, f"cannot use the search record `{path}`: not a regular file", help=("name a file",))
    if not path.exists() or path.stat().st_size == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, f"{json.dumps({'dagc_search': 1, 'problem': key})}\n".encode())
        return Checkpoint(path)
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    try:
        head, *lines = [json.loads(line) for line in whole.splitlines()]
        if head["problem"] != key:
            return _foreign(path)
        known = dict(map(_read, lines))
    except (ValueError, KeyError, TypeError, RecursionError):
        return _damaged(path)
    if len(whole) < len(text):
        os.truncate(path, len(whole))
    return Checkpoint(path, known)


def _read(line: Any) -> tuple[Named, StrategyVerdict]:
    strategy, batch, verdict = line
    judged = tuple(Judged(**one) for one in verdict["requirements"])
    figures = tuple((str(name), value) for name, value in verdict["figures"])
    return (str(strategy), int(batch)), StrategyVerdict(verdict["code"], verdict["memory_share"], figures, judged)


def _damaged(path: Path) -> Diagnostic:
    return DAMAGED.at(
        None,
        f"`{path}` is not a search record, or it is damaged",
        help=("name a file that `dagc search --resume` wrote, or one that does not exist yet",),
    )


def _foreign(path: Path) -> Diagnostic:
    return FOREIGN.at(
        None,
        f"`{path}` is the record of another search",
        notes=("model, cluster, workload, requirements, engine and the version of dagc have to be the same",),
        help=("name another file; the search then starts again",),
    )


def content_key(*parts: object) -> str:
    """The SHA-256 of what the parts hold, in hexadecimal."""
    digest = sha256()
    for token in _tokens(parts):
        digest.update(token.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _tokens(value: Any) -> Iterable[str]:
    if isinstance(value, Span) or value is None:
        yield "-"
    elif isinstance(value, Enum):
        yield str(value.value)
    elif is_dataclass(value):
        yield type(value).__name__
        for one in fields(value):
            if one.name not in ("span", "spans"):
                yield one.name
                yield from _tokens(getattr(value, one.name))
    elif isinstance(value, Mapping):
        yield "{"
        for key, held in cast("Mapping[Any, Any]", value).items():
            yield from (*_tokens(key), *_tokens(held))
        yield "}"
    elif isinstance(value, tuple | list | frozenset | set):
        yield "["
        items = cast("Iterable[Any]", value)
        for item in sorted(items, key=str) if isinstance(value, frozenset | set) else items:
            yield from _tokens(item)
        yield "]"
    else:
        yield repr(value)
