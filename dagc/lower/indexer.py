"""The indexer of sparse attention, keys `attention.index*`: it chooses the positions that queries read.

One that chooses for all heads lies whole on every rank of tp (DeepSeek sparse attention). Where KV heads choose for
themselves, it is cut with them, and takes queries and keys in one product (MiniMax-M3).
"""

from __future__ import annotations

from dagc.catalog.attention import Attention, Indexer, Reach
from dagc.catalog.cache import index_bytes
from dagc.catalog.dtype import Dtype
from dagc.catalog.part import Part
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder
from dagc.lower.stage import Stage, add_gemm
from dagc.ops.indexer import IndexerInputs, IndexerScores
from dagc.ops.load import max_rank


def add_indexer(
    builder: TemplateBuilder, stage: Stage, batch: Batch, form: Attention, indexer: Indexer, ends: tuple[int, int]
) -> None:
    """An indexer of a layer of attention. `ends`: the layer's input, the queries' latent."""
    source, latent = ends
    width, tokens = indexer.heads * indexer.head_dim, max_rank(batch.tokens)
    series = 4 if form.ratio else 1
    beside = width if indexer.by_head else indexer.heads
    key = stage.matrix(series * indexer.head_dim + beside, stage.shapes.hidden, Part.ATTENTION)
    keyed = stage.tensor({"t": tokens, "c": indexer.head_dim + (width if indexer.by_head else 0)})
    asked, products = keyed, list[int]()
    if not indexer.by_head:
        queries = stage.matrix(width, form.q_lora, Part.ATTENTION)
        asked = stage.tensor({"t": tokens, "h": indexer.heads, "d": indexer.head_dim})
        products.append(add_gemm(builder, stage, "attention.index_queries", batch.tokens, queries, asked, (latent,)))
    products.append(add_gemm(builder, stage, "attention.index_key", batch.tokens, key, keyed, (source,)))
    made = IndexerInputs(Part.ATTENTION, batch.tokens, width + indexer.head_dim, stage.activation)
    ready = builder.add("attention.index_inputs", made, asked, inputs=tuple(products))
    chosen = stage.tensor({"t": tokens, "k": indexer.top})
    positions, pairs = batch.positions(Reach()), batch.pairs(Reach())
    heads = indexer.heads, indexer.head_dim
    dtype = stage.activation if indexer.by_head else Dtype.FP8
    scores = IndexerScores(
        batch.tokens, batch.sequences, positions, pairs, *heads, form.ratio or 1, index_bytes(form), dtype
    )
    builder.add("attention.index", scores, chosen, inputs=(ready,))
