"""The front of a search against an oracle that shares only the compiler with it.

The oracle writes down every strategy that the grammar has (`tests.harness.grammar`), compiles each, and takes the front
from the figures of their summaries. The search generates from divisors, refuses families by rules on their degrees,
prunes by bounds and walks pairs of services in order of their bounds. An exhaustive search would not do as an oracle:
it enumerates the same space, and agreed with the search when the space had no attention tp for dense models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import pytest

from dagc.api.compiling import Strategy
from dagc.cost import limits
from dagc.cost.limits import MemoryLimits
from dagc.degrees import Degrees
from dagc.driver import load
from dagc.driver.search import SearchOptions, search
from dagc.results.search_result import SearchResult
from dagc.search.branch_and_bound import Search
from dagc.search.space import Families
from dagc.source import Source
from tests.harness.grammar import compiled, everything

MODELS = {
    "dense GQA": "llama-3.1-70b { layers 40 }",
    "MoE GQA": "mixtral-8x7b",
    "MLA": "deepseek-v3 { layers 8 }",
}
ENGINES = (None, "vllm", "sglang", "trtllm", "megatron")
SEQUENCES = 8
WORKLOADS = {
    "static": f"batch {SEQUENCES}    prompt 512    output 16",
    "serving": f"concurrency {SEQUENCES}    prompt 512    output 16",
}
OBJECTIVES = ("gpus", "ttft", "tpot", "throughput")
"""GPUs, TTFT and TPOT are better small, output tokens a second large; without a price no plan has another."""

Point = tuple[float, ...]
"""Objectives of a strategy, turned so that less is better."""


def _blocks(model: str, engine: str | None, workload: str, gpus: int) -> dict[str, str]:
    blocks = {"model": MODELS[model], "cluster": f"h100-sxm x {gpus}", "workload": WORKLOADS[workload]}
    return blocks | ({"engine": engine} if engine else {})


def _searched(blocks: dict[str, str], given: Sequence[str] = ("tp 1",), *, has_phases: bool = True) -> SearchResult:
    text = "".join(f"strategy given{i} = {one}\n" for i, one in enumerate(given))
    gpus = int(blocks["cluster"].split()[2])
    over = frozenset({"inner-dp", *(("phase-pools",) if has_phases else ())})
    sources = tuple((keyword, Source(keyword, content)) for keyword, content in blocks.items())
    found = search(
        Source("plan", text), sources, Path(), SearchOptions(gpus=(1, gpus), over=over), lambda _: None
    ).result
    assert found is not None and found.is_complete
    return found


def _point(strategy: Strategy) -> Point | None:
    """The figures of a strategy that a plan may use: None where it does not fit or has no times."""
    found = strategy.summary
    if found.phases is None or found.throughput is None:
        return None
    if any(one.code.code == "M101" for one in strategy.checked.diagnostics):
        return None
    ttft, tpot = found.phases.prefill.seconds, found.phases.decode.seconds
    return found.gpus, ttft, tpot, -found.throughput.output_tokens_per_second


def _compiled(blocks: dict[str, str], texts: Sequence[str]) -> dict[str, Point]:
    """Points of the strategies. What takes longest and is in no point is left out: requests are not simulated, and no
    larger batch and context is looked for.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "strategy_load", lambda *_: None)
        patch.setattr(limits, "memory_limits", lambda _: MemoryLimits(None, None))
        points = {texts[int(one.name[1:])]: _point(one) for one in compiled(texts, blocks).strategies}
    return {text: point for text, point in points.items() if point is not None}


def _is_dominated(point: Point, others: Sequence[Point]) -> bool:
    return any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in others)


def _front(points: dict[str, Point]) -> dict[Point, str]:
    kept = list(points.values())
    return {point: text for text, point in points.items() if not _is_dominated(point, kept)}


def _differences(blocks: dict[str, str], gpus: int, *, has_phases: bool = True) -> list[str]:
    """What is on one front and not on the other, by points with nine digits.

    Given and well-known strategies are kept from the front, or they would fill a hole of the space.
    """
    has_experts = "llama" not in blocks["model"]
    texts = everything(gpus, SEQUENCES, has_experts=has_experts, has_phases=has_phases)
    oracle = {_rounded(point): text for point, text in _front(_compiled(blocks, texts)).items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Search, "admit", lambda *_: None)
        result = _searched(blocks, has_phases=has_phases)
    found = {
        _rounded((one.gpus, *(_figure(one.figures, name) for name in OBJECTIVES[1:]))): one.strategy
        for one in result.front
    }
    missing = [f"the search lacks `{text}`: {point}" for point, text in oracle.items() if point not in found]
    surplus = [f"the search alone has `{text}`: {point}" for point, text in found.items() if point not in oracle]
    return [*missing, *surplus]


def _figure(figures: dict[str, float | None], name: str) -> float:
    value = figures[name]
    assert value is not None
    return -value if name == "throughput" else value


def _rounded(point: Point) -> Point:
    return tuple(float(f"{value:.9g}") for value in point)


@pytest.mark.parametrize(("model", "engine"), [("dense GQA", None), ("dense GQA", "vllm"), ("MoE GQA", "sglang")])
def test_the_front_on_two_gpus_is_the_oracles(model: str, engine: str | None) -> None:
    blocks = _blocks(model, engine, "static", 2)
    assert not _differences(blocks, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "engine", "workload"), list(product(MODELS, ENGINES, WORKLOADS)))
def test_the_front_on_four_gpus_is_the_oracles(model: str, engine: str | None, workload: str) -> None:
    """Services for both phases, and prefill beside decode."""
    assert not _differences(_blocks(model, engine, workload, 4), 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "engine"), [*((model, None) for model in MODELS), *((model, "vllm") for model in MODELS)]
)
def test_the_front_on_eight_gpus_is_the_oracles(model: str, engine: str | None) -> None:
    """One service for both phases."""
    assert not _differences(_blocks(model, engine, "static", 8), 8, has_phases=False)


def test_a_space_without_attention_tp_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sabotage: the families of the search lose attention tp, as those of dense models once had."""
    whole = Families._attentions

    def without_tp(families: Families, width: int) -> Iterator[tuple[Degrees, int]]:
        return (one for one in whole(families, width) if one[0].tp == 1)

    monkeypatch.setattr(Families, "_attentions", without_tp)
    assert any("the search lacks `tp 2`" in one for one in _differences(_blocks("dense GQA", None, "static", 2), 2))


LLAMA_ON_FOUR = {
    "model": "llama-3.1-70b",
    "cluster": "h100-sxm x 4",
    "workload": "batch 64    prompt 1024    output 256",
}


@pytest.mark.parametrize("engine", [None, "vllm", "sglang", "trtllm"])
def test_tensor_parallelism_of_a_dense_model_is_on_the_front(engine: str | None) -> None:
    """Of 141 GB over four GPUs of 80 GB, tensor parallelism has the smallest TPOT: each GPU reads a quarter."""
    found = _searched({**LLAMA_ON_FOUR, **({"engine": engine} if engine else {})}, ("tp 4",))
    assert "tp 4" in [one.strategy for one in found.front]
    assert min(found.front, key=lambda one: one.figures["tpot"] or 0.0).strategy == "tp 4"
    assert [one.status for one in (*found.given, *found.well_known)] == ["front", "front"]


def test_what_is_called_on_the_front_is_in_it() -> None:
    """Given strategies outside of the searched values, too: 3 micro-batches, and layers split by hand."""
    blocks = _blocks("dense GQA", None, "static", 4)
    found = _searched(blocks, ("pp 2 [micro 3] < tp 2 >", "pp 3 [layers 14 14 12]", "tp 4", "dp 2 < tp 2 >", "tp 2"))
    front = [tuple(one.figures[name] for name in OBJECTIVES) for one in found.front]
    placed = [one for one in (*found.given, *found.well_known) if one.status == "front"]
    assert placed and all(tuple(one.figures[name] for name in OBJECTIVES) in front for one in placed)
    assert not {one.strategy for one in found.given if one.status == "front"} - {one.strategy for one in found.front}


def test_the_nearest_plan_may_be_a_given_one() -> None:
    """No plan has a TPOT of 1 us; no given or well-known strategy misses it by less than the one called nearest."""
    blocks = _blocks("dense GQA", None, "static", 4) | {"require": "tpot <= 1 us    ttft <= 1 us"}
    found = _searched(blocks, ("pp 4 [micro 3]", "tp 4"))
    assert found.nearest and not found.front
    worst = max(one.miss or 0.0 for one in found.nearest.requirements)
    for one in (*found.given, *found.well_known):
        seconds = [one.figures[name] for name in ("tpot", "ttft")]
        assert max((value or 0.0) / 1e-6 - 1 for value in seconds) >= worst * (1 - 1e-12)
