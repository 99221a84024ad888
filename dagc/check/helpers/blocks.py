"""Blocks of a quantised weight that share one scale, and the matrices that a `tp` may cut inside one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dagc.catalog.attention import Attention, AttentionKind
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import ModelSpec
from dagc.catalog.part import Part
from dagc.check.helpers.alternatives import Lines, fitting_tp, written_factor
from dagc.degrees import AxisKind
from dagc.plan.deployment import Service
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan

BLOCK = {Dtype.FP8: 128, Dtype.MXFP4: 32, Dtype.FP4: 16}
"""Elements of a row that share a scale: fp8 as in DeepSeek-V3's checkpoints, OCP's mxfp4, and NVIDIA's fp4."""


@dataclass(frozen=True, slots=True)
class CutMatrix:
    """A matrix by what it is called: elements across the cut, at least so many on a rank, and how it is stored."""

    name: str
    part: Part
    width: int
    dtype: Dtype
    minimum: int = 1

    def shard(self, tp: int) -> int:
        """Elements across the cut that a rank has."""
        return max(self.width // tp, self.minimum)

    def is_off(self, tp: int) -> bool:
        """Whether the shards of a tp that divides the width end inside a block."""
        block = BLOCK.get(self.dtype)
        divides = self.width % tp == 0 or self.shard(tp) == self.minimum
        return block is not None and divides and self.shard(tp) % block != 0


def outputs(model: ModelSpec, service: Service) -> Iterator[tuple[Factor | None, CutMatrix]]:
    """Each matrix whose rows a `tp` cuts, with that `tp`: what a layer's parts are reduced over."""
    attention = written_factor(service.attention_pool.attention, AxisKind.TP)
    if model.experts is not None:
        experts = written_factor(service.experts_pool.experts, AxisKind.TP)
        dtype = model.expert_dtype or model.weight_dtype
        yield experts, CutMatrix("an expert", Part.EXPERTS, model.experts.ffn, dtype)
        shared = model.experts.shared_ffn
        if shared and not service.options.shared_replicated:
            yield attention, CutMatrix("the shared experts", Part.SHARED_EXPERTS, shared, model.weight_dtype)
    for width in model.dense_widths:
        yield attention, CutMatrix("the dense FFN", Part.DENSE_FFN, width, model.weight_dtype)
    if model.attention is not None:
        latent = model.attention.kind is AttentionKind.MLA
        width = model.attention.heads * (model.attention.v_head if latent else model.attention.head_dim)
        yield attention, CutMatrix("attention's output", Part.ATTENTION, width, model.weight_dtype)


def inputs(model: ModelSpec, service: Service) -> Iterator[tuple[Factor | None, CutMatrix]]:
    """Each matrix of attention whose columns a `tp` cuts; gate and up of an FFN are as wide as their outputs."""
    if model.attention is not None:
        factor = written_factor(service.attention_pool.attention, AxisKind.TP)
        for name, width, minimum in _projections(model.attention):
            yield factor, CutMatrix(name, Part.ATTENTION, width, model.weight_dtype, minimum)


def _projections(attention: Attention) -> Iterator[tuple[str, int, int]]:
    """Name, width, and the least that a rank has: a head for keys and values is copied, not split."""
    heads, head = attention.heads, attention.head_dim
    if attention.kind is AttentionKind.MLA:
        yield "the queries", heads * (attention.qk_nope + attention.qk_rope), 1
        yield "what the latent is expanded to", heads * (attention.qk_nope + attention.v_head), 1
        return
    yield "the queries", heads * head, 1
    if attention.kind is AttentionKind.SHARED:
        return  # every rank holds the one vector of all heads
    yield "the keys and values", attention.kv_heads * head, head


def cut_inside(
    service: Service, tensors: Iterator[tuple[Factor | None, CutMatrix]]
) -> Iterator[tuple[Factor, list[CutMatrix], list[CutMatrix]]]:
    """Each `tp` that cuts some of these inside a block: those, and all that it cuts."""
    split: dict[Factor, list[CutMatrix]] = {}
    for factor, tensor in tensors:
        if factor is not None and factor.degree > 1:
            split.setdefault(factor, []).append(tensor)
    for factor, cut in split.items():
        off = [tensor for tensor in cut if tensor.is_off(factor.degree)]
        if off:
            yield factor, off, cut


def fitting(plan: Plan, factor: Factor, tensors: list[CutMatrix]) -> Lines:
    """Smaller degrees that cut none of these inside a block."""
    tp = factor.degree
    return fitting_tp(plan, factor, lambda d: d < tp and not any(t.is_off(d) or t.width % d for t in tensors))
