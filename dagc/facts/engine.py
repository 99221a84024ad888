"""An `engine` block becomes one version of a serving engine: `engine vllm`, or `engine vllm { version "0.11.0" }`.

Without a version it is the newest that is encoded. The other fields are limits of its scheduler, by the names of the
engine's own flags: `engine vllm { max_num_seqs 512 }`.
"""

from __future__ import annotations

from dataclasses import replace

from dagc.catalog.presets import unknown_name
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.engines.engine import Engine
from dagc.engines.registry import engine_names, find_engine, find_version, versions
from dagc.engines.scheduler import SchedulerLimit
from dagc.facts.fields import Field, FieldKind, read_fields
from dagc.syntax.tree import Block, Word

ENGINE_HEAD = Code("N140", "engine-head")
ENGINE_VERSION = Code("N141", "engine-version")

_MOST = 10**8
FIELDS = (Field("version", FieldKind.NAME, sample='"0.12.0"'),)


def declare_engine(block: Block) -> tuple[Engine | None, tuple[Diagnostic, ...]]:
    """The engine of a block; None with the diagnostics when something in it is wrong."""
    name = block.head[0] if len(block.head) == 1 else None
    if not isinstance(name, Word):
        return None, (_head(block),)
    newest = find_engine(name.text)
    if newest is None:
        return None, (unknown_name(name.span, "engine", engine_names()),)
    limits = tuple(newest.scheduler.limits())
    record, problems = read_fields(block.body or (), (*FIELDS, *map(_field, limits)), "engine")
    version = record.word("version")
    engine = newest if version is None else find_version(newest.name, version)
    if version is not None and engine is None:
        return None, (*problems, _version(newest, version, block))
    if problems or engine is None:
        return None, problems
    given = tuple((limit.option, int(record.scalars()[limit.option])) for limit in limits if limit.option in record)
    return replace(engine, scheduler=replace(engine.scheduler, given=given)) if given else engine, ()


def _field(limit: SchedulerLimit) -> Field:
    return Field(limit.option, FieldKind.FLAG if limit.is_switch else FieldKind.COUNT, maximum=_MOST)


def _head(block: Block) -> Diagnostic:
    return ENGINE_HEAD.at(
        block.head[1].span if len(block.head) > 1 else block.span,
        "an `engine` block names one engine",
        "unexpected here" if len(block.head) > 1 else "no engine is named",
        help=(f"write `engine NAME`, with a name of {', '.join(engine_names())}",),
    )


def _version(engine: Engine, version: str, block: Block) -> Diagnostic:
    place = next((entry.span for entry in block.body or () if entry.name == "version"), block.span)
    return ENGINE_VERSION.at(
        place,
        f"dagc has no rules for {engine.title} {version}",
        "unknown version",
        notes=(f"known versions: {', '.join(one.version for one in versions(engine.name))}",),
        help=(f"leave `version` out for {engine.version}, or name one of these",),
    )
