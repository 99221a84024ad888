"""How long a schedule takes as plans grow, against a C loop over the same graph rank by rank.

Prints tables: `python -m tests.bench.scale [CASE ... | minute]`. Every measurement is a process of its own, so its peak
memory is its own. `grouped` is dagc from lowered templates, which it prices, to the critical path; `expanded` makes the
columns and walks them with numpy; `C` walks the same columns in topological order, compiled here, with making and
pricing them not counted. Replicas of a class are expanded once and their time is counted for each: no more than one
replica is in memory. networkx and rustworkx run where they end in about a minute; what is not installed or did not end
is left out with a note.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import startup, warm
from tests.bench.scale_case import CASES, LOADS
from tests.harness.places import ROOT

SOURCE = Path(__file__).with_name("longest_path.c")
MINUTE = 60.0
"""Seconds that networkx and rustworkx may take for what they are asked, all replicas of a class counted."""

STOPPED = 300.0
"""Seconds after which they are stopped, making their graph included."""

MOST_ROWS = 6_000_000
"""Rows of one class above which they are not tried: over 10 GB."""

_GROWING, _FIRST_MICRO = "dp 2 < pp 1 [micro {}] < ep 256 > >", 8
"""A graph that grows by its micro-batches, and how many it has as networkx is timed on the way to its largest."""

_ROW_TRAFFIC, _EDGE_TRAFFIC = 8 + 8 + 8, 4 + 8
"""Bytes that the C loop moves: first edge, duration and end of a row; source and its end of an edge."""

Found = dict[str, Any]


def measure(kind: str, case: str, load: str, *more: str, limit: float | None = None) -> Found | str:
    """What one process printed, or why there is nothing."""
    command = [sys.executable, "-m", "tests.bench.scale_case", kind, case, load, *more]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"stopped after {limit:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:90]
    return json.loads(done.stdout)


def compiled(directory: Path) -> Path | None:
    """The C loop as a library; None without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = directory / "longest_path.so"
    subprocess.run([compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return library


def rows_of(case: str, load: str, library: Path | None, speed: float) -> list[str]:
    """The lines of one case and load."""
    size = measure("size", case, load)
    if isinstance(size, str):
        return [f"{case:8} {load:7} {size}"]
    lines = [
        f"{case:8} {load:7} {CASES[case]}: {size['slots']:,} slots, {size['edges']:,} edges, {size['classes']} classes"
    ]
    found: dict[str, Found | str] = {}
    if library:
        found["c"] = measure("c", case, load, str(library))
    for kind in ("grouped", "expanded"):
        found[kind] = measure(kind, case, load)
    for kind in ("networkx", "rustworkx"):
        is_small = load == "even" and size["largest"] <= MOST_ROWS
        found[kind] = measure(kind, case, load, limit=STOPPED) if is_small else "too large, or done with even load"
    base = found.get("c")
    for kind, result in found.items():
        lines.append(_line(kind, result, size, base if isinstance(base, dict) else None, speed))
    lines += _request(case, load, library) if case.startswith("2048") and library else []
    makespans = {result["makespan"] for result in found.values() if isinstance(result, dict)}
    lines.append(f"    makespan {'equal' if len(makespans) == 1 else 'DIFFERS'}: {sorted(makespans)} ps")
    return lines


def _request(case: str, load: str, library: Path) -> list[str]:
    """Both phases to the last token, against the C loop over every decode step."""
    ours, base = measure("request", case, load), measure("c-request", case, load, str(library))
    if isinstance(ours, str) or isinstance(base, str):
        return [f"    whole request: {ours if isinstance(ours, str) else base}"]
    return [
        f"    whole request, {base['slots']:,} slots: grouped {ours['seconds'] * 1e3:.2f} ms, "
        f"C {base['seconds'] * 1e3:,.0f} ms, {ours['seconds'] / base['seconds']:.4f} x C"
    ]


def largest() -> str:
    """The largest graph that networkx walks in a minute, as many micro-batches as that takes, against dagc."""
    first = measure("networkx", _GROWING.format(_FIRST_MICRO), "even", limit=STOPPED)
    if isinstance(first, str):
        return f"networkx: {first}"
    strategy = _GROWING.format(int(_FIRST_MICRO * MINUTE / first["seconds"]))
    found = {kind: measure(kind, strategy, "even", limit=STOPPED) for kind in ("networkx", "grouped", "size")}
    theirs, ours, size = found.values()
    if isinstance(theirs, str) or isinstance(ours, str) or isinstance(size, str):
        return "; ".join(f"{kind}: {result}" for kind, result in found.items() if isinstance(result, str))
    same = "same" if ours["makespan"] == theirs["makespan"] else "ANOTHER"
    return (
        f"largest for networkx, {strategy}, {size['slots']:,} slots: {theirs['seconds']:.1f} s, "
        f"dagc {ours['seconds'] * 1e3:.2f} ms, {theirs['seconds'] / ours['seconds']:,.0f} times, {same} makespan"
    )


def _line(kind: str, result: Found | str, size: Found, base: Found | None, speed: float) -> str:
    if isinstance(result, str):
        return f"    {kind:10} {result}"
    seconds = result["seconds"]
    ratio = f"{seconds / base['seconds']:10.4f} x C" if base else ""
    moved = _ROW_TRAFFIC * size["rows"] + _EDGE_TRAFFIC * size["edges"]
    slow = f"  {seconds / MINUTE:.1f} x a minute" if kind == "networkx" and seconds > MINUTE else ""
    share = f"{moved / seconds / speed:8.1%} of memory bandwidth" if kind in ("c", "expanded") else ""
    part = f"  {result['pricing'] * 1e3:.2f} ms of it pricing" if "pricing" in result else ""
    peak = f"{result['peak'] / 1e6:7.0f} MB"
    rate = f"{size['slots'] / seconds:16,.0f} slots/s"
    return f"    {kind:10} {seconds * 1e3:11.2f} ms {peak} {rate} {ratio} {share}{slow}{part}"


def machine() -> str:
    """Processor, cores and versions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}"


def main(*cases: str) -> None:
    """Measure and print everything, or the named cases alone."""
    copied = measure("bandwidth", next(iter(CASES)), "even")
    if isinstance(copied, str):
        raise SystemExit(copied)
    speed = copied["bytes_per_second"]
    print(f"{machine()}; memory {speed / 1e9:.1f} GB/s read and written by a copy", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        library = compiled(Path(directory))
        if library is None:
            print("no C compiler: ratios are left out")
        for case in [one for one in cases if one != "minute"] or ([] if cases else tuple(CASES)):
            for load in LOADS:
                print("\n".join(rows_of(case, load, library, speed)), flush=True)
    if not cases or "minute" in cases:
        print(largest(), flush=True)
    if not cases:
        print()
        warm.main()
        print()
        startup.main(3)


if __name__ == "__main__":
    main(*sys.argv[1:])
