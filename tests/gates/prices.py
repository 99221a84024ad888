"""What every operator is and costs, a line each: `python -m tests.gates.prices FILE [NAME…]` writes them to a file.

Two such files, written before and after a change, are compared with `diff`. Besides the plans of the other gates (by
file name and number) there is one for every model preset and for each of a few ways to cut and to load it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np

from dagc.catalog.presets import model_names
from dagc.cost.price import price
from dagc.diag.diagnostic import Diagnostic
from dagc.driver.front import read_plan, stops
from dagc.driver.outcome import Priced
from dagc.driver.strategies import check_strategy, size_plan
from dagc.graph.graph import Node, PhaseGraph
from dagc.graph.priced import NodeCost
from dagc.lower.handover import lower_transfer
from dagc.lower.lower import lower, lower_prompts
from dagc.plan.plan import Plan, missing_rates
from dagc.source import Source
from tests.gates import digests

CUTS = ("ep 8", "pp 2 < ep 4 >", "tp 8", "ep 8 ; tp 2 [sp]", "ep 4 [overlap 2] ; cp 2", "tp 4 [dcp 2]", "tp 4 | ep 4")
LOADS = (
    "batch 48    prompt 1500    output 200",
    "batch 21    prompt 700    output 64    draft 2    accept 60 %    cached 30 %",
    "concurrency 24    prompt 1000    output 100    chunk 512",
    "batch 37    prompt 9    output 6    routing zipf 1",
)
ENGINES = ("", "engine vllm", "engine sglang", "")
DEVICES = ("h100-sxm", "b200-sxm", "a100-80gb-sxm", "gpu-64gb")


def texts() -> dict[str, str]:
    """The plans by name."""
    found = digests.plans()
    for number, model in enumerate(model_names()):
        for cut in (CUTS[(number + step) % len(CUTS)] for step in (0, 2, 4)):
            for load, engine, device in zip(LOADS, ENGINES, DEVICES, strict=True):
                name = f"{model} {cut} {load}"
                found[name] = f"model {model}\ncluster {device}\nworkload {{ {load} }}\n{engine}\nstrategy a = {cut}\n"
    return found


def plans_of(text: str) -> list[Plan]:
    """The strategies of a text that can be priced."""
    found: list[Diagnostic] = []
    known = read_plan(Source("plan.moe", text), (), Path(), found)
    plans: list[Plan] = []

    def kept(plan: Plan, problems: list[Diagnostic]) -> Priced:
        plans.append(plan)
        return size_plan(plan, problems)

    if known is not None and not stops(found):
        for strategy in known[0].strategies:
            check_strategy(strategy, known[1], found, kept)
    return [plan for plan in plans if plan.facts.model.shapes() is not None and not missing_rates(plan)]


def lines(text: str) -> Iterator[str]:
    """One line for each node of each template."""
    for plan in plans_of(text):
        phases = [*lower(plan).classes, lower_prompts(plan), lower_transfer(plan)]
        for phase in phases:
            if phase is not None:
                yield from _of_phase(phase, plan)


def _of_phase(phase: PhaseGraph, plan: Plan) -> Iterator[str]:
    priced = price(phase, plan)
    for template, costs in zip(phase.templates, priced.costs, strict=True):
        place = f"{plan.name} {phase.service} {phase.phase} {template.key}"
        for node, cost in zip(template.nodes, costs, strict=True):
            yield f"{place} {_operator(node)} {_cost(cost)}"


def _operator(node: Node) -> str:
    talk = node.communication
    sent = f" {talk.pattern} {_array(talk.bytes)}" if talk else ""
    return (
        f"{node.key} {node.op.name} `{node.op.title}` {node.op.lane} {node.op.category} {node.dtype} {node.shape}"
        f" flops {_array(node.flops)} bytes {_array(node.memory_bytes)}{sent}"
    )


def _cost(cost: NodeCost) -> str:
    return f"ps {_array(cost.duration)} {cost.bound} {cost.by_traffic} {cost.error} {cost.formula} | {cost.source}"


def _array(values: np.ndarray) -> str:
    if values.size <= 4:
        return str(values.tolist())
    return f"{values.shape} {values.sum()} {sha256(values.tobytes()).hexdigest()[:8]}"


def run() -> None:
    """Write the lines of the named plans, or of all."""
    path, *names = sys.argv[1:]
    with Path(path).open("w", encoding="utf-8") as file:
        for name, text in texts().items():
            if not names or name in names:
                file.writelines(f"{name}: {line}\n" for line in lines(text))


if __name__ == "__main__":
    run()
