"""`dagc fit`: coefficients that made a table are found again; bad tables are diagnostics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import dagc.fit.fit
from dagc.catalog.calibration import read_calibration
from dagc.cli.fit import fit

BANDWIDTH = 3.35e12
"""bytes/s of the datasheet of h100-sxm."""


def stream_table(launch: float, share: float) -> str:
    """Streams of 10 KB to 1 GB that take launch + bytes / (share · bandwidth)."""
    sizes = np.geomspace(1e4, 1e9, 60)
    rows = [f"elementwise,{size:.6g},{launch + size / (share * BANDWIDTH):.9g},made up @ 1" for size in sizes]
    return "\n".join(["operator,bytes,seconds,source", *rows]) + "\n"


def run(table: str, directory: Path, *more: str) -> Result:
    path = directory / "measured.csv"
    path.write_text(table, "utf-8")
    return CliRunner().invoke(fit, [str(path), "--device", "h100-sxm", *more])


def test_coefficients_that_made_a_table_are_found(tmp_path: Path) -> None:
    result = run(stream_table(4e-6, 0.7), tmp_path, "-o", str(tmp_path / "out.json"))
    assert result.exit_code == 0, result.stderr
    found = read_calibration((tmp_path / "out.json").read_bytes()).regimes["elementwise"]
    assert found.coefficients["launch"] == pytest.approx(4e-6, rel=0.01)
    assert found.coefficients["memory"] == pytest.approx(0.7, rel=0.01)
    assert found.residuals.held_out
    assert found.residuals.median < 0.005
    assert found.fitted["bytes"] == pytest.approx((1e4, 1e9))
    assert found.source == "made up @ 1"


def test_it_begins_with_what_is_fitted_and_what_stays_uncovered(tmp_path: Path) -> None:
    shown = run(stream_table(4e-6, 0.7), tmp_path).stdout
    summary, _, table = shown.partition("\n\n")
    assert summary.startswith(
        "h100-sxm: 1 regime fitted, judged on 8 rows, median error 0 %\nnot covered: operators\n  gemm/bf16, "
    )
    assert "gemm/fp4" not in summary
    assert "elementwise" not in summary
    assert "all_reduce/nccl" in summary
    assert table.splitlines()[1].startswith("elementwise ")
    relative = run(stream_table(4e-6, 0.7), tmp_path, "--relative", "h800-sxm").stdout
    uncovered = relative.partition("not covered: operators\n")[2].partition("\n")[0]
    assert uncovered == "  gemm/int8, grouped_gemm/int8, sampling"


def test_one_bad_row_does_not_bend_the_curve(tmp_path: Path) -> None:
    lines = stream_table(4e-6, 0.7).splitlines()
    lines[20] = "elementwise,1e6,0.5,made up @ 1"
    result = run("\n".join(lines), tmp_path, "--format", "json")
    found = json.loads(result.stdout)["regimes"]["elementwise"]["coefficients"]
    assert found["launch"] == pytest.approx(4e-6, rel=0.05)
    assert found["memory"] == pytest.approx(0.7, rel=0.05)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    texts: list[bytes] = []
    for name in ("one.json", "two.json"):
        run(stream_table(3e-6, 0.8), tmp_path, "-o", str(tmp_path / name))
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]


def test_a_relative_stands_in_for_what_was_not_measured(tmp_path: Path) -> None:
    result = run(stream_table(4e-6, 0.7), tmp_path, "--relative", "h200-sxm", "--format", "json")
    regimes = json.loads(result.stdout)["regimes"]
    assert regimes["elementwise"]["derived"] == ""
    assert regimes["grouped_gemm/bf16"]["derived"] == "the coefficients of h200-sxm"
    assert regimes["grouped_gemm/bf16"]["residuals"]["median"] >= 0.2


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("", "needs a column `operator` and `seconds`"),
        ("operator,m\ngemm,1\n", "needs a column `seconds`"),
        ("operator,seconds\ngem,1\n", "`gem` is not a known operator"),
        ("operator,dtype,seconds\ngemm,fp9,1\n", "`fp9` is not a known dtype"),
        ("operator,m,n,k,seconds\ngemm,1,2,x,1e-6\n", "`k` of a `gemm` is not a positive number"),
        ("operator,m,n,k,seconds\ngemm,1,2,-3,nan\n", "`seconds` and `k` of a `gemm` are not positive numbers"),
        ("operator,ranks,bytes,seconds\nall_reduce,1,64,1e-6\n", "`all_reduce` between 1 ranks on 1 nodes"),
        ("operator,ranks,nodes,bytes,seconds\nall_reduce,8,16,64,1e-6\n", "between 8 ranks on 16 nodes"),
        ("operator,ranks,nodes,bytes,seconds\nall_reduce_custom,16,2,64,1e-6\n", "`nodes`, here one node,"),
        ("operator,bytes,seconds\nnorm,1e300,1e-6\n", "`bytes` of a `norm` is not a positive number"),
        ("operator,bytes,seconds\nnorm,1,1e-6\n", "one row of `norm` cannot be fitted"),
    ],
)
def test_a_bad_table_is_told_with_its_line(table: str, told: str, tmp_path: Path) -> None:
    result = run(table, tmp_path)
    assert result.exit_code == 2
    assert "X401" in result.stderr
    assert told in result.stderr


def test_an_unknown_device(tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    path.write_text(stream_table(4e-6, 0.7), "utf-8")
    result = CliRunner().invoke(fit, [str(path), "--device", "h10-sxm"])
    assert result.exit_code == 2
    assert "h100-sxm" in result.stderr


def test_without_its_package_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise dagc.fit.fit.FittingAbsent("no scipy")

    monkeypatch.setattr(dagc.fit.fit, "_solver", absent)
    result = run(stream_table(4e-6, 0.7), tmp_path)
    assert result.exit_code == 2
    assert "X402" in result.stderr
    assert '`pip install scipy`, or from a clone of dagc `pip install ".[fit]"`' in result.stderr
