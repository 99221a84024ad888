"""The output of nccl-tests (NVIDIA/nccl-tests, RCCL's alike) becomes rows of a table of measurements.

Read are the name after `Collective test starting:` (without it, in a file's name), one line a rank (`# Rank 0 … on HOST
device …`; ranks of one host share a node), and of each row of figures the size in bytes and the time out of place, in
microseconds. A size is that of the formulas: the whole result of an all-gather, the whole input of a reduce-scatter,
what one rank sends in an all-to-all. Other lines are passed over, such as those of `mpirun` and of NCCL's log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

NAMES = {
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
    "sendrecv": "send",
}
"""Tests of nccl-tests, without `_perf`, and the operators of the table."""

_RANK = re.compile(r"#\s*Rank\s+\d+\b.*?\bon\s+(\S+)\s+device\b")
_TEST = re.compile(r"(all_reduce|all_gather|reduce_scatter|alltoall|sendrecv)(?:_perf)?", re.IGNORECASE)
_FIGURES = re.compile(r"^\s*(\d+)\s+\d+\s+\S+\s+\S+\s+-?\d+\s+(\d+(?:\.\d*)?)\s+[\d.]+\s+[\d.]+\s")
"""Size, count, type, reduction, root, time, and the two bandwidths."""


def is_nccl_tests(text: str) -> bool:
    """Whether a text has the head of nccl-tests' table of figures."""
    return bool(re.search(r"^#.*\balgbw\s+busbw\b", text, re.MULTILINE))


def nccl_rows(text: str, name: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line number and columns of each measurement; the file's `name` tells the collective where no line does."""
    header = re.search(r"Collective test starting:\s*(\S+)", text)
    found = _TEST.search(header.group(1) if header else name)
    operator = NAMES[found.group(1).lower()] if found else ""
    hosts = _RANK.findall(text)
    shape = {"ranks": str(len(hosts)), "nodes": str(len(set(hosts)))}
    for number, line in enumerate(text.splitlines(), start=1):
        figures = _FIGURES.match(line)
        if figures and int(figures.group(1)):
            seconds = str(float(figures.group(2)) / 1e6)
            yield number, {"operator": operator, "bytes": figures.group(1), "seconds": seconds, **shape}
