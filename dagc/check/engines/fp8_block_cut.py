"""D403: vLLM and SGLang cannot load a shard of a block-quantized fp8 matrix that ends inside a block.

Both raise as they make a layer's weights, before anything is read: a matrix whose rows or columns tp splits must have
multiples of the block's side on each rank. vLLM 0.12.0: `validate_fp8_block_shape` for linear layers (row-parallel:
attention's output, down; column-parallel, each of a merged one: queries, keys, values, gate, up), vllm-project/vllm @
364d0192, vllm/model_executor/layers/quantization/utils/fp8_utils.py; `Fp8MoEMethod.create_weights` for the width of an
expert, @ 0071b24b, .../quantization/fp8.py. SGLang 0.5.9: `Fp8LinearMethod.validate_block_quant_shapes` and
`Fp8MoEMethod.create_fp8_moe_weight_`, sgl-project/sglang @ 00563d36, python/sglang/srt/layers/quantization/fp8.py, but
for experts on AMD with AITER, which are padded. Scales of another form (a tensor, a channel) are never cut.
"""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.dtype import Dtype
from dagc.catalog.model import ModelSpec
from dagc.check.helpers.alternatives import use_degree
from dagc.check.helpers.blocks import BLOCK, CutMatrix, cut_inside, fitting, inputs, outputs
from dagc.check.helpers.engines import services_under
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.engines.engine import Engine
from dagc.plan.layout import Factor
from dagc.plan.plan import Plan

CODE = Code("D403", "fp8-block-cut")

_SIDE = BLOCK[Dtype.FP8]


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One diagnostic for each `tp` of each service, with every matrix that it cuts inside a block."""
    model = plan.facts.model
    for engine, service in services_under(plan, CODE):
        tensors = (pair for pair in (*outputs(model, service), *inputs(model, service)) if _has_blocks(model, pair[1]))
        for factor, off, cut in cut_inside(service, tensors):
            yield _diagnostic(plan, engine, factor, off, cut)


def _has_blocks(model: ModelSpec, tensor: CutMatrix) -> bool:
    """Whether the model's figures say that one scale is kept for each block; of a stated `dtype fp8` that is open."""
    stored = dict(model.stored).get(tensor.part)
    if stored is None:
        return False
    return stored.dtype is Dtype.FP8 and round(stored.scale_bytes * _SIDE**2) == Dtype.FP32.bytes


def _diagnostic(plan: Plan, engine: Engine, factor: Factor, off: list[CutMatrix], cut: list[CutMatrix]) -> Diagnostic:
    first, tp = off[0], factor.degree
    return CODE.at(
        factor.span,
        f"{engine.title} cannot load {first.name} in shards of {first.shard(tp)}: fp8 in blocks of {_SIDE} × {_SIDE}",
        f"{first.width} over `tp {tp}` are {first.shard(tp)}, no multiple of {_SIDE}",
        notes=tuple(f"{t.name}, too: {t.width} over `tp {tp}` are {t.shard(tp)}" for t in off[1:]),
        help=("or split the experts with `ep`, which leaves each whole",) if first.name == "an expert" else (),
        offers=use_degree(plan, factor.span, fitting(plan, factor, cut), applies=False),
    )
