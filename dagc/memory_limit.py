"""Whether what is asked of ranks fits, before any of it is made.

A plan of some thousand GPUs has tens of millions of slots; what they take is known from the grouped graph alone, and so
is what pricing and scheduling take. The limit is half of the memory that is available, unless one is given.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dagc.diag.diagnostic import Code, Diagnostic

TOO_LARGE = Code("X301", "expansion-too-large")
NO_SUCH_RANK = Code("X302", "no-such-rank")
SCHEDULE_TOO_LARGE = Code("X303", "schedule-too-large")
SIMULATION_TOO_LARGE = Code("X304", "simulation-too-large")
FILES_TOO_LARGE = Code("X305", "files-too-large")

_MEMINFO = Path("/proc/meminfo")
_STATM = Path("/proc/self/statm")
_CONTROL_GROUP = Path("/sys/fs/cgroup")
_UNKNOWN = 4 << 30
"""Taken for the available memory where the machine does not tell."""


def available_memory() -> int:
    """Bytes that this process could still have without swapping: by the machine, its control group, its own limits."""
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        machine = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        machine = _physical_memory()
    return min(machine, _of_control_group(), _of_process())


def _of_process() -> int:
    """What `ulimit -v` and `-d` leave; no limit where there is none."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, getrlimit

        pages = [int(number) for number in _STATM.read_text(encoding="ascii").split()]
        used = {RLIMIT_AS: pages[0], RLIMIT_DATA: pages[5]}
        limits = {kind: getrlimit(kind)[0] for kind in used}
    except (ImportError, OSError, ValueError):
        return sys.maxsize
    page = os.sysconf("SC_PAGE_SIZE")
    left = [limit - used[kind] * page for kind, limit in limits.items() if limit != RLIM_INFINITY]
    return max(0, min(left, default=sys.maxsize))


def _of_control_group() -> int:
    """What a container leaves; no limit where there is none."""
    try:
        most, used = (int((_CONTROL_GROUP / f"memory.{name}").read_text("ascii")) for name in ("max", "current"))
    except (OSError, ValueError):
        return sys.maxsize
    return max(0, most - used)


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return _UNKNOWN


def default_limit() -> int:
    """Half of the available memory, in bytes."""
    return available_memory() // 2


def refusal(what: str, slots: int, needed: int, limit: int, fits: str | None) -> Diagnostic | None:
    """Why something of so many slots and bytes is not made; None where it fits. `fits` is a `--ranks` that would."""
    if needed <= limit:
        return None
    narrower = f"show fewer ranks: `--ranks {fits}` fits" if fits else "show fewer ranks with `--ranks`"
    return TOO_LARGE.at(
        None,
        f"{what} would hold {slots:,} slots and take {size_text(needed)}; the limit is {size_text(limit)}",
        notes=("the limit is half of the memory that is available, unless `--memory-limit` gives another",),
        help=(narrower, f"or allow it with `--memory-limit {-(-needed // 10**9)}` (GB)"),
    )


def size_text(size: int) -> str:
    """`2.3 GB`, `640.0 MB`."""
    return f"{size / 1e9:,.1f} GB" if size >= 10**9 else f"{size / 1e6:,.1f} MB"
