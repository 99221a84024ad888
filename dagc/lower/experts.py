"""The feed-forward part of an MoE layer, keys `moe.*`.

Norm, router, shared experts, dispatch, the held experts, combine, weighted sum, and the collectives that bring tokens
from the attention's layout to the experts' and back (see `routing` for the loads):

- a rank holds fewer tokens than its experts' tp group must have: all-gather over that tp before, reduce-scatter after;
- it holds as many or more: its part goes, the experts' tp all-reduces the sums, and where it held more an all-gather
  over attention's tp (with cp, in decode) restores the copies;
- ep > 1: all-to-all over ep, there and back as many rows, one for each token and expert that it chose. Tokens are sent
  as the experts' products take them: in fp8 with an fp32 scale for each 128 where the products are in fp8 or fp4,
  as DeepEP, vLLM and SGLang do, else in the type of activations. Results come back in the type of activations.
  Prefill takes kernels of high throughput, decode those of low latency; what the kernels merge is in their price.
  A combine of low latency sums what it brings: with two micro-batches that hide each other's exchanges, nothing that
  computes waits in turn for it;
- or, by engines that gather: every rank of the expert group gets all its tokens by an all-gather, in the type of
  activations, computes what its experts add to each, and a reduce-scatter sums the parts. Of ranks that hold the same
  tokens each brings a part, and an all-gather over attention's tp restores the copies;
- where all ranks of an expert group hold the same tokens, vLLM, SGLang and TensorRT-LLM send none: each rank computes
  its experts' part of every token, and an all-reduce over ep and tp sums them (`MoeLayer.sums_experts`).

In decode engines run shared experts as one more expert of the grouped products, or beside these on a stream of their
own (`Runtime.merges_shared`): where their sums need no reduction of their own, they are a part of these products. Else
shared experts come before the dispatch, so that nothing overlaps; `beside` puts them beside it, where the plan says so
and where two micro-batches hide each other's exchanges. Partial sums of shared and routed experts are added before one
all-reduce where both are cut over the same ranks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dagc.catalog.part import Part
from dagc.degrees import AxisKind
from dagc.graph.graph import Dim, Tensor
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder
from dagc.lower.disaggregation import TokenTransfer, add_remote_combine, add_remote_dispatch
from dagc.lower.ffn import Width, add_mlp
from dagc.lower.moe_layer import MoeLayer
from dagc.lower.routing import ExpertChoice, route_across, route_inside
from dagc.lower.stage import Stage, add_collective, add_gather, add_gemm, add_norm, add_reduction, shard
from dagc.ops.all_gather import AllGather
from dagc.ops.all_reduce import AllReduce
from dagc.ops.elementwise import Activation, CombinedSum, WeightedSum
from dagc.ops.gemm import Matrix, Router
from dagc.ops.grouped_gemm import GroupedGemm, RowLayout
from dagc.ops.load import NOTHING, Load, compress_uniform, max_rank
from dagc.ops.reduce_scatter import ReduceScatter
from dagc.ops.token_exchange import Choices, Combine, Dispatch, ExchangeKernel, TokenGather, TokenScatter
from dagc.plan.layout import Layout


def add_moe(builder: TemplateBuilder, stage: Stage, batch: Batch, choice: ExpertChoice, beside: bool) -> None:
    """The MoE block; with `beside` the shared experts run while tokens are dispatched."""
    layer = _layer(builder, stage, batch, choice)
    add_norm(builder, stage, "moe.norm", Part.ROUTER, layer.routing.held)
    source = builder.last
    router = _add_router(layer)
    shared = None if beside else _add_shared(layer, source, None)
    dispatched = _add_dispatch(layer, _add_lowered(layer, source), router)
    if beside:
        shared = _add_shared(layer, source, (router,))
    _add_experts(layer, dispatched)
    _add_combine(layer)
    _add_sum(layer, shared)


def _layer(builder: TemplateBuilder, stage: Stage, batch: Batch, choice: ExpertChoice) -> MoeLayer:
    """Loads of the layer; sequence parallelism has one copy of a token where tensor parallelism has tp."""
    layout = stage.experts
    if layout is None:
        raise ValueError("an MoE layer needs experts and their layout")
    held = batch.tokens / stage.sequence_shards
    copies = batch.copies // stage.sequence_shards
    if stage.pool is None:
        routing = route_inside(held, copies, choice, layout)
    else:
        distinct = batch.distinct(stage.own.width)
        routing = route_across(held, copies, distinct, choice, layout)
    return MoeLayer(builder, stage, batch, choice.experts, layout, routing, 0 if stage.pool is None else 1)


def _add_router(layer: MoeLayer) -> int:
    """Scores of all experts, and the choice; the gate of shared experts is one more column."""
    stage, rows = layer.stage, layer.routing.held
    columns = layer.experts.count + (1 if layer.experts.shared_gate else 0)
    router = Router(rows, stage.matrix(columns, stage.shapes.hidden, Part.ROUTER), stage.activation)
    chosen = stage.tensor({"t": max_rank(rows), "k": layer.experts.top})
    return layer.builder.add("moe.router", router, chosen)


def _is_shared_cut(layer: MoeLayer) -> bool:
    return layer.stage.attention.tp > 1 and not layer.stage.options.shared_replicated


def _merges_shared(layer: MoeLayer) -> bool:
    """Whether partial sums of shared and routed experts lie on the same ranks, so that one reduction serves both."""
    stage, layout = layer.stage, layer.layout
    if layer.experts.latent:
        return False
    if layer.team:
        return layer.routing.copies == 1 and not _is_shared_cut(layer)
    group = layout.ep * layout.tp if layer.sums_experts else layout.tp
    if stage.sequence_shards > 1 or group != layer.routing.copies or layer.gathers_group:
        return False
    if group == 1:
        return True
    return _is_shared_cut(layer) and np.array_equal(
        stage.own.layout_groups(stage.attention, (AxisKind.TP,)).members,
        stage.own.layout_groups(layout, layer.reduced).members,
    )


def _in_products(layer: MoeLayer) -> bool:
    """Whether shared experts are part of the grouped products: where their sums need no reduction of their own."""
    stage = layer.stage
    if not stage.merges_shared or layer.batch.is_prefill or layer.team or stage.options.shared_beside:
        return False
    return layer.experts.shared_ffn > 0 and (_merges_shared(layer) or not _is_shared_cut(layer))


class _SharedPart(NamedTuple):
    """What shared experts add to grouped products: rows, experts that are hit, in times of a routed one, and bytes.

    The latter are those of an element of their weights.
    """

    rows: Load
    hit: float
    bytes: float


def _shared_part(layer: MoeLayer) -> _SharedPart:
    """By the elements of the weights."""
    if not _in_products(layer):
        return _SharedPart(NOTHING, 0.0, 0.0)
    stage, experts = layer.stage, layer.experts
    cut = _is_shared_cut(layer)
    own = shard(experts.shared_ffn, stage.attention.tp if cut else 1) * stage.shapes.hidden
    elements = own / (shard(experts.ffn, layer.layout.tp) * layer.width)
    rows = layer.batch.tokens if cut else layer.routing.held
    return _SharedPart(rows * elements, elements, stage.matrix(1, 1, Part.SHARED_EXPERTS).stored.bytes)


def _add_shared(layer: MoeLayer, source: int, after: tuple[int, ...] | None) -> int | None:
    """Shared experts on every token that the rank holds; the node that has their result, or None."""
    width, stage, builder = layer.experts.shared_ffn, layer.stage, layer.builder
    if not width or _in_products(layer):
        return None
    if not _is_shared_cut(layer):
        add_mlp(
            builder, stage, "moe.shared", layer.routing.held, Width(width, 1, Part.SHARED_EXPERTS), (source,), after
        )
        return builder.last
    tokens = layer.batch.tokens
    if stage.sequence_shards > 1:
        add_gather(builder, stage, "moe.shared.all_gather", tokens, (source,))
        add_mlp(builder, stage, "moe.shared", tokens, Width(width, stage.attention.tp, Part.SHARED_EXPERTS))
    else:
        add_mlp(
            builder,
            stage,
            "moe.shared",
            tokens,
            Width(width, stage.attention.tp, Part.SHARED_EXPERTS),
            (source,),
            after,
        )
    if not _merges_shared(layer):
        add_reduction(builder, stage, "moe.shared", tokens)
    return builder.last


def _add_dispatch(layer: MoeLayer, source: int, router: int) -> int:
    """Tokens to the ranks of their experts; the node that has them."""
    stage, layout, routing = layer.stage, layer.layout, layer.routing
    builder = layer.builder
    inputs = (source, router)
    if layer.team:
        return add_remote_dispatch(builder, stage, _crossing(layer, layer.row), inputs)
    if layer.gathers_group:
        return _add_group_gather(layer, inputs)
    if layer.gathers_before:
        members = (layout, (AxisKind.TP,))
        gathered = routing.sent * layer.width
        whole = layer.vectors(routing.sent)
        inputs = (add_collective(builder, stage, "moe.all_gather", AllGather, members, gathered, whole, inputs),)
    if not layer.exchanges:
        return inputs[0]
    output = _expert_tensor(layer, {"m": layer.width})
    return _add_exchange(layer, Dispatch, output, inputs)


def _add_group_gather(layer: MoeLayer, inputs: tuple[int, ...]) -> int:
    """All tokens of the expert group to each of its ranks."""
    group, axes = layer.routing.group, _present(layer.layout, layer.reduced)
    groups = layer.stage.own.layout_groups(layer.layout, axes)
    op = TokenGather(axes, groups, group * layer.result, layer.result)
    span = layer.stage.axis_span(layer.layout, AxisKind.EP)
    return layer.builder.add("moe.dispatch", op, layer.vectors(group), inputs=inputs, span=span)


def _add_group_scatter(layer: MoeLayer) -> None:
    """The sums of a rank's own tokens, from the parts that all ranks of the expert group have."""
    axes = _present(layer.layout, layer.reduced)
    groups = layer.stage.own.layout_groups(layer.layout, axes)
    op = TokenScatter(axes, groups, layer.sums * layer.result, layer.result)
    kept = layer.vectors(layer.routing.held / layer.routing.copies)
    span = layer.stage.axis_span(layer.layout, AxisKind.EP)
    layer.builder.add("moe.combine", op, kept, inputs=(layer.builder.last,), span=span)


def _present(layout: Layout, axes: tuple[AxisKind, ...]) -> tuple[AxisKind, ...]:
    return tuple(axis for axis in axes if layout.degree(axis) > 1)


def _add_exchange(layer: MoeLayer, leg: type[Dispatch | Combine], output: Tensor, inputs: tuple[int, ...]) -> int:
    """The all-to-all over ep: rows of tokens to their experts, or rows of results back."""
    groups = layer.stage.own.layout_groups(layer.layout, (AxisKind.EP,))
    out, back = _rows(layer), layer.routing.received
    row, (sent, taken) = (layer.row, (out, back)) if leg is Dispatch else (layer.result, (back, out))
    choices = Choices(layer.experts.top, layer.experts.groups, layer.experts.top_groups)
    sent, taken = compress_uniform(sent * row), compress_uniform(taken * row)
    op = leg((AxisKind.EP,), groups, sent, taken, row, layer.kernel, choices)
    span = layer.stage.axis_span(layer.layout, AxisKind.EP)
    return layer.builder.add(f"moe.{leg.name}", op, output, inputs=inputs, span=span)


def _crossing(layer: MoeLayer, row_bytes: float) -> TokenTransfer:
    return TokenTransfer(_rows(layer), layer.routing.received, layer.width, row_bytes)


def _rows(layer: MoeLayer) -> Load:
    """Rows that each rank sends to dispatch its tokens: one for each choice."""
    return layer.routing.sent * layer.experts.top


def _expert_tensor(layer: MoeLayer, width: dict[str, int]) -> Tensor:
    """Token-expert pairs at a rank of the experts."""
    dims = {"t": max_rank(layer.routing.received), **width}
    over = (("t", AxisKind.EP),) if layer.layout.ep > 1 else ()
    split = (("f", AxisKind.TP),) if "f" in width and layer.layout.tp > 1 else ()
    return Tensor(layer.stage.activation, tuple(Dim(k, v) for k, v in dims.items()), over + split)


def _add_experts(layer: MoeLayer, dispatched: int) -> None:
    """Up with its gate, activation and down, of each held expert that has tokens."""
    stage = layer.stage
    inner = shard(layer.experts.ffn, layer.layout.tp)
    lanes = 2 if stage.shapes.gated else 1
    raised = _expert_tensor(layer, {"f": lanes * inner})
    up = stage.matrix(lanes * inner, layer.width, Part.EXPERTS)
    brought = NOTHING if layer.exchanges or layer.team else layer.sums * layer.width
    layer.builder.add("moe.experts.up", _grouped(layer, up, brought), raised, inputs=(dispatched,), team=layer.team)
    activation = Activation(Part.EXPERTS, layer.carried, inner, stage.activation, lanes)
    layer.builder.add("moe.experts.activation", activation, _expert_tensor(layer, {"f": inner}), team=layer.team)
    down = stage.matrix(layer.width, inner, Part.EXPERTS)
    output = _expert_tensor(layer, {"m": layer.width})
    layer.builder.add("moe.experts.down", _grouped(layer, down, layer.carried * inner), output, team=layer.team)


def _grouped(layer: MoeLayer, matrix: Matrix, inputs: Load) -> GroupedGemm:
    """A product for each expert: weights of the distinct experts expected to be hit are read, once each.

    `inputs` are elements that come in the type of activations: tokens that were not sent, and what is between products.
    """
    routing, count = layer.routing, layer.experts.count
    held = shard(count + layer.stage.options.redundant, layer.layout.ep)
    layout = None
    if layer.exchanges and layer.stage.lays_rows:
        layout = RowLayout.CONTIGUOUS if layer.kernel is ExchangeKernel.NORMAL else RowLayout.MASKED
    shared = _shared_part(layer)
    pairs = (routing.received, routing.hit), routing.fullest
    mean, fullest = [(compress_uniform(rows + shared.rows), hit + shared.hit) for rows, hit in pairs]
    cast = compress_uniform(inputs) if layer.is_quantised else NOTHING
    held_by, activation = (held, count), layer.stage.activation
    return GroupedGemm(*mean, matrix, activation, *held_by, *fullest, layout, cast, shared.hit, shared.bytes)


def _add_combine(layer: MoeLayer) -> None:
    """Results back to the ranks that sent the tokens."""
    results = layer.stage.tensor({"t": max_rank(layer.sums), "m": layer.width, "k": layer.experts.top})
    if layer.team:
        add_remote_combine(layer.builder, layer.stage, _crossing(layer, layer.result), results)
    elif layer.exchanges:
        _add_exchange(layer, Combine, results, (layer.builder.last,))


def _add_sum(layer: MoeLayer, shared: int | None) -> None:
    """The weighted sum, its reduction over the experts' tp, and the attention's layout again, with shared experts."""
    builder, stage = layer.builder, layer.stage
    merged = shared if _merges_shared(layer) else None
    partial = AxisKind.TP if _is_partial(layer) else None
    inside = _in_products(layer)
    terms = layer.experts.top * (layer.layout.tp if layer.team else 1) + (merged is not None or inside)
    inputs = (builder.last,) if merged is None else (builder.last, merged)
    hides = layer.exchanges and stage.options.overlap > 1
    kind = CombinedSum if hides and not layer.batch.is_prefill else WeightedSum
    op = kind(Part.EXPERTS, layer.sums, layer.width, stage.activation, terms)
    builder.add("moe.aggregate", op, layer.vectors(layer.sums, partial), inputs=inputs)
    _add_return(layer)
    _add_raised(layer)
    if (shared is not None and merged is None) or (inside and not _merges_shared(layer)):
        held = layer.routing.held
        both = WeightedSum(Part.SHARED_EXPERTS, held, stage.shapes.hidden, stage.activation, 2)
        inputs = (builder.last,) if shared is None else (builder.last, shared)
        builder.add("moe.shared.add", both, stage.hidden(held), inputs=inputs)


def _is_partial(layer: MoeLayer) -> bool:
    """Whether sums on a rank lack what others computed."""
    return (layer.layout.tp > 1 or layer.sums_experts or layer.gathers_group) and not layer.team


def _add_return(layer: MoeLayer) -> None:
    """Reductions over the experts' tp and the gather to attention's copies."""
    builder, stage, routing = layer.builder, layer.stage, layer.routing
    if layer.gathers_group:
        _add_group_scatter(layer)
    elif _is_partial(layer):
        collective = ReduceScatter if layer.gathers_before else AllReduce
        kept = layer.vectors(routing.held / routing.copies if layer.gathers_before else layer.sums)
        members = (layer.layout, layer.reduced)
        add_collective(builder, stage, f"moe.{collective.name}", collective, members, layer.sums * layer.width, kept)
    if layer.gathers_after:
        over_cp = () if layer.batch.is_prefill else (AxisKind.CP,)
        over_tp = () if stage.sequence_shards > 1 else (AxisKind.TP,)
        members = (stage.attention, (*over_cp, *over_tp))
        held = layer.vectors(routing.held)
        add_collective(builder, stage, "moe.return_all_gather", AllGather, members, routing.held * layer.width, held)


def _add_lowered(layer: MoeLayer, source: int) -> int:
    """Tokens in the latent space of the experts, where they have one; the node that has what is dispatched."""
    if not layer.experts.latent:
        return source
    rows, hidden = layer.routing.held, layer.stage.shapes.hidden
    matrix = layer.stage.matrix(layer.width, hidden, Part.OTHER)
    return add_gemm(layer.builder, layer.stage, "moe.latent_down", rows, matrix, layer.vectors(rows), (source,))


def _add_raised(layer: MoeLayer) -> None:
    """Sums out of the latent space."""
    if layer.experts.latent:
        rows, hidden = layer.routing.held, layer.stage.shapes.hidden
        matrix = layer.stage.matrix(hidden, layer.width, Part.OTHER)
        add_gemm(layer.builder, layer.stage, "moe.latent_up", rows, matrix, layer.stage.hidden(rows))
