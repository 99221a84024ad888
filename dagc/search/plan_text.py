"""A plan and the best strategy of its search become the text of a plan that states both.

Blocks are copied as they were written, comments included. Two things change, each at the place that the syntax tree
gives for it: the batch, where another one was searched, and the paths of files, which start at the directory of the
plan that is read and have to start at the one that is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dagc.diag.diagnostic import Edit
from dagc.search.incumbents import PricedStrategy
from dagc.syntax.tree import Block, Entry, Value, Word

LEFT_OUT = frozenset({"claims"})
"""Blocks that say something of the strategies that were given, not of the one that was found."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Blocks of a plan, those of options, which win, and the directories of the plans that are read and written."""

    blocks: tuple[Block, ...]
    overrides: tuple[Block, ...]
    read: Path
    written: Path


def plan_text(origin: Origin, best: PricedStrategy | None, batch: int) -> str:
    """A plan of these blocks and the best strategy alone, or without one; `batch` is the one that the blocks state."""
    blocks = {block.keyword: block for block in (*origin.blocks, *origin.overrides) if block.keyword not in LEFT_OUT}
    edits = {keyword: list(_moved(block, origin)) for keyword, block in blocks.items()}
    missing: list[str] = []
    if best and best.batch != batch:
        workload = blocks.get("workload")
        if workload and workload.body:
            edits["workload"].append(with_batch(workload, best.batch))
        else:
            blocks.pop("workload", None)
            missing.append(f"workload {{ batch {best.batch} }}")
    texts = [block_text(block, edits[keyword], origin) for keyword, block in blocks.items()]
    return "\n".join([*texts, *missing, *(["", f"strategy best = {best.strategy}"] if best else []), ""])


def with_batch(workload: Block, batch: int) -> Edit:
    """The edit that gives a workload, which has fields, another batch, or concurrency."""
    fields: Sequence[Entry] = list(workload.body or ())
    given = next((field for field in fields if field.name in ("batch", "concurrency")), None)
    if given is None:
        start = fields[0].span.start
        name = "concurrency" if any(field.name in ("rate", "trace") for field in fields) else "batch"
        return Edit(workload.span.source.span(start, start), f"{name} {batch}    ")
    return Edit(given.values[0].span.to(given.values[-1].span), str(batch))


def _moved(block: Block, origin: Origin) -> Iterator[Edit]:
    """The edits that make paths in a block start where the plan is written."""
    for word in _paths(block):
        if not Path(word.text).is_absolute():
            path = os.path.relpath((origin.read / word.text).absolute(), origin.written.absolute())
            yield Edit(word.span, f'"{Path(path).as_posix()}"')


def _paths(block: Block) -> Iterator[Word]:
    """The names of files in a block: a model's configuration, a device's calibration, a trace of requests."""
    if block.keyword == "model":
        yield from (one for one in _words(block.head[:1]) if one.quoted or one.text.endswith(".json"))
    for field in _fields(block.body or ()):
        if field.name in ("calibration", "trace", "lengths"):
            yield from _words(field.values)


def _words(values: Iterable[Value]) -> Iterator[Word]:
    return (value for value in values if isinstance(value, Word))


def _fields(body: Iterable[Entry]) -> Iterator[Entry]:
    for field in body:
        yield field
        yield from _fields(field.body or ())


def block_text(block: Block, edits: Iterable[Edit], origin: Origin) -> str:
    """The text of a block after edits. An option's has no keyword, and may have its fields without braces."""
    source, text, place = block.span.source, "", block.span.start
    for edit in sorted(edits, key=lambda edit: edit.span.start):
        text += source.text[place : edit.span.start] + edit.replacement
        place = edit.span.end
    text += source.text[place : block.span.end]
    if block not in origin.overrides:
        return text
    is_bare = block.body is not None and not block.head and not text.startswith("{")
    return f"{block.keyword} {{ {text} }}" if is_bare else f"{block.keyword} {text}"
