"""The choice of positions that a token attends to, keys `attention.index*` (DeepSeek sparse attention).

An indexer lies whole on every rank of tp. It scores each position before a token, or each compressed entry, against a
cached key: 2 · heads · width FLOPs a pair (DeepSeek-V3.2-Exp, 2025). Choosing the best is not counted.
"""

from __future__ import annotations

from dagc.catalog.attention import Attention, Indexer, Reach
from dagc.catalog.cache import index_bytes
from dagc.catalog.dtype import Dtype
from dagc.catalog.part import Part
from dagc.graph.ops import INDEXER
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder, Work, largest
from dagc.lower.stage import Stage, add_gemm


def add_indexer(builder: TemplateBuilder, stage: Stage, batch: Batch, form: Attention, ends: tuple[int, int]) -> None:
    """The indexer of a layer, nothing where it has none of its own. `ends`: the layer's input, the queries' latent."""
    indexer = form.own_indexer
    if indexer is None:
        return
    source, latent = ends
    width, tokens = indexer.heads * indexer.head_dim, largest(batch.tokens)
    queries = stage.matrix(width, form.q_lora, Part.ATTENTION)
    asked = stage.tensor({"t": tokens, "h": indexer.heads, "d": indexer.head_dim})
    asking = add_gemm(builder, stage, "attention.index_queries", batch.tokens, queries, asked, (latent,))
    series = 4 if form.ratio else 1
    key = stage.matrix(series * indexer.head_dim + indexer.heads, stage.shapes.hidden, Part.ATTENTION)
    keyed = stage.tensor({"t": tokens, "c": indexer.head_dim})
    kept = add_gemm(builder, stage, "attention.index_key", batch.tokens, key, keyed, (source,))
    chosen = stage.tensor({"t": tokens, "k": indexer.top})
    builder.add("attention.index", INDEXER, chosen, _scores(batch, form, indexer), inputs=(asking, kept))


def _scores(batch: Batch, form: Attention, indexer: Indexer) -> Work:
    everything = Reach()
    ratio = form.ratio or 1
    flops = 2.0 * indexer.heads * indexer.head_dim * batch.pairs(everything) / ratio
    positions = batch.positions(everything)
    shape = (("queries", largest(batch.tokens)), ("context", largest(positions / ratio)), ("heads", indexer.heads))
    return Work(flops, positions * index_bytes(form), Dtype.FP8, shape)
