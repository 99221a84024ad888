"""A small model on few GPUs, for searches that take a second."""

from __future__ import annotations

from pathlib import Path

from dagc.driver.front import read_plan
from dagc.plan.plan import Facts
from dagc.search.space import Space
from dagc.source import Source

MODEL = """model tiny {
    layers 8    hidden 1024    vocab 32000    dtype bf16
    attention { heads 8    kv_heads 4    head_dim 128 }
    experts 8 { top 2    ffn 2048    shared 1 }
}
"""
TIGHT_MODEL = """model tiny {
    layers 8    hidden 4096    vocab 32000    dtype bf16
    attention { heads 6    kv_heads 2    head_dim 128 }
    experts 8 { top 2    ffn 8192    shared 1 }
}
"""
"""Wider: its weights fill much of a few GPUs of 12 GB."""
PLAN = MODEL + "cluster h100-sxm x 4 { price 2 USD/h }\nworkload { batch 8    prompt 128    output 16 }\n"
STRATEGIES = "strategy mine = ep 4\nstrategy other = pp 2 < tp 2 >\n"


def facts(text: str = PLAN) -> Facts:
    """What a plan states."""
    known = read_plan(Source("plan", text + "strategy main = tp 1\n"), (), Path(), [])
    assert known is not None
    return known[1]


def space(of: Facts, over: frozenset[str] = frozenset(), gpus: int | None = None) -> Space:
    """All that the command would search."""
    shapes = of.model.shapes()
    assert shapes is not None
    experts = shapes.experts
    return Space(
        gpus=gpus or of.cluster.gpus or 1,
        batches=(of.workload.batch,),
        layers=shapes.layers,
        experts=experts.count if experts else 0,
        has_shared=bool(experts and experts.shared_ffn),
        over=over,
        in_steps=of.workload.concurrency is not None,
    )
