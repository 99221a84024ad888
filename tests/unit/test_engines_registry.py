"""What every recorded engine has, so that a new file of `dagc.engines` cannot be half an engine."""

from __future__ import annotations

import ast
import pkgutil
from importlib import import_module
from itertools import pairwise

import pytest

import dagc.check.engines
from dagc.degrees import Degrees, Parallelism
from dagc.engines.engine import Engine
from dagc.engines.registry import engine_names, engines, find_engine, find_version, get_engine, versions
from tests.harness.places import PACKAGE

EVERY = [one for name in engine_names() for one in versions(name)]
AXES = {"numbering": {"dp", "pp", "cp", "tp"}, "attention": {"dp", "cp", "tp"}, "experts": {"dp", "ep", "tp"}}
ALL_ENGINES = {"not-expressible-in-engine", "option-not-in-engine"}
"""Rules that hold for each engine, by what is recorded of it."""


def rule_names() -> set[str]:
    found = pkgutil.iter_modules(dagc.check.engines.__path__, "dagc.check.engines.")
    return {import_module(one.name).CODE.name for one in found}


def test_the_files_are_found_in_the_order_of_lists() -> None:
    assert engine_names()[:4] == ("vllm", "sglang", "trtllm", "megatron")
    assert len({engine.order for engine in engines()}) == len(engines())


@pytest.mark.parametrize("engine", EVERY, ids=lambda engine: f"{engine.name} {engine.version}")
def test_what_is_recorded_of_a_version_is_whole(engine: Engine) -> None:
    assert versions(engine.name)[0].name == engine.name
    assert find_version(engine.name, engine.version) is engine
    for field, axes in AXES.items():
        assert set(getattr(engine, field)) == axes
    assert engine.references
    assert engine.rules <= rule_names() - ALL_ENGINES
    assert engine.lacks <= {"layers", "redundant", "overlap", "dcp", "exchange"}
    spellings = [spelling for flag in engine.flags for spelling in flag.spellings]
    assert len(spellings) == len(set(spellings))


def test_a_rule_holds_for_some_engine() -> None:
    assert {name for engine in EVERY for name in engine.rules} == rule_names() - ALL_ENGINES


def test_only_its_own_file_names_an_engine() -> None:
    """Everything else asks for a field of the record, so that a new engine is a file; clients of benchmarks have the
    names of the engines that they come with.
    """
    clients = {"driver/bench.py", "driver/bench_tools.py", "results/bench.py"}
    naming = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in engine_names()
    ]
    assert set(naming) - clients - {f"engines/{name}.py" for name in engine_names()} == set()


@pytest.mark.parametrize("name", engine_names())
def test_the_newest_version_is_the_last(name: str) -> None:
    numbers = [tuple(map(int, one.version.split("."))) for one in versions(name)]
    assert all(older < newer for older, newer in pairwise(numbers))
    assert get_engine(name) is versions(name)[-1]


def test_a_name_or_a_title_in_any_case_is_found() -> None:
    assert find_engine("TensorRT-LLM") is find_engine("TRTLLM") is get_engine("trtllm")
    assert find_engine("registry") is None


@pytest.mark.parametrize("version", ["0.11.0", "0.12.0"])
def test_vllm_refused_prefill_context_parallelism_once(version: str) -> None:
    """0.12.0 has the flag, and raises for every value but 1: `ParallelConfig`, vllm/config/parallel.py."""
    wanted = Parallelism(Degrees(cp=2), None)
    older = find_version("vllm", version)
    assert older is not None
    assert older.settings_of(wanted) == f"{version} refuses prefill context parallelism, and cp is 2"
    assert isinstance(get_engine("vllm").settings_of(wanted), dict)
