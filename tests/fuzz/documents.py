"""The files beside a plan: configurations, calibrations, measured cases, measurements, records of a search."""

from __future__ import annotations

import json
import random
from functools import cache

from dagc.fit.operators import KNOWN
from tests.fuzz import mutate
from tests.harness.places import ROOT


@cache
def texts_of(pattern: str, directory: str = "dagc/catalog") -> list[str]:
    """Texts of the project's files that fit a pattern."""
    return [path.read_text(encoding="utf-8") for path in sorted((ROOT / directory).glob(pattern))]


def config(rng: random.Random) -> str:
    """A configuration of a model."""
    return mutate.document(rng, rng.choice(texts_of("*.json", "tests/data/configs")))


def calibration(rng: random.Random) -> str:
    """A calibration of a device."""
    return mutate.document(rng, rng.choice(texts_of("calibrations/*.json")))


def cases(rng: random.Random) -> str:
    """A table of one's own cases."""
    head, *rows = texts_of("measured/cases.csv")[0].splitlines()
    return mutate.table(rng, "\n".join([head, *rng.sample(rows, rng.randint(1, 2))]) + "\n")


RESULT = {
    "backend": "vllm", "model_id": "m", "num_prompts": 20, "request_rate": "inf", "max_concurrency": 4, "completed": 20,
    "duration": 3.5, "total_input_tokens": 2000, "total_output_tokens": 400, "median_ttft_ms": 40.0,
    "median_tpot_ms": 9.5, "p99_tpot_ms": 12.0, "mean_itl_ms": 9.4, "random_range_ratio": 0.5, "random_input_len": 130,
    "random_output_len": 26, "input_lens": [100] * 4, "output_lens": [20] * 4,
}  # fmt: skip
"""What a benchmark client writes."""


def result(rng: random.Random) -> str:
    """A result of a benchmark client."""
    return mutate.document(rng, json.dumps(RESULT))


def trace(rng: random.Random) -> str:
    """A profile of some layers."""
    names = ("rms_norm_kernel", "nvjet_tst", "flash_fwd_kernel", "fused_moe_kernel", "ncclDevKernel_AllReduce", "copy")
    events = [
        {"ph": "X", "cat": "kernel", "name": name, "ts": 100 * layer + 10 * at, "dur": rng.randint(0, 9), "pid": 0,
         "args": {"stream": 7, "correlation": 100 * layer + at}}
        for layer in range(rng.randint(1, 6))
        for at, name in enumerate(names[: rng.randint(5, 6)])
    ]  # fmt: skip
    return mutate.document(rng, json.dumps({"traceEvents": events}))


def table(rng: random.Random) -> str:
    """Measurements: rows of operators and collectives, or the output of nccl-tests."""
    if rng.random() < 0.25:
        return mutate.text(rng, _nccl_tests(rng))
    chosen = rng.sample(sorted(KNOWN), rng.randint(1, 2))
    columns = sorted({column for name in chosen for column in (*KNOWN[name].needed, *KNOWN[name].defaults)})
    rows = [
        [rng.choice(chosen), rng.choice(("bf16", "fp8", "")), *(str(2 ** rng.randrange(14)) for _ in columns)]
        for _ in range(rng.choice((1, 6, 12, 30)))
    ]
    lines = [["operator", "dtype", *columns, "seconds"], *([*row, f"{rng.uniform(1e-6, 1e-3):.3g}"] for row in rows)]
    made = "\n".join(map(",".join, lines)) + "\n"
    return mutate.table(rng, made) if rng.random() < 0.7 else made


def _nccl_tests(rng: random.Random) -> str:
    ranks = rng.choice((1, 2, 8, 16))
    lines = [
        "# nccl-tests version 2.17.6",
        f"# Collective test starting: {rng.choice(('alltoall', 'all_reduce', 'sendrecv'))}_perf",
    ]
    lines += [
        f"#  Rank {rank:2} Group  0 Pid {4000 + rank} on node-{rank // 8} device  {rank % 8} [0000:1b:00] NVIDIA H100"
        for rank in range(ranks)
    ]
    lines += ["#       size         count      type   redop    root     time   algbw   busbw  #wrong"]
    lines += [
        f"{1 << i:12} {1 << i:12}  float  none  -1 {rng.uniform(5, 500):9.3f}  10.00  9.00  0" for i in range(10, 26, 3)
    ]
    return "\n".join(lines) + "\n"


def record(rng: random.Random) -> str:
    """A file of `dagc search --resume`."""
    lines = [
        '{"dagc_search": 1, "problem": "x"}',
        '["tp 8", 64, {"code": null, "memory_share": 0.5, "figures": [["tpot", 0.02]], "requirements": []}]',
        '["ep 8", 64, {"code": "M101", "memory_share": 1.5, "figures": [], "requirements": [{"metric": "tpot"}]}]',
    ]
    return mutate.text(rng, "\n".join(rng.sample(lines, rng.randint(0, 3))) + "\n")
