"""Counts the parameters of one attention layer, and those of its norms.

A recurrent mixer counts its own. Attention of part of the heads (`Attention.shard`) gives the parameters of one rank:
what does not depend on heads, such as the down-projections of latent attention and an indexer, stays whole.
"""

from __future__ import annotations

from dagc.catalog.attention import Attention, AttentionKind, Indexer


def attention_parameters(attention: Attention, hidden: int) -> int:
    """Projections, biases and sinks of one attention layer; its norms are counted among the norms."""
    match attention.kind:
        case AttentionKind.MLA:
            projections = _latent(attention, hidden)
        case AttentionKind.SHARED:
            projections = _shared(attention, hidden)
        case AttentionKind.MHA | AttentionKind.GQA:
            projections = _heads(attention, hidden)
    more = attention.gate_columns * hidden + (attention.heads if attention.sinks else 0)
    return projections + more + (_indexer(attention, attention.own_indexer, hidden) if attention.own_indexer else 0)


def attention_norms(attention: Attention) -> int:
    """Weights of the norms inside one attention layer: of latents, of queries and keys, of an indexer's key."""
    inner = 0
    if attention.kind is AttentionKind.MLA:
        inner = attention.q_lora + attention.kv_lora
    elif attention.kind is AttentionKind.SHARED:
        inner = attention.q_lora + attention.head_dim * (2 if attention.ratio else 1)
    if attention.qk_norm:
        inner += attention.head_dim * (1 if attention.reads_other else 2)
    if attention.qk_norm_whole:
        inner += (attention.heads + attention.kv_heads) * attention.head_dim
    if attention.own_indexer:
        inner += attention.own_indexer.head_dim * (1 if attention.ratio else 2)
    return inner


def _heads(attention: Attention, hidden: int) -> int:
    """MHA and GQA: queries, keys, values, output, and their biases."""
    queries = attention.heads * attention.head_dim
    keys = 0 if attention.reads_other else attention.kv_heads * attention.head_dim
    values = 0 if attention.reads_other or attention.key_is_value else attention.kv_heads * attention.value_dim
    projections = hidden * (queries + keys + values) + attention.heads * attention.value_dim * hidden
    return projections + (queries + keys + values if attention.qkv_bias else 0) + _out_bias(attention, hidden)


def _latent(attention: Attention, hidden: int) -> int:
    """MLA: queries (through a latent where q_lora > 0), KV latent with the rotary key, up-projection, output."""
    queries = attention.heads * (attention.qk_nope + attention.qk_rope)
    q = hidden * attention.q_lora + attention.q_lora * queries if attention.q_lora else hidden * queries
    latents = attention.kv_lora + attention.qk_rope
    up = attention.kv_lora * attention.heads * (attention.qk_nope + attention.v_head)
    down_bias = attention.q_lora + latents if attention.qkv_bias else 0
    output = attention.heads * attention.v_head * hidden + _out_bias(attention, hidden)
    return q + hidden * latents + up + output + down_bias


def _shared(attention: Attention, hidden: int) -> int:
    """One key-value vector for all heads: queries through a latent, output through a latent for each group of heads."""
    inner = attention.heads * attention.head_dim
    queries = hidden * attention.q_lora + attention.q_lora * inner
    output = inner * attention.o_lora + attention.o_groups * attention.o_lora * hidden
    entries = _compressor(attention, attention.head_dim, hidden) if attention.ratio else 0
    return queries + hidden * attention.head_dim + output + entries


def _compressor(attention: Attention, width: int, hidden: int) -> int:
    """What makes one entry of `ratio` positions: a projection, its gate, and a bias for each position.

    Entries that an indexer chooses from overlap, each made of its own positions and of those before (DeepSeek-V4
    technical report, section 2.3.1), and so take twice the width.
    """
    series = 2 if attention.indexer else 1
    return series * width * (2 * hidden + attention.ratio)


def _indexer(attention: Attention, indexer: Indexer, hidden: int) -> int:
    """Queries from the latent, one key (or compressed entries), a weight for each head."""
    queries = attention.q_lora * indexer.heads * indexer.head_dim
    key = _compressor(attention, indexer.head_dim, hidden) if attention.ratio else hidden * indexer.head_dim
    return queries + key + hidden * indexer.heads


def _out_bias(attention: Attention, hidden: int) -> int:
    return hidden if attention.out_bias else 0
