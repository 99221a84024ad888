"""The page on views: its limits are those of the code, its pictures are what compile draws."""

from __future__ import annotations

from pathlib import Path

from dagc.export.views import deployment, layer, rank_rows, stage
from tests.harness import shell
from tests.harness.places import EXAMPLES, ROOT

PAGE = (ROOT / "docs" / "views.md").read_text(encoding="utf-8")
SHOWCASE = ROOT / "out" / "showcase" / "attention-ffn-pools"


def test_the_limits_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert f"beyond {stage.MOST_STAGES} different stages in a service ({deployment.MOST_STAGES} in the" in text
    assert f"{stage.MOST_SEGMENTS} segments in a stage or {layer.MOST_COLUMNS} kinds of columns" in text
    assert f"Beyond {rank_rows.MOST_ROWS} different rows, the {rank_rows.SLOWEST} slowest" in text
    assert f"and the {rank_rows.FASTEST} fastest" in text
    assert f"a node of more than {rank_rows.MOST_GPUS} GPUs" in text
    assert f"Beyond {rank_rows.MOST_APART} nodes, nodes" in text
    assert f"at most {rank_rows.MOST_NODES} rows" in text


def test_the_showcase_is_what_compile_draws(tmp_path: Path) -> None:
    plan = EXAMPLES / "05-attention-ffn-pools.moe"
    outcome = shell.run_dagc("compile", str(plan), "-o", str(tmp_path), cwd=tmp_path)
    assert outcome.status == 0, outcome.output
    shown = sorted(SHOWCASE.iterdir())
    assert [path.name for path in shown] == ["deployment.svg", "graph.svg", "rank.svg", "stage.svg"]
    for path in shown:
        assert (tmp_path / plan.stem / "one_pool" / path.name).read_bytes() == path.read_bytes(), path.name
