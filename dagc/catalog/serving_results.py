"""Results of serving benchmarks, in the files that the tools write: the load that was run, and what was measured.

| tool | file |
|---|---|
| `vllm bench serve --save-result` | JSON, one object or one a line |
| `sglang.bench_serving --output-file` | JSON lines |
| `trtllm-bench throughput --report_json` | JSON |
| `aiperf profile`, `genai-perf profile` | JSON or CSV |

Fields are those of vllm-project/vllm @ 009e6d4a vllm/benchmarks/serve.py, sgl-project/sglang
python/sglang/bench_serving.py, NVIDIA/TensorRT-LLM @ 02499765 tensorrt_llm/bench/dataclasses/reporting.py and
ai-dynamo/aiperf @ 309c4e8c src/aiperf/exporters/.

Times become seconds. TPOT is of a request, (end-to-end - TTFT) / (output - 1), which aiperf calls inter-token latency;
ITL is the gap between two chunks of a stream. What a file leaves out, or has as 0 because nothing was streamed, is not
a figure. Where it says nothing of the load, requests in flight are rate x latency (Little's law).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan
from typing import Any, cast

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.source import Source, Span

BAD_RESULTS = Code("X421", "bad-serving-results")

MOST_RESULT_BYTES = 64 << 20
"""Largest file that is read: results of each of 100,000 requests have some ten megabytes."""

STATISTICS = ("mean", "median", "p90", "p95", "p99")
TIMES = ("ttft", "tpot", "itl", "e2e")
RATES = ("requests_per_second", "output_tokens_per_second", "total_tokens_per_second")
FIGURES = (*(f"{statistic}_{time}" for time in TIMES for statistic in STATISTICS), *RATES)
"""Names of what may be measured: seconds, then requests or tokens a second."""

_MOST = 1e15
_HELP = "`dagc explain X421` lists the files that are read"


@dataclass(frozen=True, slots=True)
class ServingResult:
    """One run of a benchmark. `prompt` and `output` are mean tokens of the `requests` that were answered.

    At most `concurrency` were in flight, None without a limit; they were sent at `rate` a second, None as fast as that
    limit lets them. `is_inferred`: the file says nothing of the load, and the number in flight follows from what was
    measured. `lengths` are (prompt, output) of each request, where the file has them, `ranges` (least, most) of both
    where they were drawn evenly. `figures` are by the names of `FIGURES`, in SI units.
    """

    tool: str
    place: Span
    model: str
    requests: int
    failed: int
    concurrency: int | None
    rate: float | None
    is_inferred: bool
    prompt: float
    output: float
    figures: Mapping[str, float]
    ranges: tuple[tuple[int, int], tuple[int, int]] | None = None
    lengths: tuple[tuple[int, int], ...] | None = None

    @property
    def name(self) -> str:
        """File and line."""
        source = self.place.source
        return f"{source.name}:{source.position(self.place.start)[0]}"


class _WrongError(ValueError):
    """What is wrong with a file at a place of its text, and where: offsets, or none."""

    def __init__(self, reason: str, start: int, end: int) -> None:
        super().__init__(reason)
        self.start, self.end = start, end


def read_results(source: Source) -> tuple[tuple[ServingResult, ...], tuple[Diagnostic, ...]]:
    """Every run of a file, and what is wrong with others."""
    found: list[ServingResult] = []
    problems: list[Diagnostic] = []
    records = _records(source) if source.text.lstrip()[:1] in ("{", "[") else _tables(source)
    while True:
        try:
            record = next(records, None)
            if record is None:
                break
            found.append(_result(record))
        except _WrongError as wrong:
            place = source.span(wrong.start, max(wrong.end, wrong.start))
            problems.append(BAD_RESULTS.at(place, str(wrong), "in this file", help=(_HELP,)))
    if not found and not problems:
        place = source.span(0, 0)
        problems.append(BAD_RESULTS.at(place, "the file has no results", "nothing here", help=(_HELP,)))
    return tuple(found), tuple(problems)


@dataclass(frozen=True, slots=True)
class _Record:
    """An object of the file, and where its text begins and ends."""

    source: Source
    data: Mapping[str, Any]
    start: int
    end: int

    def wrong(self, key: str, reason: str) -> _WrongError:
        """At the key, where it is in the text."""
        at = self.source.text.find(f'"{key}"', self.start, self.end) if key else -1
        return _WrongError(reason, self.start, self.start) if at < 0 else _WrongError(reason, at, at + len(key) + 2)

    def part(self, key: str) -> _Record:
        """An object inside it, empty where there is none."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise self.wrong(key, f"`{key}` is not an object")
        at = max(self.source.text.find(f'"{key}"', self.start, self.end), self.start)
        return _Record(self.source, cast("Mapping[str, Any]", value or {}), at, self.end)

    def number(self, key: str, most: float = _MOST) -> float | None:
        """A number that is not negative; None where it is missing or null."""
        value = self.data.get(key)
        if value is None:
            return None
        text = isinstance(value, str) and value.strip().replace(",", "")
        try:
            number = float(text or value)
        except (TypeError, ValueError, OverflowError):
            number = -1.0
        if isinstance(value, bool) or isnan(number) or not 0 <= number <= most:
            raise self.wrong(key, f"`{key}` is `{str(value)[:40]}`: a number that is not negative is needed")
        return number

    def needed(self, key: str) -> float:
        """A number above 0. Raises what is wrong where there is none."""
        number = self.number(key)
        if not number:
            raise self.wrong(key, f"`{key}` is {'missing' if number is None else 'not above 0'}")
        return number

    def count(self, key: str) -> int | None:
        """A whole number above 0; None where it is missing, null or 0."""
        number = self.number(key)
        if number is not None and number != number // 1:
            raise self.wrong(key, f"`{key}` is `{self.data[key]}`: a whole number is needed")
        return int(number) if number else None

    def word(self, key: str) -> str:
        """A text, empty where there is none."""
        value = self.data.get(key)
        return value if isinstance(value, str) else ""


def _records(source: Source) -> Iterator[_Record]:
    """Each object of a JSON text: alone, one after the other, or in a list."""
    decoder, text, at = json.JSONDecoder(), source.text, 0
    while at < len(text):
        if text[at].isspace() or text[at] == ",":
            at += 1
            continue
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as reason:
            place = reason.pos if isinstance(reason, json.JSONDecodeError) else at
            what = reason.msg if isinstance(reason, json.JSONDecodeError) else "numbers or nesting without an end"
            raise _WrongError(f"this is not JSON: {what}", min(place, len(text)), min(place + 1, len(text))) from None
        for one in cast("Sequence[Any]", value if isinstance(value, list) else [value]):
            if not isinstance(one, Mapping):
                raise _WrongError("a result is a JSON object", at, min(end, at + 1))
            yield _Record(source, cast("Mapping[str, Any]", one), at, end)
        at = end


def _tables(source: Source) -> Iterator[_Record]:
    """The CSV of aiperf: a table of statistics, and one of single values, as the JSON has them."""
    lines = source.text.splitlines()
    head = lines[0].strip().lower() if lines else ""
    if not head.startswith("metric,"):
        if head.startswith("id,kind,"):
            raise _WrongError("this is a table of measured cases: `dagc validate --cases FILE`", 0, len(lines[0]))
        raise _WrongError("this is neither JSON nor the CSV of aiperf", 0, len(lines[0]) if lines else 0)
    csv.field_size_limit(max(csv.field_size_limit(), len(source.text)))
    data: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    for row in csv.reader(lines):
        if row and row[0].strip().lower() == "metric":
            columns = [cell.strip().lower() for cell in row[1:]]
        elif row and columns:
            title, _, unit = row[0].partition(" (")
            cells = {name: cell for name, cell in zip(columns, row[1:], strict=False) if cell.strip()}
            values = {"avg" if name == "value" else name: cell for name, cell in cells.items()}
            data[title.strip().lower().replace(" ", "_")] = {**values, "unit": unit.rstrip(")")}
    yield _Record(source, data, 0, len(source.text))


def _result(record: _Record) -> ServingResult:
    data = record.data
    if "request_info" in data and "performance" in data:
        return _trtllm(record)
    if any(isinstance(data.get(key), Mapping) for key in ("time_to_first_token", "request_latency")):
        return _aiperf(record)
    if "completed" in data and "duration" in data:
        return _client(record)
    raise record.wrong("", "these are no results of vllm bench, sglang.bench_serving, trtllm-bench or aiperf")


def _client(record: _Record) -> ServingResult:
    """A result of `vllm bench serve` or of `sglang.bench_serving`, which began as a copy of it."""
    is_sglang = "mean_e2e_latency_ms" in record.data or "random_range_ratio" in record.data
    requests, seconds = record.count("completed"), record.needed("duration")
    if requests is None:
        raise record.wrong("completed", "no request was answered")
    asked = record.count("num_prompts") or requests
    prompt = record.needed("total_input_tokens") / requests
    output = record.needed("total_output_tokens") / requests
    rate = record.number("request_rate", inf)
    rate = rate if rate and isfinite(rate) else None
    concurrency = record.count("max_concurrency") or (None if rate else asked)
    names = {"e2e": ("e2e_latency", "e2el")}
    figures = {
        f"{statistic}_{time}": value / 1e3
        for time in TIMES
        for statistic in STATISTICS
        for name in names.get(time, (time,))
        if (value := record.number(f"{statistic}_{name}_ms"))
    }
    figures |= {
        "requests_per_second": requests / seconds,
        "output_tokens_per_second": output * requests / seconds,
        "total_tokens_per_second": (prompt + output) * requests / seconds,
    }
    return ServingResult(
        tool="sglang.bench_serving" if is_sglang else "vllm bench serve",
        place=record.source.span(record.start, record.end),
        model=record.word("model_id"),
        requests=requests,
        failed=max(record.count("failed") or 0, asked - requests),
        concurrency=concurrency,
        rate=rate,
        is_inferred=False,
        prompt=prompt,
        output=output,
        figures=figures,
        ranges=_ranges(record, prompt, output),
        lengths=_lengths(record),
    )


def _ranges(record: _Record, prompt: float, output: float) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """From which lengths sglang's random data set draws evenly, where the means are those of such a draw."""
    share = record.number("random_range_ratio")
    most = record.count("random_input_len"), record.count("random_output_len")
    if share is None or share > 1 or most[0] is None or most[1] is None or record.word("dataset_name") == "sharegpt":
        return None
    lowest = [max(1, int(one * share)) for one in (most[0], most[1])]
    means = [(low + high) / 2 for low, high in zip(lowest, (most[0], most[1]), strict=True)]
    is_such = all(abs(a / b - 1) < 0.1 for a, b in zip(means, (prompt, output), strict=True))
    return ((lowest[0], most[0]), (lowest[1], most[1])) if is_such else None


def _lengths(record: _Record) -> tuple[tuple[int, int], ...] | None:
    """Lengths of each answered request, as `--save-detailed` and `--output-details` have them."""
    columns = record.data.get("input_lens"), record.data.get("output_lens")
    if not all(isinstance(one, list) for one in columns):
        return None
    pairs = list(zip(*cast("tuple[list[Any], list[Any]]", columns), strict=False))
    if not all(isinstance(one, int) and 0 <= one < 10**8 for pair in pairs for one in pair):
        raise record.wrong("output_lens", "`input_lens` and `output_lens` are lists of whole numbers of tokens")
    answered = tuple((into, out) for into, out in pairs if into > 0 and out > 0)
    return answered or None


def _trtllm(record: _Record) -> ServingResult:
    """A report of `trtllm-bench`. It has the mean number of requests in flight, and no limit of them."""
    asked, whole, streamed = (record.part(one) for one in ("request_info", "performance", "streaming_metrics"))
    requests = asked.count("num_requests")
    if requests is None:
        raise asked.wrong("num_requests", "no request was answered")
    figures = _percentiles(streamed.part("ttft_percentiles"), "ttft", streamed.number("avg_ttft_ms"))
    figures |= _percentiles(streamed.part("tpot_percentiles"), "tpot", streamed.number("avg_tpot_ms"))
    latency = whole.part("request_latency_percentiles_ms")
    figures |= _percentiles(latency, "e2e", whole.number("avg_request_latency_ms"))
    keys = ("request_throughput_req_s", "system_output_throughput_tok_s", "system_total_throughput_tok_s")
    figures |= {name: value for name, key in zip(RATES, keys, strict=True) if (value := whole.number(key))}
    return ServingResult(
        tool="trtllm-bench",
        place=record.source.span(record.start, record.end),
        model=record.part("engine").word("model"),
        requests=requests,
        failed=0,
        concurrency=max(1, round(asked.needed("avg_num_concurrent_requests"))),
        rate=None,
        is_inferred=True,
        prompt=asked.needed("avg_input_length"),
        output=asked.needed("avg_output_length"),
        figures=figures,
    )


def _percentiles(part: _Record, time: str, mean: float | None) -> dict[str, float]:
    """Statistics in milliseconds, by `p50` and the like, in seconds."""
    keys = {"median": "p50", "p90": "p90", "p95": "p95", "p99": "p99"}
    values = {"mean": mean, **{statistic: part.number(key) for statistic, key in keys.items()}}
    return {f"{statistic}_{time}": value / 1e3 for statistic, value in values.items() if value}


_UNITS = {"ms": 1e-3, "sec": 1.0, "s": 1.0, "us": 1e-6, "ns": 1e-9, "": 1e-3}


def _aiperf(record: _Record) -> ServingResult:
    """A result of aiperf or genai-perf; its CSV says nothing of the load."""
    figures: dict[str, float] = {}
    tags = {"ttft": "time_to_first_token", "tpot": "inter_token_latency", "e2e": "request_latency"}
    for time, tag in tags.items():
        part = record.part(tag)
        unit = part.word("unit")
        if unit not in _UNITS:
            raise part.wrong("unit", f"`{tag}` is in `{unit}`, which is no unit of time here")
        found = _percentiles(part, time, part.number("avg"))
        figures |= {name: value * 1e3 * _UNITS[unit] for name, value in found.items()}
    rates = ("request_throughput", "output_token_throughput", "total_token_throughput")
    figures |= {
        name: value for name, tag in zip(RATES, rates, strict=True) if (value := record.part(tag).number("avg"))
    }
    prompt, output = (record.part(f"{one}_sequence_length").needed("avg") for one in ("input", "output"))
    given, loads = record.data.get("input_config"), {"concurrency": 0.0, "request_rate": 0.0}
    for key in loads:
        loads[key] = next(_nested(given, key), 0.0)
    in_flight = figures.get("requests_per_second", 0.0) * figures.get("mean_e2e", 0.0)
    concurrency = int(loads["concurrency"]) or (None if loads["request_rate"] else round(in_flight))
    if concurrency == 0:
        raise record.wrong("", "neither a concurrency nor a throughput with a latency says how many were in flight")
    return ServingResult(
        tool="aiperf",
        place=record.source.span(record.start, record.end),
        model=next((one for one in _nested_words(given) if one), ""),
        requests=int(record.part("request_count").number("avg") or 0) or max(1, concurrency or 1) * 10,
        failed=int(record.part("error_request_count").number("avg") or 0),
        concurrency=concurrency,
        rate=loads["request_rate"] or None,
        is_inferred=not any(loads.values()),
        prompt=prompt,
        output=output,
        figures=figures,
    )


def _nested(value: Any, key: str, depth: int = 8) -> Iterator[float]:
    """Numbers above 0 under a key, however deep."""
    if isinstance(value, Mapping) and depth:
        for name, inner in cast("Mapping[str, Any]", value).items():
            if name == key and isinstance(inner, int | float) and not isinstance(inner, bool) and 0 < inner < 1e9:
                yield float(inner)
            yield from _nested(inner, key, depth - 1)


def _nested_words(value: Any) -> Iterator[str]:
    """The first of `model_names`."""
    if isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, Any]", value).items():
            if name == "model_names" and isinstance(inner, list) and inner:
                yield str(cast("list[Any]", inner)[0])
            yield from _nested_words(inner)
