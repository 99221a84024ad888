"""A `config.json` of the Hugging Face format becomes a `ModelSpec`.

Each family is a function that states which fields its architecture has; the table `_FAMILIES` is the place for
further ones. Fields are read by name and never guessed: a missing one, or an architecture that is not in the table,
is a diagnostic. Where the library of the architecture defines a default (an absent `head_dim` is hidden / heads), that
default is taken and noted here. Multi-token-prediction layers and vision towers are left out. The text part of a
multi-modal configuration (`text_config`) is read where the outer level holds one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dagc.catalog.attention import Attention, AttentionKind
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import Experts, ModelSpec
from dagc.diag.diagnostic import Code, Diagnostic
from dagc.source import Span

UNKNOWN_ARCHITECTURE = Code("N126", "unknown-architecture")
CONFIG_FIELD = Code("N127", "config-field")
CONFIG_UNREADABLE = Code("N128", "config-unreadable")

_DTYPES = {"bfloat16": Dtype.BF16, "float16": Dtype.FP16, "float32": Dtype.FP32}
_QUANTISED = {"fp8": Dtype.FP8, "mxfp4": Dtype.MXFP4}
_LARGEST_BYTES = 16 << 20
_LARGEST = 10**8
_MOST_LAYERS = 10_000


class _Lacking(Exception):
    """A field is absent or of another type; caught in `read_config`, so it never leaves this module."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field)
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Config:
    """Typed access to the fields of one configuration."""

    data: Mapping[str, Any]

    def count(self, field: str, minimum: int = 1, maximum: int = _LARGEST) -> int:
        """A whole number in a range."""
        value = self.data.get(field)
        if value is None:
            raise _Lacking(field, "is missing")
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise _Lacking(field, f"is {value!r}, not a whole number from {minimum} to {maximum:,}")
        return value

    def count_or(self, field: str, default: int, minimum: int = 0) -> int:
        """A whole number, or the library's default where the field is absent or null."""
        return default if self.data.get(field) is None else self.count(field, minimum)

    def flag(self, field: str, default: bool) -> bool:
        """A boolean, or the library's default where the field is absent."""
        value = self.data.get(field, default)
        if not isinstance(value, bool):
            raise _Lacking(field, f"is {value!r}, not true or false")
        return value

    def words(self, field: str) -> tuple[str, ...]:
        """A list of words; empty where the field is absent or null."""
        value: object = self.data.get(field) or []
        if not isinstance(value, list):
            raise _Lacking(field, "is not a list")
        return tuple(str(word) for word in cast("list[object]", value))

    def head_dim(self) -> int:
        """`head_dim`, or hidden / heads, which is what the library takes where it is absent."""
        if self.data.get("head_dim") is not None:
            return self.count("head_dim")
        return self.count("hidden_size") // self.count("num_attention_heads")

    def weights(self) -> Dtype:
        """The type of the weights, from the quantisation if there is one, else from `torch_dtype` or `dtype`."""
        quantisation: object = self.data.get("quantization_config")
        if isinstance(quantisation, Mapping):
            method = str(cast("Mapping[str, object]", quantisation).get("quant_method"))
            if method in _QUANTISED:
                return _QUANTISED[method]
            raise _Lacking("quantization_config.quant_method", f"is {method!r}; known are {', '.join(_QUANTISED)}")
        return self.activations()

    def activations(self) -> Dtype:
        """The type of activations; bf16 where the configuration does not say, as quantised ones often do not."""
        name = self.data.get("torch_dtype") or self.data.get("dtype")
        if name is None:
            return Dtype.BF16
        if str(name) not in _DTYPES:
            raise _Lacking("torch_dtype", f"is {name!r}; known are {', '.join(_DTYPES)}")
        return _DTYPES[str(name)]

    def refuse(self, field: str, meaning: str) -> None:
        """Give up where a field asks for what the shapes cannot express."""
        if self.data.get(field):
            raise _Lacking(field, f"is set: {meaning} cannot be expressed yet")


def read_config(data: Mapping[str, Any], name: str, span: Span | None = None) -> ModelSpec | Diagnostic:
    """The model of a parsed `config.json`, or N126, N127; `span` is the place in the plan that names the file."""
    inner = data.get("text_config")
    text = _merged(data, cast("Mapping[str, Any]", inner)) if isinstance(inner, Mapping) else data
    kind = str(text.get("model_type"))
    if kind not in _FAMILIES:
        return UNKNOWN_ARCHITECTURE.at(
            span,
            f"the configuration of `{name}` has the architecture `{kind}` (`model_type`), which is not known here",
            "unknown architecture",
            notes=(f"known are {', '.join(sorted(_FAMILIES))}",),
            help=("write the shapes out: `model NAME { layers … attention { … } experts … }`",),
        )
    try:
        return _FAMILIES[kind](_Config(text), name)
    except _Lacking as lacking:
        return CONFIG_FIELD.at(
            span,
            f"in the configuration of `{name}`, the field `{lacking.field}` {lacking.problem}",
            "cannot be read",
            notes=(f"an architecture of type `{kind}` is not determined without it",),
            help=("complete the file, or write the shapes out in a `model NAME { … }` block",),
        )


def read_config_file(path: Path, span: Span | None = None) -> ModelSpec | Diagnostic:
    """The model of a file; N128 where the file cannot be read as a JSON object."""
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_BYTES + 1)
        data: object = json.loads(content) if len(content) <= _LARGEST_BYTES else None
    except (OSError, ValueError, RecursionError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else "it is not JSON"
        return _unreadable(path, reason, span)
    if not isinstance(data, dict):
        return _unreadable(path, "it holds no JSON object", span)
    return read_config(cast("dict[str, Any]", data), _name_of(path), span)


def _unreadable(path: Path, reason: str, span: Span | None) -> Diagnostic:
    return CONFIG_UNREADABLE.at(
        span,
        f"cannot read the model configuration `{path}`: {reason}",
        "cannot be read",
        help=("give the path of a model's `config.json`, counted from the plan's directory",),
    )


def _name_of(path: Path) -> str:
    """The file's name, or that of its directory where the file is just `config.json`."""
    return path.resolve().parent.name if path.stem == "config" else path.stem


def _merged(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> Mapping[str, Any]:
    """The text part, with what multi-modal configurations state for the whole model."""
    shared = ("quantization_config", "torch_dtype", "dtype", "tie_word_embeddings")
    return {**{field: outer[field] for field in shared if field in outer}, **inner}


def _spec(config: _Config, name: str, attention: Attention, experts: Experts | None, **more: Any) -> ModelSpec:
    """What all families share. Quantised checkpoints keep embedding, norms and head in the activation type."""
    weights = config.weights()
    base: dict[str, Any] = {
        "weight_dtype": weights,
        "expert_dtype": weights,
        "activation_dtype": config.activations(),
        "tied": config.flag("tie_word_embeddings", False),
    }
    return ModelSpec(
        name=name,
        layers=config.count("num_hidden_layers", maximum=_MOST_LAYERS),
        hidden=config.count("hidden_size"),
        vocab=config.count("vocab_size"),
        attention=attention,
        heads=attention.heads,
        kv_heads=attention.kv_heads,
        expert_count=experts.count if experts else 0,
        top=experts.top if experts else 0,
        experts=experts,
        is_dense=experts is None,
        source=f"config.json of {name}",
        **{**base, **more},
    )


def _grouped(config: _Config, **more: Any) -> Attention:
    config.refuse("use_sliding_window", "a window on some layers")
    heads = config.count("num_attention_heads")
    kv_heads = config.count_or("num_key_value_heads", heads, minimum=1)
    kind = AttentionKind.MHA if kv_heads == heads else AttentionKind.GQA
    return Attention(kind, heads, kv_heads, config.head_dim(), **more)


def _latent(config: _Config) -> Attention:
    heads, nope, rope = (config.count(f) for f in ("num_attention_heads", "qk_nope_head_dim", "qk_rope_head_dim"))
    return Attention(
        AttentionKind.MLA,
        heads,
        heads,
        nope + rope,
        q_lora=config.count_or("q_lora_rank", 0),
        kv_lora=config.count("kv_lora_rank"),
        qk_nope=nope,
        qk_rope=rope,
        v_head=config.count("v_head_dim"),
    )


def _llama(config: _Config, name: str) -> ModelSpec:
    config.refuse("mlp_bias", "a bias of the feed-forward part")
    bias = config.flag("attention_bias", False)
    attention = _grouped(config, qkv_bias=bias, out_bias=bias)
    return _spec(config, name, attention, None, dense_ffn=config.count("intermediate_size"))


def _qwen2(config: _Config, name: str) -> ModelSpec:
    """Qwen2 has a bias on queries, keys and values that its configuration does not mention."""
    return _spec(config, name, _grouped(config, qkv_bias=True), None, dense_ffn=config.count("intermediate_size"))


def _qwen3(config: _Config, name: str) -> ModelSpec:
    bias = config.flag("attention_bias", False)
    attention = _grouped(config, qk_norm=True, qkv_bias=bias, out_bias=bias)
    return _spec(config, name, attention, None, dense_ffn=config.count("intermediate_size"))


def _mixtral(config: _Config, name: str) -> ModelSpec:
    window = config.count("sliding_window") if config.data.get("sliding_window") is not None else None
    experts = Experts(
        config.count("num_local_experts"), config.count("num_experts_per_tok"), config.count("intermediate_size")
    )
    return _spec(config, name, _grouped(config, window=window), experts)


def _qwen_sparsity(config: _Config) -> dict[str, Any]:
    """Which layers have experts: every so many; a list of dense layers in between is refused."""
    config.refuse("mlp_only_layers", "single dense layers")
    every = config.count_or("decoder_sparse_step", 1, minimum=1)
    dense = {"dense_ffn": config.count("intermediate_size")} if every > 1 else {}
    return {"moe_every": every, **dense}


def _qwen2_moe(config: _Config, name: str) -> ModelSpec:
    experts = Experts(
        config.count("num_experts"),
        config.count("num_experts_per_tok"),
        config.count("moe_intermediate_size"),
        shared_ffn=config.count("shared_expert_intermediate_size"),
        shared_gate=True,
    )
    return _spec(config, name, _grouped(config, qkv_bias=True), experts, **_qwen_sparsity(config))


def _qwen3_moe(config: _Config, name: str) -> ModelSpec:
    bias = config.flag("attention_bias", False)
    attention = _grouped(config, qk_norm=True, qkv_bias=bias, out_bias=bias)
    experts = Experts(
        config.count("num_experts"), config.count("num_experts_per_tok"), config.count("moe_intermediate_size")
    )
    return _spec(config, name, attention, experts, **_qwen_sparsity(config))


def _deepseek(config: _Config, name: str) -> ModelSpec:
    """DeepSeek-V2, V3 and Kimi K2. The router of the later two has a bias that only takes part in the choice."""
    if config.count_or("moe_layer_freq", 1) != 1:
        config.refuse("moe_layer_freq", "dense layers between those with experts")
    width = config.count("moe_intermediate_size")
    experts = Experts(
        config.count("n_routed_experts"),
        config.count("num_experts_per_tok"),
        width,
        shared_ffn=config.count_or("n_shared_experts", 0) * width,
        router_bias=config.data.get("topk_method") == "noaux_tc",
    )
    return _spec(
        config,
        name,
        _latent(config),
        experts,
        dense_ffn=config.count("intermediate_size"),
        first_dense=config.count("first_k_dense_replace", minimum=0),
    )


def _gpt_oss(config: _Config, name: str) -> ModelSpec:
    """Biases everywhere, attention sinks; only the experts are quantised. `layer_types` names the windowed layers."""
    kinds = config.words("layer_types")
    expected = tuple(("sliding_attention", "full_attention")[i % 2] for i in range(len(kinds)))
    if not kinds or kinds != expected:
        raise _Lacking("layer_types", "is not sliding and full attention in turn, beginning with sliding")
    bias = config.flag("attention_bias", True)
    window = config.count("sliding_window")
    attention = _grouped(config, window=window, window_every=2, qkv_bias=bias, out_bias=bias, sinks=True)
    experts = Experts(
        config.count("num_local_experts"),
        config.count("num_experts_per_tok"),
        config.count("intermediate_size"),
        router_bias=True,
        bias=True,
    )
    return _spec(config, name, attention, experts, weight_dtype=config.activations(), expert_dtype=config.weights())


_FAMILIES: Mapping[str, Callable[[_Config, str], ModelSpec]] = {
    "deepseek_v2": _deepseek,
    "deepseek_v3": _deepseek,
    "gpt_oss": _gpt_oss,
    "kimi_k2": _deepseek,
    "llama": _llama,
    "mixtral": _mixtral,
    "qwen2": _qwen2,
    "qwen2_moe": _qwen2_moe,
    "qwen3": _qwen3,
    "qwen3_moe": _qwen3_moe,
}
"""How to read each architecture, by `model_type`. A new one is a function above and a row here."""
