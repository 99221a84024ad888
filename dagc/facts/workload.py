"""A `workload` block becomes a workload; each field that is missing takes its documented default.

Defaults are 128 sequences over the whole deployment, prompts of 1,024 tokens, 128 output tokens, uniform routing and
prefill chunks of 8,192 tokens: a small load that shows a plan's shape, not a benchmark. Without a `block` the cache is
in blocks of the engine's size, 16 tokens without an engine. Skewed routing is written `routing zipf EXPONENT`, with
`seed NUMBER` behind it for another draw than that of seed 0. `concurrency` in place of `batch` says that requests come
and go; `rate`, `cached` and `draft` say how they arrive, what of a prompt is known, and how many tokens are guessed
ahead. `rate` without `concurrency` is an open loop: nothing limits how many are in flight.

Lengths vary in a range (`prompt 820 to 1024`), as in a file (`lengths "FILE"`), or with the arrivals of a trace file
(`trace "FILE"`); all figures that are not simulated use their means, in whole tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dagc.diag.diagnostic import Code, Diagnostic, Label
from dagc.diag.fixing import remove
from dagc.facts.fields import BAD_VALUE, BlockFields, Field, FieldKind, read_fields
from dagc.plan.workload import OPEN, RequestTrace, Workload
from dagc.source import Span
from dagc.syntax.tree import Block
from dagc.units import Dimension

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

WORKLOAD_HEAD = Code("N136", "workload-head")

DEFAULT = Workload(batch=128, prompt=1024, output=128)
"""The workload of a plan that states none."""

_MOST_TOKENS = 10**8
"""Largest prompt, output or chunk: past any model's context, and small enough for exact arithmetic."""

_MOST_BLOCK = 2**20

_MOST_REQUESTS = 10**7
_UPPER = (Field("to", maximum=_MOST_TOKENS, sample="1024"),)

FIELDS = (
    Field("batch", maximum=10**9, misnomers=("sequences", "batch_size")),
    Field("concurrency", maximum=10**6, misnomers=("in_flight", "max_num_seqs", "max_concurrency")),
    Field("prompt", maximum=_MOST_TOKENS, then=_UPPER, misnomers=("input", "isl", "prompt_length", "context")),
    Field("output", maximum=_MOST_TOKENS, then=_UPPER, misnomers=("osl", "output_length", "generate")),
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
    Field("burstiness", FieldKind.QUANTITY, Dimension.COUNT, sample="0.5", misnomers=("gamma", "shape")),
    Field("trace", FieldKind.NAME, sample='"requests.csv"', misnomers=("trace_file", "dataset")),
    Field("lengths", FieldKind.NAME, sample='"requests.csv"', misnomers=("length_distribution",)),
    Field("requests", maximum=_MOST_REQUESTS, sample="2000", misnomers=("num_prompts", "num_requests")),
    Field("warmup", maximum=_MOST_REQUESTS, minimum=0, sample="100", misnomers=("num_warmups", "warm_up")),
    Field("seed", minimum=0, maximum=2**32 - 1, sample="7", misnomers=("random_seed",)),
)

_LENGTHS = ("prompt", "output")
_OF_LOOPS = ("rate", "concurrency", "trace")
"""Fields of which one at least says that requests come and go."""


def declare_workload(
    block: Block | None, base_directory: Path = Path()
) -> tuple[Workload | None, tuple[Diagnostic, ...]]:
    """The workload of a block, or the default without one; None when a field of it is wrong.

    `base_directory` is where the path of a trace starts: the plan's directory.
    """
    if block is None:
        return DEFAULT, ()
    record, problems = read_fields(block.body or (), FIELDS, "workload")
    if block.head:
        problems = (_head(block), *problems)
    problems = (*problems, *_draw(record), *_together(record), *_loop(record), *_varying(record))
    if problems:
        return None, problems
    traces = {name: _read(record, name, base_directory) for name in ("trace", "lengths")}
    wrong = tuple(one for one in traces.values() if isinstance(one, Diagnostic))
    if wrong:
        return None, wrong
    trace, lengths = (one if isinstance(one, RequestTrace) else None for one in traces.values())
    return _workload(record, trace, lengths), ()


def _read(record: BlockFields, name: str, base_directory: Path) -> RequestTrace | Diagnostic | None:
    file = record.word(name)
    if file is None:
        return None
    from dagc.facts.trace_file import read_trace

    return read_trace(base_directory / file, file, record.fields[name].span, has_arrivals=name == "trace")


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
            help=("write `routing uniform`, or `routing zipf 1 seed 7`; the seed of arrivals has a line of its own",),
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
    if ("draft" in record) != ("accept" in record):
        yield BAD_VALUE.at(
            record.fields["draft" if "draft" in record else "accept"].span,
            "`draft` needs an acceptance rate", "the other is not stated",
            help=("write `draft 3    accept 70 %`",),
        )  # fmt: skip


def _loop(record: BlockFields) -> Iterator[Diagnostic]:
    """How requests arrive: a static batch has no arrivals, a trace has its own."""
    for name in ("rate", "trace"):
        if name in record and "batch" in record:
            yield _excluded(record, name, "batch", "all sequences of a static batch start together",
                            "leave `batch` out, or write `concurrency` to limit the requests in flight")  # fmt: skip
    if "trace" in record and "rate" in record:
        yield _excluded(record, "rate", "trace", "a trace has its own arrivals",
                        "leave `rate` out, or take lengths alone from the file: `lengths \"FILE\"`")  # fmt: skip
    if "burstiness" in record and "rate" not in record:
        yield BAD_VALUE.at(
            record.fields["burstiness"].span, "`burstiness` is that of arrivals at a rate", "no `rate` is stated",
            help=("write `rate 2 requests/s    burstiness 0.5`",),
        )  # fmt: skip
    requests, warmup = record.count("requests"), record.count("warmup")
    if requests is not None and warmup is not None and warmup >= requests:
        yield BAD_VALUE.at(
            record.fields["warmup"].span, f"`warmup` leaves none of {requests:,} requests", "no request is left",
            help=(f"write a number below {requests:,}",),
        )  # fmt: skip


def _varying(record: BlockFields) -> Iterator[Diagnostic]:
    """Lengths come from one place, and a range does not fall."""
    for name in _LENGTHS:
        low, high = record.count(name), record.count(f"{name}_to")
        if low is not None and high is not None and high < low:
            yield BAD_VALUE.at(
                record.fields[f"{name}_to"].span, f"the range of `{name}` ends below its start", f"less than {low:,}",
                help=(f"write `{name} {high} to {low}`",),
            )  # fmt: skip
    for file in ("trace", "lengths"):
        for name in (*_LENGTHS, *(("lengths",) if file == "trace" else ())):
            if file in record and name in record:
                yield _excluded(record, name, file, f"lengths come from the file of `{file}`",
                                f"leave `{name}` out, or `{file}`")  # fmt: skip


def _excluded(record: BlockFields, name: str, other: str, why: str, help: str) -> Diagnostic:
    return BAD_VALUE.at(
        record.fields[name].span,
        f"`{name}` and `{other}` exclude each other: {why}",
        "one too many",
        labels=(Label(record.fields[other].span, "the other one"),),
        help=(help,),
    )


def _workload(record: BlockFields, trace: RequestTrace | None, lengths: RequestTrace | None) -> Workload:
    is_open = "concurrency" not in record and any(name in record for name in _OF_LOOPS)
    concurrency = OPEN if is_open else record.count("concurrency")
    prompts, outputs = (_range(record, name) for name in _LENGTHS)
    drawn = trace or lengths
    return Workload(
        batch=concurrency or record.count("batch") or DEFAULT.batch,
        prompt=_mean(drawn.prompt) if drawn else _middle(prompts) or record.count("prompt") or DEFAULT.prompt,
        output=_mean(drawn.output) if drawn else _middle(outputs) or record.count("output") or DEFAULT.output,
        routing=record.word("routing") or DEFAULT.routing,
        chunk=record.count("chunk") or DEFAULT.chunk,
        zipf_exponent=record.number("routing_zipf") or DEFAULT.zipf_exponent,
        seed=record.count("routing_seed") or DEFAULT.seed,
        block=record.count("block"),
        concurrency=concurrency,
        cached=record.number("cached") or 0.0,
        requests_per_second=trace.requests_per_second if trace else record.number("rate"),
        drafted=record.count("draft") or 0,
        acceptance=record.number("accept") or 0.0,
        is_open=is_open,
        prompt_range=prompts,
        output_range=outputs,
        lengths=lengths,
        trace=trace,
        burstiness=record.number("burstiness") or 1.0,
        requests=record.count("requests"),
        warmup=record.count("warmup") or 0,
        arrival_seed=record.count("seed") or 0,
        spans=_spans(record),
    )


def _range(record: BlockFields, name: str) -> tuple[int, int] | None:
    """Bounds of a length; None where it is stated without a range, or not at all."""
    low, high = record.count(name), record.count(f"{name}_to")
    return None if low is None or high is None else (low, high)


def _middle(bounds: tuple[int, int] | None) -> int | None:
    """The mean of a uniform distribution, rounded up to whole tokens."""
    return None if bounds is None else (bounds[0] + bounds[1] + 1) // 2


def _mean(tokens: npt.NDArray[np.int32]) -> int:
    return round(float(tokens.mean()))
