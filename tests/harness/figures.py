"""Figures as every output names them, and where each output must show them.

A figure has one value, that of `summary.json`. An output is a text or a JSON document of one strategy; its places say
under which words or keys a figure is in it. A place without a number is a complaint, so that a check of an output that
has changed its form cannot pass by finding nothing. Numbers of full precision must be equal, numbers for people equal
once the figure is written as the project writes it.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dagc.results.summary import Summary
from dagc.units import format_bytes, format_count, format_money, format_seconds, format_share

TTFT, TPOT = r"(?:idle-server )?TTFT(?! with| under load| p\d)[^\d·\n]{0,30}?", "TPOT"
"""How outputs call them; words may follow, such as what the time to a first token leaves out."""

TIME = r"[\d.]+ (?:s|ms|us|ns)\b"
BYTES = r"[\d.]+ [KMGTP]?B\b"
COUNT = r"[\d.,]+(?: [KMBT]\b)?"
SHARE = r"[\d.]+ %"
MONEY = r"[\d.]+ USD"

Value = float | str
Read = Callable[[Summary], float | None]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a strategy. `titles` are its names in tables, as a pattern; `read` gives None where it has none."""

    titles: str
    quantity: str
    write: Callable[[float], str]
    read: Read

    def is_shown_by(self, value: Value, summary: Summary) -> bool:
        expected = self.read(summary)
        if expected is None:
            return False
        if isinstance(value, str):
            return " ".join(value.split()) in (self.write(expected), f"{expected:,}")
        return math.isclose(value, expected, rel_tol=1e-12)


def _phase(read: Callable[[Any], float]) -> Read:
    return lambda summary: read(summary.phases) if summary.phases else None


def _serving(read: Callable[[Any], float | None]) -> Read:
    return lambda summary: read(summary.serving) if summary.serving else None


def _memory(read: Callable[[Any], float | None]) -> Read:
    return lambda summary: read(summary.memory) if summary.memory else None


def _rate(read: Callable[[Any], float]) -> Read:
    return lambda summary: read(summary.throughput) if summary.throughput else None


def _cost(read: Callable[[Any], float | None]) -> Read:
    return lambda summary: read(summary.cost) if summary.cost else None


def _load(name: str, percentile: str) -> Read:
    def read(summary: Summary) -> float | None:
        load = summary.load
        return getattr(load, name).percentiles_seconds[percentile] if load and load.holds else None

    return read


def _most(memory: Any) -> float:
    return max(pool.per_rank_max_bytes for pool in memory.pools)


def _beside(serving: Any) -> float:
    """What a decode step has beside what the GPUs do."""
    return serving.host_seconds + serving.draft_seconds


def _beside_step(serving: Any) -> float | None:
    """What TPOT has beside the step that is drawn; None where it has nothing."""
    return _beside(serving) + serving.prompt_steps * serving.prompt_step_seconds or None


def _drawn(phase: str) -> Read:
    """The makespan that pictures of time draw: what the GPUs do, from an idle pipeline."""

    def read(summary: Summary) -> float | None:
        if summary.phases is None or summary.serving is None:
            return None
        if phase == "prefill":
            return summary.phases.prefill.latency_seconds - summary.serving.host_seconds
        return summary.phases.decode.latency_seconds - _beside(summary.serving)

    return read


FIGURES: Mapping[str, Figure] = {
    "gpus": Figure("GPUs", COUNT, str, lambda summary: summary.gpus),
    "memory": Figure("", BYTES, format_bytes, _memory(lambda found: found.per_rank_max_bytes)),
    "most_memory": Figure("memory per GPU|memory", BYTES, format_bytes, _memory(_most)),
    "not_fullest": Figure("", BYTES, format_bytes, _memory(lambda f: None if _most(f) == f.per_rank_max_bytes else 1)),
    "capacity": Figure("", BYTES, format_bytes, _memory(lambda found: found.capacity_bytes)),
    "most_sequences": Figure("", COUNT, str, _memory(lambda found: found.limits.batch)),
    "longest_context": Figure("", COUNT, str, _memory(lambda found: found.limits.context)),
    "ttft": Figure(TTFT + ".*", TIME, format_seconds, _phase(lambda found: found.prefill.seconds)),
    "ttft_mean": Figure("", TIME, format_seconds, lambda one: one.load.ttft.mean_seconds if one.load else None),
    "ttft_p50": Figure("", TIME, format_seconds, _load("ttft", "p50")),
    "ttft_p99": Figure("TTFT under load, p99|TTFT p99", TIME, format_seconds, _load("ttft", "p99")),
    "tpot_p50": Figure("", TIME, format_seconds, _load("tpot", "p50")),
    "tpot_p99": Figure("", TIME, format_seconds, _load("tpot", "p99")),
    "tpot": Figure("TPOT", TIME, format_seconds, _phase(lambda found: found.decode.seconds)),
    "latency": Figure("", TIME, format_seconds, _phase(lambda found: found.decode.latency_seconds)),
    "handover": Figure("", TIME, format_seconds, _phase(lambda found: found.handover_seconds)),
    "step": Figure("", TIME, format_seconds, _serving(lambda found: found.step_seconds)),
    "beside_step": Figure("", TIME, format_seconds, _serving(_beside_step)),
    "drawn_step": Figure("", TIME, format_seconds, _serving(lambda found: found.step_seconds - _beside(found))),
    "drawn_prefill": Figure("", TIME, format_seconds, _drawn("prefill")),
    "drawn_decode": Figure("", TIME, format_seconds, _drawn("decode")),
    "throughput": Figure(
        "output throughput", COUNT, format_count, _rate(lambda found: found.output_tokens_per_second)
    ),
    "throughput_per_gpu": Figure(
        "tokens/s/GPU", COUNT, format_count, _rate(lambda found: found.output_tokens_per_second_per_gpu)
    ),
    **{
        f"{phase}_{share}": Figure(
            f"{share} of {phase}", SHARE, format_share,
            _phase(lambda found, phase=phase, share=share: (
                getattr(getattr(found, phase).critical_path, f"{share}_share")
            )),
        )
        for phase in ("prefill", "decode") for share in ("compute", "memory", "communication", "bubble")
    },
    "prefill_load_balance": Figure(
        "load balance of prefill", SHARE, format_share, _phase(lambda found: found.prefill.load_balance)
    ),
    "decode_load_balance": Figure(
        "load balance of decode", SHARE, format_share, _phase(lambda found: found.decode.load_balance)
    ),
    "cost_per_hour": Figure("cost per hour", MONEY, format_money, _cost(lambda found: found.usd_per_hour)),
    "cost_per_million_output_tokens": Figure(
        "cost per million output tokens", MONEY, format_money, _cost(lambda found: found.usd_per_million_output_tokens)
    ),
}  # fmt: skip
"""Every figure that more than one output shows. Memory is that of the fullest GPU, most memory that of the GPU which
holds most bytes: two figures where devices differ. What is drawn is the GPUs' part of a step, which is not TPOT."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an output shows figures: a pattern whose groups are named for them, found so many times at least.

    `when` is the figure without which the place is not there. A group `memory_2` is another place of `memory`.
    """

    pattern: str
    times: int = 1
    when: str = "gpus"


@dataclass(frozen=True, slots=True)
class Shown:
    """One value that an output shows under the name of a figure, and the words around it."""

    figure: str
    value: Value
    where: str


def in_text(text: str, places: Iterable[Place], summary: Summary) -> Iterator[Shown | str]:
    """What a text shows in its places, and a complaint for each place without it."""
    for place in places:
        if FIGURES[place.when].read(summary) is None:
            continue
        found = list(re.finditer(place.pattern, text, re.MULTILINE))
        if len(found) < place.times:
            yield f"{len(found)} times, not {place.times}: {place.pattern}"
        for one in found:
            for group, value in one.groupdict().items():
                if value is not None:
                    yield Shown(re.sub(r"_\d$", "", group), value, one[0])


def in_table(rows: Mapping[str, Value], wanted: Iterable[str], summary: Summary) -> Iterator[Shown | str]:
    """What a table shows, by the titles of its rows, or a document by its keys."""
    for name in wanted:
        figure = FIGURES[name]
        known = [(key, value) for key, value in rows.items() if key == name or re.fullmatch(figure.titles, key)]
        if figure.read(summary) is None:
            yield from (f"{key}: {value}, and the summary has none" for key, value in known if value not in (None, "-"))
        elif not known:
            yield f"no row of {name}"
        for key, value in known if figure.read(summary) is not None else ():
            text = re.match(figure.quantity, value.removeprefix("* ")) if isinstance(value, str) else None
            if isinstance(value, str) and text is None:
                yield f"{key}: {value!r} is no figure"
            else:
                yield Shown(name, text[0] if text else value, f"{key}: {value}")


def complaints(found: Iterable[Shown | str], summary: Summary) -> list[str]:
    """Places without a number, and numbers that are not the summary's."""
    said: list[str] = []
    for one in found:
        if isinstance(one, str):
            said.append(one)
        elif not FIGURES[one.figure].is_shown_by(one.value, summary):
            expected = FIGURES[one.figure].read(summary)
            said.append(f"{one.figure} is {expected}, shown as {one.value!r} in {one.where!r}")
    return said


def plain(markup: str) -> str:
    """The text of HTML, SVG, DOT or Mermaid: a line for each piece between tags, without empty ones."""
    text = re.sub(r"<style.*?</style>|<script.*?</script>", "", markup, flags=re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]*>|\\[lnr]", "\n", text)).replace("\N{NO-BREAK SPACE}", " ")
    text = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), text)
    return "\n".join(line for line in (" ".join(line.split()) for line in text.splitlines()) if line)
