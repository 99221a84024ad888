"""Measures one's own GPU with PyTorch and writes the table that `dagc fit` reads.

`python -m dagc.fit.measure --output measured.csv` takes some minutes on one GPU. Each operator is captured in a
CUDA graph of several calls that is replayed, so that the host's time is not in it; inputs take turns, so that weights
come from memory and not from the cache. The median of several replays counts. Measured are bf16 products, causal
attention and decoding, sums and norms; other types and the kernels of an engine are for the engine's own benchmarks,
whose tables can be given to `dagc fit` beside this one.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, TextIO

COLUMNS = (
    "operator", "dtype", "m", "n", "k", "sequences", "context", "heads", "kv_heads", "key", "value", "bytes",
    "seconds", "source",
)  # fmt: skip

_ROWS = (1, 8, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_SIDES = (512, 1024, 2048, 4096, 7168, 8192, 16384)
_HEADS = ((8, 1), (32, 8), (64, 8), (32, 32))
_COLD_BYTES = 256 << 20
"""Inputs that take turns hold as much as several caches."""

_CALLS = 16
_REPLAYS = 7

Row = dict[str, object]
Call = Callable[[], object]


def main() -> None:
    """Measure and write; without PyTorch or a GPU, say so."""
    path = Path(sys.argv[2]) if len(sys.argv) == 3 and sys.argv[1] == "--output" else None
    if path is None:
        raise SystemExit("usage: python -m dagc.fit.measure --output FILE.csv")
    torch = _torch()
    with path.open("w", newline="", encoding="utf-8") as stream:
        _write(stream, torch)


def _torch() -> Any:
    try:
        torch: Any = import_module("torch")
    except ImportError:
        raise SystemExit(
            "error: measuring needs PyTorch, which is not installed; install it: pip install torch, or from a clone of"
            ' dagc pip install ".[measure]"'
        ) from None
    if not torch.cuda.is_available():
        raise SystemExit("error: PyTorch finds no GPU here; run this on the machine that is to be measured")
    return torch


def _write(stream: TextIO, torch: Any) -> None:
    writer: csv.DictWriter[str] = csv.DictWriter(stream, COLUMNS)
    writer.writeheader()
    source = f"measured on {torch.cuda.get_device_name()}, PyTorch {torch.__version__}"
    for row in (*_products(torch), *_prefills(torch), *_decodes(torch), *_streams(torch)):
        writer.writerow({**row, "dtype": "bf16", "source": source})
        stream.flush()


def _products(torch: Any) -> Iterator[Row]:
    multiply = torch.nn.functional.linear
    for m, n, k in product(_ROWS, _SIDES, _SIDES):
        weights = [_random(torch, n, k) for _ in range(_turns(2 * n * k))]
        rows = _random(torch, m, k)
        seconds = _timed(torch, [lambda x=rows, w=w: multiply(x, w) for w in weights])
        yield {"operator": "gemm", "m": m, "n": n, "k": k, "seconds": seconds}


def _prefills(torch: Any) -> Iterator[Row]:
    attend = torch.nn.functional.scaled_dot_product_attention
    for (heads, shared), sequences, context in product(_HEADS, (1, 4), (256, 512, 1024, 2048, 4096, 8192)):
        q = _random(torch, sequences, heads, context, 128)
        k, v = (_random(torch, sequences, shared, context, 128) for _ in range(2))
        seconds = _timed(torch, [lambda q=q, k=k, v=v: attend(q, k, v, is_causal=True, enable_gqa=True)])
        yield _core("attention_prefill", sequences, context, heads, shared, seconds)


def _decodes(torch: Any) -> Iterator[Row]:
    attend = torch.nn.functional.scaled_dot_product_attention
    for (heads, shared), sequences, context in product(_HEADS, (1, 8, 64, 256), (256, 1024, 4096, 16384)):
        if sequences * shared * context > 1 << 24:
            continue
        size = 2 * 2 * sequences * shared * context * 128
        q = _random(torch, sequences, heads, 1, 128)
        kept = [[_random(torch, sequences, shared, context, 128) for _ in range(2)] for _ in range(_turns(size))]
        seconds = _timed(torch, [lambda q=q, k=k, v=v: attend(q, k, v, enable_gqa=True) for k, v in kept])
        yield _core("attention_decode", sequences, context, heads, shared, seconds)


def _core(operator: str, sequences: int, context: int, heads: int, shared: int, seconds: float) -> Row:
    shape = {"sequences": sequences, "context": context, "heads": heads, "kv_heads": shared, "key": 128, "value": 128}
    return {"operator": operator, **shape, "seconds": seconds}


def _streams(torch: Any) -> Iterator[Row]:
    for rows, width in product((1, 16, 128, 1024, 8192, 32768), (2048, 4096, 8192)):
        size = 2 * rows * width
        pairs = [[_random(torch, rows, width) for _ in range(2)] for _ in range(_turns(2 * size))]
        seconds = _timed(torch, [lambda a=a, b=b: torch.add(a, b) for a, b in pairs])
        yield {"operator": "elementwise", "bytes": 3 * size, "seconds": seconds}
        norm = torch.nn.RMSNorm(width, device="cuda", dtype=torch.bfloat16)
        seconds = _timed(torch, [lambda a=a, norm=norm: norm(a) for a, _ in pairs])
        yield {"operator": "norm", "bytes": 2 * size, "seconds": seconds}


def _random(torch: Any, *shape: int) -> Any:
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def _turns(size: int) -> int:
    return max(1, min(_CALLS, _COLD_BYTES // size))


def _timed(torch: Any, calls: list[Call]) -> float:
    """Seconds of one call: the median of some replays of a graph of many."""
    with torch.no_grad():
        for call in calls:
            call()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for index in range(_CALLS):
                calls[index % len(calls)]()
        return median(_replayed(torch, graph) for _ in range(_REPLAYS)) / _CALLS


def _replayed(torch: Any, graph: Any) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    graph.replay()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) * 1e-3


if __name__ == "__main__":
    main()
