"""How long a trace of all ranks takes to write and to load, in both formats.

Prints a table: `python -m tests.bench.traces`. The plan has 1.2 million slices: 8 micro-batches of DeepSeek-V3's
prefill, and three decode steps, over 128 ranks. Writing is the whole of `dagc compile`, the other files included;
loading is a real trace processor's, its start included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.harness.places import ROOT
from tests.harness.traceprocessor import DROPPED, TraceProcessor

PLAN = """model deepseek-v3
cluster h100-sxm
workload { batch 2048    prompt 512    output 128 }
strategy main = pp 4 [micro 8] < ep 32 >
"""
FILES = {"json": "trace.json", "perfetto": "trace.pftrace"}
MEASURED = """
import sys
from dagc.cli.main import main
from tests.bench.peak import peak_bytes
try:
    main(sys.argv[1:])
finally:
    print(peak_bytes(), file=sys.stderr)
"""


def written(plan: Path, style: str) -> tuple[float, int, Path]:
    """Seconds and peak bytes of `dagc compile`, and the trace."""
    out = plan.parent / style
    command = [sys.executable, "-c", MEASURED, "compile", str(plan), "-o", str(out), "--ranks", "all"]
    start = time.perf_counter()
    done = subprocess.run([*command, "--trace-format", style], cwd=ROOT, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, int(done.stderr.split()[-1]), out / "plan" / "main" / FILES[style]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        plan = Path(directory) / "plan.moe"
        plan.write_text(PLAN, encoding="utf-8")
        for style in FILES:
            seconds, peak, path = written(plan, style)
            start = time.perf_counter()
            with TraceProcessor(path) as processor:
                (slices,) = processor.query("select count(*) as n from slice")
                dropped = processor.query(DROPPED)
                loaded = time.perf_counter() - start
            print(
                f"{style:9} {slices['n']:,} slices, {len(dropped)} dropped: written in {seconds:.2f} s, peak "
                f"{peak / 1e6:.0f} MB, file {path.stat().st_size / 1e6:.0f} MB, loaded in {loaded:.2f} s"
            )


if __name__ == "__main__":
    main()
