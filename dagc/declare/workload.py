"""A `workload` block becomes a workload; each field that is missing takes its documented default.

Defaults are 128 sequences over the whole deployment, prompts of 1,024 tokens, 128 output tokens, uniform routing and
prefill chunks of 8,192 tokens: a small load that shows a plan's shape, not a benchmark. Skewed routing is written
`routing zipf EXPONENT`, with `seed NUMBER` behind it for another draw than that of seed 0.
"""

from __future__ import annotations

from dagc.declare.fields import BAD_VALUE, Field, Kind, Record, read_fields
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import remove
from dagc.plan.workload import Workload
from dagc.syntax.tree import Block
from dagc.units import Dimension

WORKLOAD_HEAD = Code("N136", "workload-head")

DEFAULT = Workload(batch=128, prompt=1024, output=128)
"""The workload of a plan that states none."""

_MOST_TOKENS = 10**8
"""Largest prompt, output or chunk: past any model's context, and small enough for exact arithmetic."""

FIELDS = (
    Field("batch", maximum=10**9, misnomers=("sequences", "concurrency", "requests", "batch_size")),
    Field("prompt", maximum=_MOST_TOKENS, misnomers=("input", "isl", "prompt_length", "context")),
    Field("output", maximum=_MOST_TOKENS, misnomers=("osl", "output_length", "generate")),
    Field(
        "routing",
        Kind.CHOICE,
        words=("uniform", "zipf"),
        then=(
            Field("zipf", Kind.QUANTITY, Dimension.COUNT, may_be_zero=True, sample="1"),
            Field("seed", minimum=0, sample="7"),
        ),
    ),
    Field("chunk", maximum=_MOST_TOKENS, misnomers=("chunked_prefill", "max_tokens")),
)


def declare_workload(block: Block | None) -> tuple[Workload | None, tuple[Diagnostic, ...]]:
    """The workload of a block, or the default without one; None when a field of it is wrong."""
    if block is None:
        return DEFAULT, ()
    record, problems = read_fields(block.body or (), FIELDS, "workload")
    if block.head:
        problems = (_head(block), *problems)
    problems = (*problems, *_draw(record))
    return (None if problems else _workload(record)), problems


def _head(block: Block) -> Diagnostic:
    return WORKLOAD_HEAD.at(
        block.head[0].span,
        "a `workload` block has no name",
        "unexpected here",
        help=("write `workload { batch 128    prompt 1024    output 128 }`",),
        fixes=remove(block.head[0].span.to(block.head[-1].span), safe=True),
    )


def _draw(record: Record) -> tuple[Diagnostic, ...]:
    """What goes on after `uniform`: nothing there is drawn."""
    parts = [record.fields[name] for name in ("routing_zipf", "routing_seed") if name in record]
    if record.word("routing") != "uniform" or not parts:
        return ()
    return (
        BAD_VALUE.at(
            parts[0].span, "uniform routing has no exponent and no seed", "says nothing here",
            help=("write `routing uniform`, or `routing zipf 1 seed 7`",),
        ),
    )  # fmt: skip


def _workload(record: Record) -> Workload:
    return Workload(
        batch=record.count("batch") or DEFAULT.batch,
        prompt=record.count("prompt") or DEFAULT.prompt,
        output=record.count("output") or DEFAULT.output,
        routing=record.word("routing") or DEFAULT.routing,
        chunk=record.count("chunk") or DEFAULT.chunk,
        zipf_exponent=record.number("routing_zipf") or DEFAULT.zipf_exponent,
        seed=record.count("routing_seed") or DEFAULT.seed,
        spans=record.spans(),
    )
