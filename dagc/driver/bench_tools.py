"""A plan's workload as the command lines of four benchmarks, each with what it takes differently or cannot take.

What options mean was read in the tools' sources:

| tool | read in |
|---|---|
| `vllm bench serve` | vllm-project/vllm: vllm/benchmarks/serve.py @ 009e6d4a, datasets/datasets.py @ 003cf029 |
| `sglang.bench_serving` | sgl-project/sglang: sglang/benchmark/serving.py @ 00f9ec47, datasets/random.py @ 17481b4e |
| `trtllm-bench` | NVIDIA/TensorRT-LLM: tensorrt_llm/bench/benchmark/throughput.py @ 000a01de, dataset/*.py @ 0c8de69a |
| `aiperf profile` | ai-dynamo/aiperf: aiperf/common/config/*.py @ db4f6397 |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import sqrt
from shlex import quote

from dagc.plan.workload import Workload
from dagc.results.bench import ToolRun

Words = tuple[str, ...]
"""Words of a command that belong on one line."""

_HASHES = "prompts are made of `hash_ids`, which every line of the trace needs"
_SGLANG_PORT = 30000
_PORT = 8000


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: `requests` after `warmup` others, `in_flight` at most (None: no limit), all at once if `is_batch`.

    `path` is that of a file of requests or empty, `engine` that of the plan or empty, `url` that of the server or
    empty, `result` the start of names of files that are written. `trtllm` has the degrees of an instance of
    TensorRT-LLM, or says why there is none.
    """

    model: str
    workload: Workload
    requests: int
    warmup: int
    in_flight: int | None
    is_batch: bool
    path: str
    engine: str
    url: str
    result: str
    trtllm: Mapping[str, int] | str


@dataclass(frozen=True, slots=True)
class _Tool:
    """`figures` are its names of TTFT, TPOT and tokens/s, `longest` that of the longest TTFT, which a batch has.

    `refusals` are reasons why it cannot send a load, each with the field of the plan that it is about; `commands` adds
    what it takes differently to a list.
    """

    title: str
    longest: str
    figures: tuple[str, str, str]
    refusals: Callable[[Load], Iterator[tuple[str, str]]]
    commands: Callable[[Load, list[str]], list[str]]


def tool_run(name: str, load: Load) -> ToolRun:
    """The commands of the tool of that name."""
    tool = _TOOLS[name]
    mean, *others = tool.figures
    figures = [tool.longest if load.is_batch else mean, *others]
    run = ToolRun(tool=name, title=tool.title, figures=figures, commands=[], differs=[])
    for refusal, field in tool.refusals(load):
        return replace(run, refusal=refusal, refused=field)
    differs: list[str] = []
    commands = tool.commands(load, differs)
    return replace(run, commands=commands, differs=[*differs, *_general(load)])


def _vllm(load: Load, differs: list[str]) -> list[str]:
    workload = load.workload
    if workload.trace:
        differs.append(_HASHES)
        # `timestamp` of these traces is in milliseconds, and a hash is of 512 tokens.
        words = ("--dataset-name", "timed_trace", "--dataset-path", load.path, "--self-timed", "--disable-shuffle")
        words += ("--timed-trace-sec-multiplier", "0.001", "--timed-trace-chunk-hash-size", "512")
        lengths: tuple[Words, ...] = (words,)
    else:
        lengths = (("--dataset-name", "random", *_vllm_lengths(workload, differs)),)
    rate: Words = ()
    if not workload.trace:
        rate = ("--request-rate", _rate(workload) or "inf")
        rate += ("--burstiness", f"{workload.burstiness:g}") if workload.burstiness != 1 else ()
    command = (
        ("vllm", "bench", "serve", "--backend", "vllm", "--model", load.model, "--base-url", _url(load, _PORT)),
        *lengths,
        ("--num-prompts", str(load.requests), *_limit("--max-concurrency", load), *rate),
        ("--num-warmups", str(load.warmup), "--seed", str(workload.arrival_seed), "--ignore-eos"),
        ("--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "50,90,95,99,100"),
        ("--save-result", "--result-filename", f"{load.result}-vllm.json"),
    )
    return [_shell(command)]


def _vllm_lengths(workload: Workload, differs: list[str]) -> Words:
    """Lengths are uniform over floor(n (1 - r)) to ceil(n (1 + r)) of a whole n, its 1 - r and 1 + r in floating point.

    A width of n r = d - 1/2 has the bounds n - d and n + d however those are rounded. A range of an even number of
    lengths has no middle: its longest is left out.
    """
    prefix = workload.prefix
    middles: list[int] = []
    ratios: list[float] = []
    for name, (low, high), known in (("prompt", workload.prompt_bounds, prefix), ("output", workload.output_bounds, 0)):
        middle, half = (low + high) // 2 - known, (high - low) // 2
        middles.append(middle)
        ratios.append((half - 0.5) / middle if half else 0.0)
        if (high - low) % 2:
            differs.append(f"{name} {_range((low, high - 1))}: its ranges have a middle, which {low} to {high} has not")
    if prefix and workload.prompt_range:
        differs.append(f"every prompt begins with the same {prefix} tokens, the cached share of the mean prompt")
    common: Words = ("--random-prefix-len", str(prefix)) if prefix else ()
    into, out_of = ratios
    # Two ratios at once are known to newer versions only.
    ratio = f"{into:.6g}" if into == out_of else f'{{"input": {into:.6g}, "output": {out_of:.6g}}}'
    lengths = ("--random-input-len", str(middles[0]), "--random-output-len", str(middles[1]))
    return (*lengths, *common, "--random-range-ratio", "0" if into == out_of == 0 else ratio)


def _sglang(load: Load, differs: list[str]) -> list[str]:
    workload = load.workload
    if workload.trace:
        differs.append(_HASHES)
        lengths: Words = ("--dataset-name", "mooncake", "--dataset-path", load.path, "--use-trace-timestamps")
    else:
        lengths = ("--dataset-name", "random-ids", *_sglang_lengths(workload, differs))
        differs += _poisson(workload)
    rate: Words = () if workload.trace else ("--request-rate", _rate(workload) or "inf")
    backend = "vllm" if load.engine not in ("", "sglang") else "sglang"
    port = _PORT if backend == "vllm" else _SGLANG_PORT
    command = (
        ("python", "-m", "sglang.bench_serving"),
        ("--backend", backend, "--model", load.model, "--base-url", _url(load, port)),
        lengths,
        ("--num-prompts", str(load.requests), *_limit("--max-concurrency", load), *rate),
        ("--warmup-requests", str(load.warmup), "--seed", str(workload.arrival_seed)),
        ("--output-file", f"{load.result}-sglang.jsonl"),
    )
    return [_shell(command)]


def _sglang_lengths(workload: Workload, differs: list[str]) -> Words:
    """Lengths are uniform over int(n r) to n; r is one for prompts and outputs, 0 unless given."""
    (low, high), (shortest, longest) = workload.prompt_bounds, workload.output_bounds
    first, last = max(low / high, shortest / longest), min((low + 1) / high, (shortest + 1) / longest)
    if low == high and shortest == longest:
        ratio = 1.0
    elif first < last:
        ratio = (first + min(last, 1.0)) / 2
    else:
        ratio = min((low + 0.5) / high, 1.0)
        asked, mean = (shortest, longest), (shortest + longest) / 2
        longest = max(1, round(2 * mean / (1 + ratio)))
        shortest = max(1, int(longest * ratio))
        reason = "one ratio of shortest to longest is for prompts and outputs"
        differs.append(f"output {_range((shortest, longest))} in place of {_range(asked)}: {reason}")
    lengths = ("--random-input-len", str(high), "--random-output-len", str(longest))
    return (*lengths, "--random-range-ratio", "1.0" if ratio == 1 else f"{ratio:.8f}")


def _trtllm_refusals(load: Load) -> Iterator[tuple[str, str]]:
    workload = load.workload
    if load.engine not in ("", "trtllm"):
        yield "it runs TensorRT-LLM, and the plan another engine", "strategy"
    if isinstance(load.trtllm, str):
        yield load.trtllm, "strategy"
    if workload.trace or workload.requests_per_second is not None:
        yield "it has no arrivals: a request is sent as another ends", "trace" if workload.trace else "rate"
    yield from _without_prefix(load)


def _trtllm(load: Load, differs: list[str]) -> list[str]:
    workload = load.workload
    data, settings = f"{load.result}-requests.jsonl", f"{load.result}-trtllm.yaml"
    shape: Mapping[str, int] = {} if isinstance(load.trtllm, str) else load.trtllm
    (low, high), (shortest, longest) = workload.prompt_bounds, workload.output_bounds
    ranges = ("--input-min", low, "--input-max", high, "--output-min", shortest, "--output-max", longest)
    made = (
        ("trtllm-bench", "--model", load.model, "prepare-dataset", "--output", data),
        ("--random-seed", str(workload.arrival_seed), "token-unif-dist"),
        ("--num-requests", str(load.requests), *map(str, ranges)),
    )
    degrees = ("--tp", shape.get("tp", 1), "--pp", shape.get("pp", 1), "--ep", shape.get("ep", 1))
    is_spread = bool(shape.get("attention_dp"))
    command = (
        ("trtllm-bench", "--model", load.model, "throughput", "--dataset", data, *map(str, degrees)),
        ("--num_requests", str(load.requests), *_limit("--concurrency", load), "--warmup", str(load.warmup)),
        ("--streaming", "--eos_id", "-1", *(("--extra_llm_api_options", settings) if is_spread else ())),
        ("--report_json", f"{load.result}-trtllm.json"),
    )
    written = [f"printf 'enable_attention_dp: true\\n' > {quote(settings)}"] if is_spread else []
    differs.append("it starts the engine itself, without an HTTP server: TTFT has no share of one")
    return [*written, _shell(made), _shell(command)]


def _aiperf(load: Load, differs: list[str]) -> list[str]:
    workload = load.workload
    sent: tuple[Words, ...]
    if workload.trace:
        # All of a trace is sent, at its times.
        sent = (("--input-file", load.path, "--custom-dataset-type", "mooncake_trace", "--fixed-schedule"),)
        if load.in_flight:
            differs.append("a trace is sent without a limit in flight")
        if load.requests < len(workload.trace):
            differs.append(f"all {len(workload.trace):,} requests of the trace are sent, not {load.requests:,}")
    else:
        arrivals: Words = ()
        if rate := _rate(workload):
            arrivals = ("--request-rate", rate, "--request-rate-mode", "poisson")
            differs += _poisson(workload)
        counts = ("--request-count", str(load.requests), *_limit("--concurrency", load), *arrivals)
        sent = (_aiperf_lengths(workload, differs), counts)
    command = (
        ("aiperf", "profile", "--model", load.model, "--url", _url(load, _PORT)),
        ("--endpoint-type", "completions", "--streaming", "--extra-inputs", "ignore_eos:true"),
        *sent,
        ("--warmup-request-count", str(load.warmup), "--random-seed", str(workload.arrival_seed)),
        ("--artifact-dir", f"{load.result}-aiperf"),
    )
    return [_shell(command)]


def _aiperf_lengths(workload: Workload, differs: list[str]) -> Words:
    """Lengths are normal, the mean of prompts whole; uniform ones of k lengths deviate by sqrt((k^2 - 1) / 12)."""
    words: Words = ()
    prefix = workload.prefix
    named = (("isl", workload.prompt_bounds, prefix), ("osl", workload.output_bounds, 0))
    for name, (low, high), known in named:
        mean = (low + high) / 2 - known
        deviation = sqrt(((high - low + 1) ** 2 - 1) / 12)
        words += (f"--{name}", f"{int(mean)}" if name == "isl" else f"{mean:g}")
        words += (f"--{name}-stddev", f"{deviation:.1f}" if deviation else "0")
        if name == "isl" and mean % 1:
            differs.append(f"the mean prompt is {int(mean)} tokens, not {mean:g}")
    if any(low != high for _, (low, high), _ in named):
        # P(|z| > sqrt 3) = 8.3 %
        differs.append(
            "lengths are normal with the range's mean and deviation: one in twelve lies outside of the range"
        )
    if prefix:
        words += ("--num-prefix-prompts", "1", "--prefix-prompt-length", str(prefix))
    return words


def _of_file(load: Load) -> Iterator[tuple[str, str]]:
    """Why requests of a file cannot be sent: a tool that takes a file takes all of it, and no CSV."""
    if load.workload.lengths is not None:
        yield "it draws no lengths from a file: it takes one as it is", "lengths"
    elif load.workload.trace and not load.workload.trace.is_json:
        yield (
            "of traces it reads JSON lines with `timestamp`, `input_length`, `output_length`, `hash_ids`, not CSV",
            "trace",
        )


def _without_prefix(load: Load) -> Iterator[tuple[str, str]]:
    yield from _of_file(load)
    if load.workload.cached:
        yield "its random prompts have no prefix in common", "cached"


_TOOLS: Mapping[str, _Tool] = {
    # The longest TTFT is percentile 100 of the reported ones.
    "vllm": _Tool(
        "vllm bench serve", "p100_ttft_ms", ("mean_ttft_ms", "mean_tpot_ms", "output_throughput"), _of_file, _vllm
    ),
    "sglang": _Tool(
        "sglang.bench_serving",
        "p99_ttft_ms",
        ("mean_ttft_ms", "mean_tpot_ms", "output_throughput"),
        _without_prefix,
        _sglang,
    ),
    "trtllm-bench": _Tool(
        "trtllm-bench",
        "[TTFT] MAXIMUM",
        ("[TTFT] AVERAGE", "[TPOT] AVERAGE", "Total Output Throughput (tokens/sec)"),
        _trtllm_refusals,
        _trtllm,
    ),
    # `InterTokenLatencyMetric` there is (latency - TTFT) / (tokens - 1): TPOT.
    "aiperf": _Tool(
        "aiperf profile",
        "time_to_first_token (max)",
        ("time_to_first_token", "inter_token_latency", "output_token_throughput"),
        _of_file,
        _aiperf,
    ),
}


def _general(load: Load) -> Iterator[str]:
    """What no tool does."""
    workload = load.workload
    if workload.trace and load.requests > len(workload.trace):
        yield f"the trace is not repeated: it has {len(workload.trace):,} requests"
    if workload.drafted:
        yield f"of random tokens other shares of drafts are accepted than the plan's {workload.acceptance:g}"


def _poisson(workload: Workload) -> Words:
    if workload.burstiness == 1 or not workload.requests_per_second:
        return ()
    return (f"arrivals are Poisson, those of the plan gamma of shape {workload.burstiness:g}",)


def _shell(command: tuple[Words, ...]) -> str:
    """A command on as many lines as it has groups of words; variables stay open to the shell."""
    words = ((f'"{word}"' if re.fullmatch(r"\$[A-Z]+", word) else quote(word) for word in line) for line in command)
    return " \\\n  ".join(map(" ".join, words))


def _limit(option: str, load: Load) -> Words:
    return (option, str(load.in_flight)) if load.in_flight else ()


def _rate(workload: Workload) -> str:
    return f"{workload.requests_per_second:.12g}" if workload.requests_per_second else ""


def _url(load: Load, port: int) -> str:
    return load.url or f"http://localhost:{_SGLANG_PORT if load.engine == 'sglang' else port}"


def _range(bounds: tuple[int, int]) -> str:
    low, high = bounds
    return str(low) if low == high else f"{low} to {high}"
