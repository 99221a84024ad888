"""W127: a tensor shard is no multiple of the block that shares one scale in a quantised weight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dagc.catalog.attention import AttentionKind
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import ModelSpec
from dagc.check.alternatives import fitting_tp, use_degree, written_factor
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.deployment import Service
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan
from dagc.syntax.tree import AxisKind

CODE = Code("W127", "shard-off-block", Severity.WARNING)

BLOCK = {Dtype.FP8: 128, Dtype.MXFP4: 32, Dtype.FP4: 16}
"""Elements of a row that share a scale: fp8 as in DeepSeek-V3's checkpoints, OCP's mxfp4, and NVIDIA's fp4."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """What is split, how wide it is, and how it is stored."""

    name: str
    width: int
    dtype: Dtype

    def is_off(self, tp: int) -> bool:
        block = BLOCK.get(self.dtype)
        return block is not None and self.width % tp == 0 and (self.width // tp) % block != 0


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each `tp`, with every tensor that it cuts off a block."""
    for service in plan.deployment.services:
        split: dict[Factor, list[_Tensor]] = {}
        for factor, tensor in _split(plan.facts.model, service):
            if factor is not None and factor.degree > 1:
                split.setdefault(factor, []).append(tensor)
        for factor, tensors in split.items():
            off = [tensor for tensor in tensors if tensor.is_off(factor.degree)]
            if off:
                yield _diagnostic(plan, factor, off, tensors)


def _split(model: ModelSpec, service: Service) -> Iterator[tuple[Factor | None, _Tensor]]:
    """Each tensor with the `tp` that splits it."""
    attention = written_factor(service.attention_pool.attention, AxisKind.TP)
    if model.experts is not None:
        experts = written_factor(service.experts_pool.experts, AxisKind.TP)
        yield experts, _Tensor("an expert", model.experts.ffn, model.expert_dtype or model.weight_dtype)
        if model.experts.shared_ffn and not service.options.shared_replicated:
            yield attention, _Tensor("the shared experts", model.experts.shared_ffn, model.weight_dtype)
    if model.dense_ffn:
        yield attention, _Tensor("the dense FFN", model.dense_ffn, model.weight_dtype)
    if model.attention is not None:
        latent = model.attention.kind is AttentionKind.MLA
        width = model.attention.heads * (model.attention.v_head if latent else model.attention.head_dim)
        yield attention, _Tensor("attention's output", width, model.weight_dtype)


def _diagnostic(plan: Plan, factor: Factor, off: list[_Tensor], tensors: list[_Tensor]) -> Diagnostic:
    first, tp = off[0], factor.degree
    fitting = fitting_tp(plan, factor, lambda d: d < tp and not any(t.is_off(d) or t.width % d for t in tensors))
    return CODE.at(
        factor.span,
        f"`tp {tp}` cuts {first.name} inside a block of {BLOCK[first.dtype]} {first.dtype} elements",
        f"{first.width} / {tp} = {first.width // tp}, no multiple of {BLOCK[first.dtype]}",
        notes=tuple(f"{t.name}, too: {t.width} / {tp} = {t.width // tp}" for t in off[1:]),
        offers=use_degree(plan, factor.span, fitting, applies=False),
    )
