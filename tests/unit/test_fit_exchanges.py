"""`dagc fit` on exchanges: the output of nccl-tests, and tables of expert exchanges, give back what made them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from dagc.catalog.calibration import Regime, read_calibration
from dagc.cli.fit import fit
from dagc.fit.table import is_nccl_tests, nccl_rows

LINK, NETWORK = 450e9, 50e9
"""bytes/s of the datasheet of h100-sxm."""

HEAD = """\
# nccl-tests version 2.17.6 nccl-headers=22807 nccl-library=22807
# Collective test starting: alltoall_perf
# nThread 1 nGpus 1 minBytes 4096 maxBytes 1073741824 step: 2(factor) warmup iters: 5 iters: 20 agg iters: 1
#
# Using devices
{ranks}
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw  #wrong     time   algbw   busbw  #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)             (us)  (GB/s)  (GB/s)
"""


def output(nodes: int, seconds_of: dict[int, float]) -> str:
    ranks = "\n".join(
        f"#  Rank {rank:2} Group  0 Pid {4000 + rank} on node-{rank // 8} device  {rank % 8} [0000:1b:00] NVIDIA H100"
        for rank in range(8 * nodes)
    )
    lines = [
        f"{size:12} {size // 32:12}     float    none      -1 {seconds * 1e6:9.3f}  10.00    9.00      0 "
        f"{seconds * 1e6 + 1:9.3f}  10.00    9.00    N/A"
        for size, seconds in seconds_of.items()
    ]
    return HEAD.format(ranks=ranks) + "\n".join(lines) + "\n# Out of bounds values : 0 OK\n# Avg bus bandwidth : 9.0\n"


def fitted(text: str, name: str, directory: Path) -> dict[str, Regime]:
    (directory / name).write_text(text, "utf-8")
    made = directory / "made.json"
    result = CliRunner().invoke(fit, [str(directory / name), "--device", "h100-sxm", "-o", str(made)])
    assert result.exit_code == 0, result.output
    return dict(read_calibration(made.read_bytes()).regimes)


def test_what_is_read_of_nccl_tests() -> None:
    """Two nodes of eight ranks, 1 MB in 100 us: size, and the first of the two times."""
    text = output(2, {1_000_000: 1e-4})
    assert is_nccl_tests(text)
    assert not is_nccl_tests("operator,bytes,seconds\nall_gather,1,2\n")
    ((number, row),) = nccl_rows(text, "run.txt")
    assert number == len(HEAD.splitlines()) + 15 + 1
    assert row == {"operator": "all_to_all", "bytes": "1000000", "seconds": "0.0001", "ranks": "16", "nodes": "2"}


def test_the_file_names_the_test_where_no_line_does() -> None:
    text = output(1, {4096: 1e-5}).replace("# Collective test starting: alltoall_perf\n", "")
    assert [row["operator"] for _, row in nccl_rows(text, "logs/reduce_scatter_perf.txt")] == ["reduce_scatter"]


def test_an_all_to_all_gives_back_what_made_it(tmp_path: Path) -> None:
    """8 ranks: 12 us, and 7/8 of the bytes at 300 GB/s with the own eighth copied at 900 GB/s."""
    sizes = [4096 * 2**i for i in range(20)]
    taken = {size: 12e-6 + 7 / 8 * size / 300e9 + size / 8 / 900e9 for size in sizes}
    found = fitted(output(1, taken), "run.txt", tmp_path)["all_to_all/nccl"]
    assert found.residuals.median < 0.02
    assert found.fitted == {"ranks": (8, 8), "nodes": (1, 1), "bytes": (4096, 4096 * 2**19)}
    rate = 1 / (7 / 8 / (found.coefficients["share"] * LINK) + 1 / 8 / (found.coefficients["own"] * LINK))
    assert rate == pytest.approx(1 / (7 / 8 / 300e9 + 1 / 8 / 900e9), rel=0.03)


def test_low_latency_kernels_give_back_what_made_them(tmp_path: Path) -> None:
    """Half of the bytes of 16 ranks on two nodes, 7/8 of those of 8 on one: 15 us, a hop of 5 us, 45 and 240 GB/s."""
    rows: list[str] = []
    for size in (1e5 * 2**i for i in range(12)):
        rows.append(f"dispatch_low_latency,8,1,{size},{15e-6 + 7 / 8 * size / 240e9}")
        rows.append(f"dispatch_low_latency,16,2,{size},{20e-6 + 1 / 2 * size / 45e9}")
    table = "\n".join(["operator,ranks,nodes,bytes,seconds", *rows])
    found = fitted(table, "ep.csv", tmp_path)["dispatch/low_latency"].coefficients
    assert found["launch"] == pytest.approx(15e-6, rel=0.02)
    assert found["hop"] == pytest.approx(5e-6, rel=0.05)
    assert found["share"] == pytest.approx(240e9 / LINK, rel=0.02)
    assert found["network_share"] == pytest.approx(45e9 / NETWORK, rel=0.02)


def test_a_log_without_ranks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    path.write_text("\n".join(line for line in output(1, {4096: 1e-5}).splitlines() if "Rank" not in line), "utf-8")
    result = CliRunner().invoke(fit, [str(path), "--device", "h100-sxm"])
    assert result.exit_code == 2
    assert "`ranks` and `nodes` of a `all_to_all` are not positive numbers" in result.output
