"""A `model` block for a configuration of an unknown architecture, from the fields whose names are usual.

It is a start and no reading: a name may mean something else there, and what no usual name states is a comment to
complete. Only whole numbers are taken over, so nothing of the file's text gets into the block but the model's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dagc.catalog.huggingface.fields import LARGEST
from dagc.catalog.huggingface.unknown import text_part

_MODEL = {
    "layers": ("num_hidden_layers", "n_layers", "num_layers", "n_layer"),
    "hidden": ("hidden_size", "d_model", "n_embd", "dim"),
    "vocab": ("vocab_size",),
}
_HEADS = ("num_attention_heads", "n_heads", "n_head", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_attention_groups", "n_kv_heads", "num_kv_heads")
_LATENT = {
    "q_lora": ("q_lora_rank",),
    "kv_lora": ("kv_lora_rank",),
    "qk_nope": ("qk_nope_head_dim",),
    "qk_rope": ("qk_rope_head_dim",),
    "v_head": ("v_head_dim",),
}
_EXPERTS = ("num_local_experts", "n_routed_experts", "num_experts", "moe_num_experts")
_ROUTED = {
    "top": (
        "num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_top_k", "moe_topk", "top_k_experts",
    ),
    "ffn": ("moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size", "intermediate_size"),
    "shared": ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts"),
}  # fmt: skip
_DENSE = ("dense_intermediate_size", "intermediate_size_mlp", "intermediate_size", "ffn_dim", "n_inner")
_FIRST = ("first_k_dense_replace", "num_dense_layers")
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_NAME = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)


def model_block(data: Mapping[str, Any], name: str) -> str:
    """The block, lines joined by line ends. `data` is the parsed file."""
    fields = text_part(data).data
    lines = [*_model(fields), *_attention(fields), *_feed_forward(fields)]
    head = name if _NAME.fullmatch(name) else "own-model"
    return "\n".join([f"model {head} {{", *(f"    {line}" for line in lines), "}"])


def _model(fields: Mapping[str, Any]) -> Iterator[str]:
    yield from _row(_values(fields, _MODEL))
    dtype = _DTYPES.get(str(fields.get("torch_dtype") or fields.get("dtype")))
    tied = "    tied true" if fields.get("tie_word_embeddings") is True else ""
    if dtype or tied:
        yield f"{f'dtype {dtype}' if dtype else ''}{tied}".strip()


def _attention(fields: Mapping[str, Any]) -> Iterator[str]:
    heads = _number(fields, _HEADS)
    latent = _values(fields, _LATENT)
    found: dict[str, int | None] = {"heads": heads}
    if latent["kv_lora"]:
        found |= {name: value for name, value in latent.items() if value or name != "q_lora"}
    else:
        hidden, width = _number(fields, _MODEL["hidden"]), _number(fields, ("head_dim", "attention_head_dim"))
        derived = hidden // heads if hidden and heads and hidden % heads == 0 else None
        found |= {"kv_heads": _number(fields, _KV_HEADS) or heads, "head_dim": width or derived}
    yield from _block("attention", found)


def _feed_forward(fields: Mapping[str, Any]) -> Iterator[str]:
    experts, dense, first = _number(fields, _EXPERTS), _number(fields, _DENSE), _number(fields, _FIRST)
    if experts is None:
        yield "experts 0"
        yield from _row({"dense_ffn": dense})
        return
    routed = _values(fields, _ROUTED)
    yield from _block(f"experts {experts}", {n: value for n, value in routed.items() if value or n != "shared"})
    if first:
        yield from _row({"dense_ffn": dense, "first_dense": first})


def _block(head: str, found: Mapping[str, int | None]) -> Iterator[str]:
    """A block on one line; what is not found is a comment after it."""
    yield f"{head} {{ {_written(found)} }}" + _lacking(found)


def _row(found: Mapping[str, int | None]) -> Iterator[str]:
    yield (_written(found) + _lacking(found)).strip()


def _written(found: Mapping[str, int | None]) -> str:
    return "    ".join(f"{name} {value}" for name, value in found.items() if value is not None)


def _lacking(found: Mapping[str, int | None]) -> str:
    names = [name for name, value in found.items() if value is None]
    return f"    # to be added: {', '.join(names)}" if names else ""


def _values(fields: Mapping[str, Any], names: Mapping[str, tuple[str, ...]]) -> dict[str, int | None]:
    return {name: _number(fields, usual) for name, usual in names.items()}


def _number(fields: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """The first of several names that states a whole number above 0."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST:
            return value
    return None
