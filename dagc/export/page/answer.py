"""The answer first: does it fit, how fast is it, what bounds it, are requirements and claims met.

Turns a summary into tiles, bars and tables; it computes nothing that is not in the summary.
"""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from dagc.export.page.markup import joined, tag, ticked
from dagc.report.memory_text import holding_most
from dagc.report.summary import Claim, CriticalPath, Memory, Phase, Requirement, Serving, Summary, Throughput
from dagc.report.text import handover_text, limit_text, serving_lines
from dagc.report.token_time import bound_text, cause
from dagc.report.ttft import title_of
from dagc.units import format_bytes, format_count, format_money, format_seconds, format_share

_MARKS = {True: ("✓", "met"), False: ("✗", "missed"), None: ("?", "open")}
_BASES = {"claims": "by the other claims ", "requirement": "against the requirement: "}


def answer(summary: Summary) -> Markup:
    """Tiles, what bounds each phase, requirements and claims, and what is not known."""
    return joined(
        (
            tag("div", _tiles(summary), class_="tiles"),
            _room(summary.memory) if summary.memory else None,
            _bounds(summary),
            _serving(summary.serving) if summary.serving else None,
            _verdicts("Requirements", "required", summary.requirements),
            _verdicts("Claims", "claimed", summary.claims),
            _undetermined(summary),
        )
    )


def _tiles(summary: Summary) -> Iterator[Markup]:
    yield _tile("GPUs", f"{summary.gpus:,}", _gpus(summary))
    yield _memory(summary.memory) if summary.memory else _tile("memory", "?", "undetermined")
    if summary.phases:
        prefill, decode = summary.phases.prefill, summary.phases.decode
        ttft = title_of(summary.phases.ttft_definition)
        yield _tile(ttft, format_seconds(prefill.seconds), _time(prefill, prefill.bound), _state(summary, "ttft"))
        bound = cause(summary.serving, decode.bound) if summary.serving else decode.bound
        yield _tile("TPOT", format_seconds(decode.seconds), _time(decode, bound), _state(summary, "tpot"))
    else:
        yield _tile("TTFT and TPOT", "?", "undetermined")
    if summary.throughput:
        yield _throughput(summary.throughput, _state(summary, "throughput"))
    if summary.cost:
        tokens = summary.cost.usd_per_million_output_tokens
        cost = f"{format_money(tokens)} per million output tokens" if tokens is not None else "tokens undetermined"
        yield _tile("cost per hour", format_money(summary.cost.usd_per_hour), cost)


def _state(summary: Summary, name: str) -> str:
    """How the requirements of a name are met, all of them together."""
    found = [row.ok for row in summary.requirements if row.name == name]
    return "bad" if False in found else "good" if True in found else ""


def _gpus(summary: Summary) -> str:
    shape = [(summary.replicas, "replica"), (summary.stages, "stage")]
    if summary.replicas is None or summary.stages is None:
        return " + ".join(f"{pool.gpus:,} {pool.name}" for pool in summary.pools)
    return " × ".join(f"{count:,} {noun}{'s' * (count != 1)}" for count, noun in shape if count)


def _tile(name: str, value: str, told: object, state: str = "", extra: object = None) -> Markup:
    number, _, unit = value.partition(" ") if value[0].isdigit() else (value, "", "")
    figure = tag("p", number, tag("small", f" {unit}") if unit else None, class_="figure")
    return tag("div", tag("h3", name), figure, extra, tag("p", told, class_="told"), class_=f"tile {state}".rstrip())


def _memory(memory: Memory) -> Markup:
    held, whole = format_bytes(memory.per_rank_max_bytes), format_bytes(memory.capacity_bytes)
    meter = tag("svg", _meter(memory.share), class_="meter", viewBox="0 0 100 6", preserveAspectRatio="none")
    told = f"{held} of {whole}, {format_share(memory.share)} of the fullest GPU"
    if memory.requests_at_once is not None and memory.fits:
        told += f"; {memory.requests_at_once:,} concurrent requests, the others queue"
    name, state = ("fits", "good") if memory.fits else ("does not fit", "bad")
    return _tile("memory", name, told, state, meter)


def _room(memory: Memory) -> Markup | None:
    """The GPU that holds most, where it is not the fullest, and what would still fit."""
    capacity = [pool.kv_capacity_tokens for pool in memory.pools if pool.kv_capacity_tokens is not None]
    most = holding_most(memory)
    facts = [most] if most else []
    facts += [f"KV-cache capacity {min(capacity):,} tokens"] if capacity else []
    if memory.limits and memory.limits.batch is not None:
        facts.append(f"largest batch {memory.limits.batch:,} sequences")
    if memory.limits and memory.limits.context is not None:
        facts.append(f"longest context {memory.limits.context:,} tokens")
    return tag("p", f"Memory: {', '.join(facts)}.", class_="hint") if facts else None


def _serving(serving: Serving) -> Markup | None:
    lines = serving_lines(serving)
    return joined((tag("h3", "Serving"), tag("ul", (tag("li", line) for line in lines)))) if lines else None


def _meter(share: float) -> Markup:
    filled = tag("rect", width=min(share, 1.0) * 100, height=6, class_="full" if share <= 1 else "over")
    return joined((tag("rect", width=100, height=6, class_="empty"), filled))


def _time(phase: Phase, bound: str) -> str:
    return f"± {phase.error_share * 100:.0f} %, {bound_text(bound)}"


def _throughput(rates: Throughput, state: str) -> Markup:
    per_gpu = f"{format_count(rates.output_tokens_per_second_per_gpu)} tokens/s/GPU"
    limit = "" if rates.limited_by == "both" else f", limited by {limit_text(rates.limited_by)}"
    rate = format_count(rates.output_tokens_per_second)
    number, _, prefix = rate.partition(" ")
    return _tile("output tokens/s", f"{number} {prefix}".rstrip(), per_gpu + limit, state)


def _bounds(summary: Summary) -> Markup | None:
    if summary.phases is None:
        return None
    phases = (("prefill", summary.phases.prefill), ("decode step", summary.phases.decode))
    rows = (
        tag("tr", tag("th", name, scope="row"), tag("td", _bar(phase.critical_path)), tag("td", _passes(name, phase)))
        for name, phase in phases
    )
    handover = summary.phases.handover_seconds
    one = summary.phases.transfer_seconds
    moved = None
    if handover is not None:
        moved = tag("p", f"KV-cache transfer: {handover_text(handover, one)}.", class_="hint")
    return joined((tag("h3", "Bottlenecks"), tag("table", rows, class_="bounds"), moved))


def _passes(name: str, phase: Phase) -> str:
    many = f"{phase.micro_batches} micro-batch{'es' if phase.micro_batches > 1 else ''}"
    step = f"; single-step latency {format_seconds(phase.latency_seconds)}" if name == "decode step" else ""
    return f"{many}{step}"


def _bar(path: CriticalPath) -> Markup:
    """A bar of shares; each part names itself, and where it is too narrow its title does."""
    shares = (
        ("compute", path.compute_share),
        ("memory", path.memory_share),
        ("communication", path.communication_share),
        ("bubble", path.bubble_share),
    )
    parts = (
        tag("span", f"{format_share(share)} {name}", class_=f"part {name}", style=f"flex:{share:.4f} 1 0",
            title=f"{format_share(share)} {name}")
        for name, share in shares if share > 0
    )  # fmt: skip
    return tag("div", parts, class_="shares")


def _verdicts(title: str, column: str, rows: list[Requirement] | list[Claim]) -> Markup | None:
    if not rows:
        return None
    head = tag("tr", (tag("th", name, scope="col") for name in ("", title.lower()[:-1], column, "actual", "why")))
    return joined(
        (tag("h3", title), tag("table", tag("thead", head), tag("tbody", map(_verdict, rows)), class_="verdicts"))
    )


def _verdict(row: Requirement | Claim) -> Markup:
    mark, state = _MARKS[row.ok]
    stated = row.required if isinstance(row, Requirement) else row.claimed
    basis = "" if isinstance(row, Requirement) else _BASES.get(row.basis, "")
    actual = row.actual or ("undetermined" if row.ok is None else "–")
    return tag(
        "tr",
        tag("td", tag("span", mark, role="img", aria_label=state), class_=f"mark {state}"),
        tag("th", row.name, scope="row"),
        (tag("td", ticked(text)) for text in (stated, actual, basis + row.reason)),
    )


def _undetermined(summary: Summary) -> Markup | None:
    causes: dict[tuple[str, ...], list[str]] = {}
    for row in summary.undetermined:
        causes.setdefault(tuple(row.missing), []).append(row.what)
    items = (tag("li", f"{', '.join(what)}: not stated: {', '.join(missing)}") for missing, what in causes.items())
    return joined((tag("h3", "Undetermined"), tag("ul", items))) if causes else None
