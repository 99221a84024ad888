"""Every picture names what its figures hold in: it is pasted alone."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from dagc.cli.main import main

PLAN = """\
model qwen3-30b-a3b
cluster h100-sxm x 8
engine vllm
workload { concurrency 64    prompt 1024    output 128    rate 2 requests/s    cached 30 % }
require { gpus <= 8    memory <= 1 GB    ttft <= 1 s }
strategy main = ep 8
"""


def test_pictures_name_cluster_engine_workload_and_requirements(tmp_path: Path) -> None:
    """TTFT is judged under load."""
    (tmp_path / "plan.moe").write_text(PLAN, encoding="utf-8")
    CliRunner().invoke(main, ["compile", str(tmp_path / "plan.moe"), "-o", str(tmp_path / "out")])
    made = tmp_path / "out" / "plan" / "main"
    version = json.loads((made / "summary.json").read_text())["facts"]["engine"]["version"]
    for name in ("deployment", "stage", "graph", "rank", "memory"):
        text = (made / f"{name}.svg").read_text(encoding="utf-8")
        assert "model qwen3-30b-a3b" in text, name
        assert f"h100-sxm x 8 · vllm {version} · concurrency 64, 1,024 tokens in, 128 out" in text, name
        assert "2 requests/s, 30 % cached" in text, name
        assert "✓ gpus &lt;= 8 · ✗ memory &lt;= 1 GB · ✓ ttft &lt;= 1 s" in text, name
