"""`dagc compile` as a user runs it: a process, its files, its exit status.

The sizes of the report plans are arithmetic: a nesting multiplies, a fold takes the least common multiple, pools add.
"""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import jsonschema
import networkx as nx
import pytest
from click.testing import CliRunner

import dagc.export
from dagc.cli.main import main
from dagc.export.trace.tracks import rank_classes
from tests.harness.places import EXAMPLES
from tests.harness.shell import Outcome, run_dagc
from tests.harness.traceprocessor import DROPPED, TraceProcessor

SCHEMAS = Path(dagc.export.__file__).parent / "schemas"
VIEWS = [f"{stem}.{kind}" for stem in ("deployment", "graph", "rank", "stage") for kind in ("dot", "svg")]
FILES = sorted(
    [*VIEWS, "answer.svg", "graph.json", "manifest.json", "memory.svg", "report.html", "summary.json", "trace.json"]
)

ON_LANES = "select count(*) as slices from slice where category in ('compute', 'communication', 'routing')"


def compiled(example: str, out: Path) -> tuple[Outcome, Path]:
    outcome = run_dagc("compile", str(EXAMPLES / f"{example}.moe"), "-o", str(out), cwd=out)
    return outcome, out / example


def summary(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "summary.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("example", "strategy", "gpus", "status"),
    [
        ("11-report-evaluation", "current", 16 * 16, 0),
        ("11-report-evaluation", "option1", 2 * 4 * 16, 0),
        ("14-report-summary", "main", 16 * 4, 1),
        ("14-report-summary", "folded", 16, 1),
        ("15-report-analysis", "main", 16, 1),
        ("17-report-validation", "main", 16 * 4, 1),
        ("18-report-deployment", "one_replica", 2 * 2 + 4, 1),
        ("18-report-deployment", "two_replicas", 2 * (2 * 2 + 4), 1),
        ("19-report-deployment-rejected", "main", 2 * 2 * 64, 1),
    ],
)
def test_the_strategies_of_the_reports_have_their_size(
    example: str, strategy: str, gpus: int, status: int, tmp_path: Path
) -> None:
    """Status 1 where a claim of the report is false; everything is written all the same."""
    outcome, directory = compiled(example, tmp_path)
    assert outcome.status == status
    assert summary(directory / strategy)["gpus"] == gpus


@pytest.mark.parametrize(
    ("example", "helps"),
    [
        ("12-report-evaluation-ep256", "use `ep 16` (256 GPUs)"),
        ("13-report-evaluation-ep32", "use `ep 16` (128 GPUs), or `ep 8` for the 64 GPUs of the claim"),
    ],
)
def test_the_impossible_strategies_are_refused_with_their_way_out(example: str, helps: str, tmp_path: Path) -> None:
    outcome, directory = compiled(example, tmp_path)
    assert outcome.status == 1
    assert outcome.output.count("error[") == 1
    assert "error[D203]" in outcome.output
    assert helps in outcome.output
    assert not directory.exists()


@pytest.mark.parametrize(
    ("example", "slices"),
    [
        # Four micro-batches. Prefill: lookup and all-reduce, 3 dense layers of 15 operators, 58 MoE layers of 24, a
        # head of 4, 3 sends and 3 receives. Decode absorbs the up-projection: one operator more a layer, and the
        # token goes back to the first stage; three steps are shown.
        ("01-deepseek-v3-64-gpus", 4 * (2 + 3 * 15 + 58 * 24 + 4 + 6) + 3 * 4 * (2 + 3 * 16 + 58 * 25 + 4 + 6 + 2)),
        # One micro-batch and one stage, in prefill and three steps: lookup and all-reduce, 32 layers of 16 operators, a
        # head of 4.
        ("02-mixtral-8-gpus", 4 * (2 + 32 * 16 + 4)),
    ],
)
def test_all_files_are_written_and_whole(example: str, slices: int, tmp_path: Path) -> None:
    outcome, directory = compiled(example, tmp_path)
    assert outcome.status == 0, outcome.output
    main = directory / "main"
    assert sorted(file.name for file in main.iterdir()) == FILES
    for name in ("summary", "graph"):
        schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
        jsonschema.validate(json.loads((main / f"{name}.json").read_text(encoding="utf-8")), schema)
    data = json.loads((main / "graph.json").read_text(encoding="utf-8"))
    graph = nx.node_link_graph(data, edges="edges")
    assert nx.is_directed_acyclic_graph(graph)
    assert set(graph.nodes) == {node["id"] for node in data["nodes"]}
    assert sorted(graph.edges) == sorted((edge["source"], edge["target"]) for edge in data["edges"])
    with TraceProcessor(main / "trace.json") as trace:
        assert trace.query(DROPPED) == []
        assert trace.query(ON_LANES) == [{"slices": slices}]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    contents: list[dict[str, bytes]] = []
    for name in ("one", "two"):
        out = tmp_path / name
        out.mkdir()
        _, directory = compiled("05-attention-ffn-pools", out)
        files = sorted(file for file in directory.rglob("*") if file.is_file())
        contents.append({str(file.relative_to(directory)): file.read_bytes() for file in files})
    assert len(contents[0]) == 2 * len(FILES)
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("arguments", "text", "status", "code"),
    [
        (("-e", "ep 16 < pp 4 >"), b"", 1, "H101"),
        (("-e", "tp 2 < ep 4 >"), b"", 1, "H103"),
        (("-e", "pp 4 < ep 0 >"), b"", 1, "D101"),
        (("-e", "ep 999999999999"), b"", 1, "D102"),
        (("-e", "pp 4 < ep 16"), b"", 1, "S002"),
        (("plan.moe",), b"", 1, "S006"),
        ((".",), b"", 2, "X002"),
        (("plan.moe",), b"#" * (5 << 20), 2, "X004"),
        (("plan.moe",), bytes(range(128, 256)) * 9, 2, "X003"),
        (("absent.moe",), b"", 2, "X001"),
        (("-e", "ep 8", "--model", "mixtral-8x7"), b"", 1, "N110"),
        (("plan.moe",), b"cluster h100-sxm { device { memory 64 GX } }\nep 8\n", 1, "N101"),
    ],
)
@pytest.mark.parametrize("command", ["check", "compile"])
def test_bad_input_gets_one_diagnostic(
    command: str, arguments: tuple[str, ...], text: bytes, status: int, code: str, tmp_path: Path
) -> None:
    (tmp_path / "plan.moe").write_bytes(text)
    outcome = run_dagc(command, *arguments, cwd=tmp_path)
    assert outcome.status == status, outcome.output
    assert outcome.output.count("error[") == 1
    assert f"error[{code}]" in outcome.output
    assert "Traceback" not in outcome.output
    assert [file.name for file in tmp_path.iterdir()] == ["plan.moe"]


@pytest.mark.parametrize(
    ("options", "trace", "slices"),
    [
        # 518 slices a rank in prefill and in each of three steps, by hand above; four ranks, then all eight.
        (("--ranks", "0-3"), "trace.json", 4 * 4 * 518),
        (("--ranks", "all", "--gzip"), "trace.json.gz", 4 * 8 * 518),
        (("--trace-format", "perfetto"), "trace.pftrace", 4 * 518),
    ],
)
def test_traces_of_other_ranks_and_formats(options: tuple[str, ...], trace: str, slices: int, tmp_path: Path) -> None:
    outcome = run_dagc("compile", str(EXAMPLES / "02-mixtral-8-gpus.moe"), *options, cwd=tmp_path)
    assert outcome.status == 0, outcome.output
    main = tmp_path / "out" / "02-mixtral-8-gpus" / "main"
    assert sorted(file.name for file in main.iterdir()) == sorted([*FILES[:-1], trace])
    with TraceProcessor(main / trace) as processor:
        assert processor.query(DROPPED) == []
        assert processor.query(ON_LANES) == [{"slices": slices}]


@pytest.mark.parametrize(
    ("options", "code"), [(("--ranks", "99"), "X302"), (("--ranks", "all", "--memory-limit", "0.0001"), "X301")]
)
def test_ranks_that_cannot_be_shown_are_refused_and_the_rest_is_written(
    options: tuple[str, ...], code: str, tmp_path: Path
) -> None:
    outcome = run_dagc("compile", str(EXAMPLES / "02-mixtral-8-gpus.moe"), *options, cwd=tmp_path)
    assert outcome.status == 2
    assert f"error[{code}]" in outcome.output
    main = tmp_path / "out" / "02-mixtral-8-gpus" / "main"
    assert sorted(file.name for file in main.iterdir()) == FILES


@pytest.mark.parametrize(("most", "code"), [(216, None), (215, "X305")])
def test_files_of_too_many_passages_are_not_made(
    most: int, code: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four micro-batches on four stages: embedding, layers and what sends them on are 12 stretches in prefill, 48
    passages. In decode the head sends tokens back, 14 stretches, and 56 passages in each of three steps: 216.
    """
    monkeypatch.setattr("dagc.driver.compile._MOST_PASSAGES", most)
    words = ["-e", "pp 4 [micro 4]", "--model", "mixtral-8x7b", "--cluster", "h100-sxm x 4"]
    load = "batch 4 prompt 64 output 8"
    found = CliRunner().invoke(main, ["compile", *words, "--workload", load, "-o", str(tmp_path)])
    assert ("error[X305]" in found.output) == (code is not None), found.output
    written = {file.name for file in (tmp_path / "expression" / "main").iterdir()}
    few = {"answer.svg", "manifest.json", "memory.svg", "report.html", "summary.json"}
    assert (written == few) if code else (written > few)


def test_operations_of_more_than_64_bits_have_a_place_in_a_trace(tmp_path: Path) -> None:
    """Attention of 10 million positions takes more than 9.2e18 operations; the largest number is there instead."""
    words = ["-e", "attn<dp 16> | moe<ep 2>", "--workload", "prompt 10000000", "-o", str(tmp_path)]
    found = CliRunner().invoke(main, ["compile", *words])
    assert isinstance(found.exception, SystemExit), found.exception
    trace = (tmp_path / "expression" / "main" / "trace.json").read_text(encoding="utf-8")
    assert f'"flops":{2**63 - 1024}' in trace.replace(" ", "")


def test_denied_advice_sets_the_exit_status_and_everything_is_written(tmp_path: Path) -> None:
    """Tp 16 crosses nodes of eight."""
    arguments = ["-e", "tp 16", "--model", "mixtral-8x7b", "--cluster", "h100-sxm x 16", "-o", str(tmp_path)]
    assert CliRunner().invoke(main, ["compile", *arguments]).exit_code == 0
    assert CliRunner().invoke(main, ["compile", *arguments, "--deny", "tp-across-nodes"]).exit_code == 1
    summary = json.loads((tmp_path / "expression" / "main" / "summary.json").read_text(encoding="utf-8"))
    assert [(d["code"], d["severity"]) for d in summary["diagnostics"]] == [("W105", "error")]


@pytest.mark.slow
def test_a_command_leaves_little_to_a_collector(tmp_path: Path) -> None:
    """The program runs without one. What modules and classes leave is there for any plan; runs and nodes are far more.

    A decode step of 16 micro-batches on 4 stages alone runs 128 segments or more, of some twenty nodes each.
    """
    plan = tmp_path / "plan.moe"
    plan.write_text(
        "model deepseek-v3\ncluster h100-sxm\nworkload { batch 256 prompt 512 output 128 }\n"
        "strategy a = pp 4 [micro 16] < ep 4 ; tp 2 >\n",
        encoding="utf-8",
    )
    arguments = ["compile", str(plan), "-o", str(tmp_path)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    gc.collect()
    gc.disable()
    try:
        assert CliRunner().invoke(main, arguments).exit_code == 0
        rank_classes.cache_clear()
        assert gc.collect() < 20 * 128 / 4
    finally:
        gc.enable()
