"""A `workload` block becomes a workload; each field that is missing takes its documented default.

Defaults are 128 sequences over the whole deployment, prompts of 1,024 tokens, 128 output tokens, uniform routing and
prefill chunks of 8,192 tokens: a small load that shows a plan's shape, not a benchmark. Without a `block` the cache is
in blocks of the engine's size, 16 tokens without an engine. Skewed routing is written `routing zipf EXPONENT`, with
`seed NUMBER` behind it for another draw than that of seed 0. `concurrency` in place of `batch` says that requests come
and go; `rate`, `cached` and `draft` say how they arrive, what of a prompt is known, and how many tokens are guessed
ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.diag.fixing import remove
from dagc.facts.fields import BAD_VALUE, BlockFields, Field, FieldKind, read_fields
from dagc.plan.workload import Workload
from dagc.source import Span
from dagc.syntax.tree import Block
from dagc.units import Dimension

WORKLOAD_HEAD = Code("N136", "workload-head")

DEFAULT = Workload(batch=128, prompt=1024, output=128)
"""The workload of a plan that states none."""

_MOST_TOKENS = 10**8
"""Largest prompt, output or chunk: past any model's context, and small enough for exact arithmetic."""

_MOST_BLOCK = 2**20

FIELDS = (
    Field("batch", maximum=10**9, misnomers=("sequences", "requests", "batch_size")),
    Field("concurrency", maximum=10**6, misnomers=("in_flight", "max_num_seqs")),
    Field("prompt", maximum=_MOST_TOKENS, misnomers=("input", "isl", "prompt_length", "context")),
    Field("output", maximum=_MOST_TOKENS, misnomers=("osl", "output_length", "generate")),
    Field(
        "routing",
        FieldKind.CHOICE,
        words=("uniform", "zipf"),
        then=(
            Field("zipf", FieldKind.QUANTITY, Dimension.COUNT, may_be_zero=True, sample="1"),
            Field("seed", minimum=0, sample="7"),
        ),
    ),
    Field("chunk", maximum=_MOST_TOKENS, misnomers=("chunked_prefill", "max_tokens")),
    Field("block", maximum=_MOST_BLOCK, misnomers=("block_size", "page", "page_size", "tokens_per_block")),
    Field("cached", FieldKind.QUANTITY, Dimension.SHARE, may_be_zero=True, sample="50 %", misnomers=("prefix_cache",)),
    Field("rate", FieldKind.QUANTITY, Dimension.REQUEST_RATE, misnomers=("arrivals", "request_rate", "qps")),
    Field("draft", maximum=64, sample="3", misnomers=("speculate", "speculative", "mtp")),
    Field("accept", FieldKind.QUANTITY, Dimension.SHARE, may_be_zero=True, sample="70 %", misnomers=("acceptance",)),
)


def declare_workload(block: Block | None) -> tuple[Workload | None, tuple[Diagnostic, ...]]:
    """The workload of a block, or the default without one; None when a field of it is wrong."""
    if block is None:
        return DEFAULT, ()
    record, problems = read_fields(block.body or (), FIELDS, "workload")
    if block.head:
        problems = (_head(block), *problems)
    problems = (*problems, *_draw(record), *_together(record))
    return (None if problems else _workload(record)), problems


def _head(block: Block) -> Diagnostic:
    return WORKLOAD_HEAD.at(
        block.head[0].span,
        "a `workload` block has no name",
        "unexpected here",
        help=("write `workload { batch 128    prompt 1024    output 128 }`",),
        fixes=remove(block.head[0].span.to(block.head[-1].span), safe=True),
    )


def _spans(record: BlockFields) -> Mapping[str, Span]:
    """Span of each field; a concurrency is the batch of whatever asks for its span."""
    spans = record.spans()
    return {"batch": spans["concurrency"], **spans} if "concurrency" in spans else spans


def _draw(record: BlockFields) -> tuple[Diagnostic, ...]:
    """What goes on after `uniform`: nothing there is drawn."""
    parts = [record.fields[name] for name in ("routing_zipf", "routing_seed") if name in record]
    if record.word("routing") != "uniform" or not parts:
        return ()
    return (
        BAD_VALUE.at(
            parts[0].span, "uniform routing has no exponent and no seed", "has no effect with `uniform`",
            help=("write `routing uniform`, or `routing zipf 1 seed 7`",),
        ),
    )  # fmt: skip


def _together(record: BlockFields) -> Iterator[Diagnostic]:
    """Fields that need each other, or do not go together."""
    if "batch" in record and "concurrency" in record:
        yield BAD_VALUE.at(
            record.fields["batch"].span, "a workload is a static batch or a concurrency, not both", "one too many",
            labels=(Label(record.fields["concurrency"].span, "requests in flight"),),
            help=("keep `batch` for a static batch, `concurrency` for continuous batching",),
        )  # fmt: skip
    if "rate" in record and "concurrency" not in record:
        yield BAD_VALUE.at(
            record.fields["rate"].span, "an arrival rate needs the number of requests that may be in flight",
            "no `concurrency` is stated", help=("write `concurrency 64    rate 2 requests/s`",),
        )  # fmt: skip
    if ("draft" in record) != ("accept" in record):
        yield BAD_VALUE.at(
            record.fields["draft" if "draft" in record else "accept"].span,
            "`draft` needs an acceptance rate", "the other is not stated",
            help=("write `draft 3    accept 70 %`",),
        )  # fmt: skip


def _workload(record: BlockFields) -> Workload:
    concurrency = record.count("concurrency")
    return Workload(
        batch=concurrency or record.count("batch") or DEFAULT.batch,
        prompt=record.count("prompt") or DEFAULT.prompt,
        output=record.count("output") or DEFAULT.output,
        routing=record.word("routing") or DEFAULT.routing,
        chunk=record.count("chunk") or DEFAULT.chunk,
        zipf_exponent=record.number("routing_zipf") or DEFAULT.zipf_exponent,
        seed=record.count("routing_seed") or DEFAULT.seed,
        block=record.count("block"),
        concurrency=concurrency,
        cached=record.number("cached") or 0.0,
        requests_per_second=record.number("rate"),
        drafted=record.count("draft") or 0,
        acceptance=record.number("accept") or 0.0,
        spans=_spans(record),
    )
