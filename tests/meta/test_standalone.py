"""dagc needs nothing of the machine: no program on PATH, no place to keep a cache."""

from __future__ import annotations

from pathlib import Path

from tests.harness import pictures, shell


def test_a_picture_needs_no_program_of_the_machine(tmp_path: Path) -> None:
    plan = tmp_path / "plan.moe"
    plan.write_text("model mixtral-8x7b\ncluster h100-sxm x 8\npp 2 < ep 4 ; tp 2 >\n", encoding="utf-8")
    outcome = shell.run_dagc(
        "compile", "plan.moe", "-o", "out", cwd=tmp_path, PATH="", HOME=str(plan), XDG_CACHE_HOME=""
    )
    assert outcome.status == 0, outcome.output
    (picture,) = (tmp_path / "out").rglob("graph.svg")
    assert len(pictures.png(picture)) > 10_000, "as good as blank"
