"""What mixes tokens in each layer, with what window, from the fields of a configuration.

A `Plan` of a family takes the configuration and the attention of its full-attention layers. Lists that state each layer
(`layer_types` and others like it) count before intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dagc.catalog.attention import Attention, AttentionKind, Indexer
from dagc.catalog.huggingface.attention import indexer
from dagc.catalog.huggingface.fields import Config, InvalidField, MissingField, UnsupportedField
from dagc.catalog.recurrent import Recurrent


@dataclass(frozen=True, slots=True)
class Mixing:
    """One layer's mixer and the window of its attention; no mixer in a layer that is feed-forward only.

    `dense_ffn` is the width of its dense feed-forward where layers differ in it.
    """

    mixer: Attention | Recurrent | None
    window: int | None = None
    dense_ffn: int = 0


Plan = Callable[[Config, Attention], tuple[Mixing, ...]]

_TYPES: Mapping[object, str] = {
    "full_attention": "full",
    "attention": "full",
    "indexed_attention": "indexed",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "recurrent",
    "conv": "recurrent",
    "mamba": "recurrent",
}


def uniform(config: Config, attention: Attention) -> tuple[Mixing, ...]:
    """Every layer attends to everything, but from `max_window_layers` on where `use_sliding_window` is set (Qwen)."""
    found = _typed(config, attention)
    if found or not config.flag("use_sliding_window"):
        if config.get("use_sliding_window") is False or not config.states("sliding_window"):
            config.without_effect("sliding_window", "max_window_layers")
        return found or (Mixing(attention),) * config.layers()
    window, first = config.count("sliding_window"), config.count("max_window_layers", minimum=0)
    return tuple(Mixing(attention, window if i >= first else None) for i in range(config.layers()))


def windowed(config: Config, attention: Attention) -> tuple[Mixing, ...]:
    """Every layer has the window, where there is one (Mistral)."""
    is_windowed = config.flag("use_sliding_window", True) and config.get("sliding_window") is not None
    if not is_windowed:
        config.without_effect("sliding_window")
    window = config.count("sliding_window") if is_windowed else None
    return _typed(config, attention) or (Mixing(attention, window),) * config.layers()


def typed(config: Config, attention: Attention) -> tuple[Mixing, ...]:
    """`layer_types` says which layers have the window."""
    found = _typed(config, attention)
    if found is None:
        raise MissingField("layer_types")
    return found


def every(field: str, full: bool = True, window: str = "sliding_window") -> Plan:
    """Every so many layers attend to everything and the others have the window; the reverse where `full` is false."""

    def plan(config: Config, attention: Attention) -> tuple[Mixing, ...]:
        found = _typed(config, attention)
        if found or config.get(window) is None:
            config.without_effect(field, f"_{field}", window)
            return found or (Mixing(attention),) * config.layers()
        step, width = config.count(field), config.count(window)
        chosen = ((i + 1) % step == 0 for i in range(config.layers()))
        return tuple(Mixing(attention, None if one == full else width) for one in chosen)

    return plan


def llama4(config: Config, attention: Attention) -> tuple[Mixing, ...]:
    """Three of four layers attend inside chunks, taken as a window of that length; the fourth, without rotary
    positions, to everything.
    """
    found = _typed(config, attention)
    if found or config.get("attention_chunk_size") is None:
        return found or (Mixing(attention),) * config.layers()
    chunk, step = config.count("attention_chunk_size"), config.count_or(4, "no_rope_layer_interval", minimum=1)
    named = config.by_layer("no_rope_layers", config.layers()) if config.get("no_rope_layers") else None
    rotary = named or tuple(int((i + 1) % step != 0) for i in range(config.layers()))
    return tuple(Mixing(attention, chunk if has_rotary else None) for has_rotary in rotary)


def recurrent(read: Callable[[Config], Recurrent], interval: str | None = None) -> Plan:
    """`layer_types` says which layers are recurrent; or every so many layers are not."""

    def plan(config: Config, attention: Attention) -> tuple[Mixing, ...]:
        mixer = read(config)
        found = _typed(config, attention, mixer)
        if found:
            config.without_effect(*([interval] if interval else []))
            return found
        if interval is None:
            raise MissingField("layer_types")
        step = config.count(interval)
        return tuple(Mixing(mixer if (i + 1) % step else attention) for i in range(config.layers()))

    return plan


def minimax01(read: Callable[[Config], Recurrent]) -> Plan:
    """`attn_type_list` (0 linear, 1 attention) or `layer_types` (MiniMax-01 and M1)."""

    def plan(config: Config, attention: Attention) -> tuple[Mixing, ...]:
        mixer = read(config)
        listed = config.kinds("attn_type_list", config.layers(), {0: Mixing(mixer), 1: Mixing(attention)})
        return listed or recurrent(read)(config, attention)

    return plan


def hybrid(read: Callable[[Config], Recurrent]) -> Plan:
    """Nemotron-H: a letter for each layer, which is one block only: M a state, * attention, - and E feed-forward."""

    def plan(config: Config, attention: Attention) -> tuple[Mixing, ...]:
        mixer = Mixing(read(config))
        known = {"M": mixer, "*": Mixing(attention), "-": Mixing(None), "E": Mixing(None)}
        words = {"mamba": mixer, "attention": Mixing(attention), "mlp": Mixing(None), "moe": Mixing(None)}
        field = config.first("hybrid_override_pattern", "layers_block_type")
        found = config.kinds(field, config.layers(), {**known, **words})
        if found is None:
            raise MissingField(field)
        return found

    return plan


def indexed(read: Callable[[Config], Recurrent], attending: Callable[[Config], Callable[[int], bool]]) -> Plan:
    """Layers that `attending` names have attention, the others a state."""

    def plan(config: Config, attention: Attention) -> tuple[Mixing, ...]:
        attends, mixer = attending(config), read(config)
        return tuple(Mixing(attention if attends(i) else mixer) for i in range(config.layers()))

    return plan


def jamba(config: Config) -> Callable[[int], bool]:
    """Every `attn_layer_period`-th layer from `attn_layer_offset`."""
    period, offset = config.count("attn_layer_period"), config.count("attn_layer_offset", minimum=0)
    return lambda i: i % period == offset


def named(field: str) -> Callable[[Config], Callable[[int], bool]]:
    """The layers of a list, counted from 0."""

    def read(config: Config) -> Callable[[int], bool]:
        chosen = config.indices(field)
        if chosen is None:
            raise MissingField(field)
        return lambda i: i in chosen

    return read


def kimi(config: Config) -> Callable[[int], bool]:
    """Kimi Linear: layers with attention and those with a state, both counted from 1; together they are all."""
    section, layers = "linear_attn_config", config.layers()
    full = config.indices(f"{section}.full_attn_layers", 1)
    states = config.indices(f"{section}.kda_layers", 1)
    if full is None:
        raise MissingField(f"{section}.full_attn_layers")
    if states is not None and {i for i in states if i < layers} != set(range(layers)) - full:
        raise InvalidField(f"{section}.kda_layers", "does not name the layers that `full_attn_layers` leaves")
    return lambda i: i in full


def indexed_by_some(config: Config, attention: Attention) -> tuple[Mixing, ...]:
    """Sparse attention whose indexers may serve several layers: the `shared` ones take the choice of the one before.

    `indexer_types` states each layer (`full`, `shared`), `index_topk_pattern` the same in letters; else every
    `index_topk_freq`-th layer has an indexer from the first `index_skip_topk_offset` on (GLM-5.2; arXiv 2603.12201).
    """
    found = uniform(config, attention)
    if attention.indexer is None:
        return found
    shared = _shared_indexers(config)
    if shared[0]:
        raise InvalidField("indexer_types", "has a first layer without an indexer, and none before it")
    reading = replace(attention, indexer=replace(attention.indexer, reads_other=True))
    return tuple(replace(m, mixer=reading) if one else m for m, one in zip(found, shared, strict=True))


def _shared_indexers(config: Config) -> tuple[bool, ...]:
    """Whether each layer takes the choice of an earlier one. Lists and schedule must not contradict each other."""
    layers, every = config.layers(), config.count_or(1, "index_topk_freq", minimum=1)
    offset = config.count_or(2, "index_skip_topk_offset")
    schedule = tuple(max(i - offset + 1, 0) % every != 0 for i in range(layers))
    types = config.kinds("indexer_types", layers, {"full": False, "shared": True})
    letters = config.kinds("index_topk_pattern", layers, {"F": False, "S": True})
    if types is not None and config.get("index_topk_freq") is not None and letters is None and types != schedule:
        raise InvalidField("indexer_types", "contradicts `index_topk_freq` and `index_skip_topk_offset`")
    if types is not None and letters is not None and types != letters:
        raise InvalidField("indexer_types", "contradicts `index_topk_pattern`")
    return types or letters or schedule


def mimo(config: Config, attention: Attention) -> tuple[Mixing, ...]:
    """MiMo-V2: windowed layers (1 in `hybrid_layer_pattern`) have heads, widths and sinks of their own."""
    heads, kv_heads = config.count("swa_num_attention_heads"), config.count("swa_num_key_value_heads")
    near = replace(
        attention,
        kind=AttentionKind.MHA if kv_heads == heads else AttentionKind.GQA,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=config.count("swa_head_dim"),
        v_head=config.count("swa_v_head_dim"),
        sinks=config.flag("add_swa_attention_sink_bias"),
    )
    # The length of a chunk repeats that of the window, which the libraries take.
    config.without_effect("attention_chunk_size")
    window = config.count("sliding_window", "sliding_window_size")
    known: Mapping[object, Mixing] = {0: Mixing(attention), 1: Mixing(near, window)}
    found = config.kinds("hybrid_layer_pattern", config.layers(), known)
    if found is None:
        raise MissingField("hybrid_layer_pattern")
    return found


def step(config: Config, attention: Attention) -> tuple[Mixing, ...]:
    """Step-3.5: windowed layers may have heads of their own (`attention_other_setting`)."""
    other = "attention_other_setting"
    near = replace(
        attention,
        heads=config.count_or(
            attention.heads, f"{other}.num_attention_heads", "num_sliding_attention_heads", minimum=1
        ),
        kv_heads=config.count_or(attention.kv_heads, f"{other}.num_attention_groups", minimum=1),
        head_dim=config.count_or(attention.head_dim, f"{other}.head_dim", minimum=1),
    )
    return tuple(m if m.window is None else replace(m, mixer=near) for m in typed(config, attention))


def gemma4(config: Config, attention: Attention) -> tuple[Mixing, ...]:
    """Gemma 4: full-attention layers may have wider heads, fewer KV heads, and keys that are their values too.

    The last `num_kv_shared_layers` read the keys and values of an earlier layer.
    """
    config.refuse("use_double_wide_mlp", "a feed-forward width that differs between layers")
    far = replace(attention, head_dim=config.count_or(attention.head_dim, "global_head_dim", minimum=1))
    if config.flag("attention_k_eq_v"):
        kv_heads = config.count_or(attention.kv_heads, "num_global_key_value_heads", minimum=1)
        far = replace(far, kv_heads=kv_heads, key_is_value=True, kind=AttentionKind.GQA)
    found = tuple(
        m if m.window is not None else replace(m, mixer=far) for m in every("sliding_window_pattern")(config, attention)
    )
    own = config.layers() - config.count_or(0, "num_kv_shared_layers")
    return tuple(m if i < own else _reading(m) for i, m in enumerate(found))


def deepseek4(config: Config, attention: Attention) -> tuple[Mixing, ...]:
    """DeepSeek-V4: a window everywhere; `compress_ratios` says how many positions an entry of the layer covers.

    0 is none; entries of 4 positions overlap and are chosen by an indexer, those of 128 are all attended to.
    """
    window, chosen = config.count("sliding_window"), indexer(config)
    # The first layers choose experts by a table of tokens, which the count leaves out: it has no arithmetic.
    config.without_effect("num_hash_layers")
    known: Mapping[object, Attention] = {
        0: attention,
        4: replace(attention, ratio=4, indexer=chosen),
        128: replace(attention, ratio=128),
    }
    found = config.kinds("compress_ratios", config.layers(), known)
    if found is None:
        raise MissingField("compress_ratios")
    return tuple(Mixing(mixer, window) for mixer in found)


def minimax3(config: Config, attention: Attention) -> tuple[Mixing, ...]:
    """MiniMax-M3: `sparse_attention_freq` says in which layers each KV head chooses blocks of positions."""
    section = "sparse_attention_config"
    if not config.flag(f"{section}.use_sparse_attention"):
        return uniform(config, attention)
    config.expect(f"{section}.sparse_score_type", "max")
    config.expect(f"{section}.sparse_init_block", 0)
    # The last block is among those that are chosen, whatever its score.
    config.without_effect(f"{section}.sparse_local_block")
    heads = config.count(f"{section}.sparse_num_index_heads")
    if heads != attention.kv_heads:
        raise UnsupportedField(f"{section}.sparse_num_index_heads", "is not the number of KV heads")
    top = config.count(f"{section}.sparse_topk_blocks") * config.count(f"{section}.sparse_block_size")
    chosen = Indexer(heads, config.count(f"{section}.sparse_index_dim"), top, by_head=True)
    known: Mapping[object, Mixing] = {0: Mixing(attention), 1: Mixing(replace(attention, indexer=chosen))}
    found = config.kinds(f"{section}.sparse_attention_freq", config.layers(), known)
    without_values = config.kinds(f"{section}.sparse_disable_index_value", config.layers(), known)
    if found is None:
        raise MissingField(f"{section}.sparse_attention_freq")
    if without_values != found:
        raise UnsupportedField(f"{section}.sparse_disable_index_value", "leaves an indexer with values of its own")
    return found


def _reading(mixing: Mixing) -> Mixing:
    mixer = mixing.mixer
    return replace(mixing, mixer=replace(mixer, reads_other=True)) if isinstance(mixer, Attention) else mixing


def _typed(config: Config, attention: Attention, mixer: Recurrent | None = None) -> tuple[Mixing, ...] | None:
    """`layer_types`, or None where it is absent."""
    found = config.kinds("layer_types", config.layers(), _TYPES)
    if found is None:
        return None
    config.without_effect("use_sliding_window", "max_window_layers", "sliding_window", "attention_chunk_size")
    if "recurrent" in found and mixer is None:
        raise UnsupportedField(
            "layer_types", "names layers without attention, which the architecture is not known to have"
        )
    if "indexed" in found and attention.indexer is None:
        raise UnsupportedField("layer_types", "names layers with an indexer, and there is no `index_topk`")
    windows = {
        "full": None,
        "indexed": None,
        "recurrent": None,
        "sliding": config.count("sliding_window") if "sliding" in found else None,
        "chunked": config.count("attention_chunk_size") if "chunked" in found else None,
    }
    return tuple(Mixing(mixer if name == "recurrent" else attention, windows[name]) for name in found)
