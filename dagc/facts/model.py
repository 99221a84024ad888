"""A `model` block becomes a `ModelSpec`.

Four forms: a model written out (`model demo { layers 16 … }`), a preset (`model mixtral-8x7b`), a preset with some
fields replaced (`model deepseek-v3 { layers 4 }`), and a configuration file (`model "config.json"`). Any field of a
model that is written out may be left out; what needs it is then undetermined. A dense model says `experts 0` and the
width of its layers, `dense_ffn 28672`. `dtype` is the type of all weights and, where it is a type that arithmetic is
done in, of activations and cache; `expert_dtype`, `activation_dtype` and `kv_dtype` set these apart.

The `attention` and `experts` blocks of a model, and what must hold between the fields of a model.

Merges written fields over those of a preset, fills in what follows from other fields, and names what is lacking:

- `kind` is `mla` where `kv_lora` is written, `mha` where every head has keys of its own, else `gqa`;
- `kv_heads` is `heads` where it is left out;
- `shared 2` is two shared experts, each of the width of a routed one; `shared_ffn` is their width together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

from dagc.catalog.attention import Attention, AttentionKind
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import Experts, ModelSpec
from dagc.catalog.part import Part
from dagc.catalog.presets import (
    attention_of,
    candidates,
    exact_model,
    find_model,
    load_model,
    model_names,
    unknown_name,
)
from dagc.diag.diagnostic import Diagnostic, Label
from dagc.facts.fields import BAD_VALUE, BlockFields, Field, FieldKind, read_fields
from dagc.syntax.tree import Block, Word
from dagc.units import Dimension, digits, likeness

_WIDTH = 10**7

ATTENTION = (
    Field("kind", FieldKind.CHOICE, words=("mha", "gqa", "mla")),
    Field("heads", maximum=10**5, misnomers=("num_heads", "num_attention_heads", "q_heads")),
    Field("kv_heads", maximum=10**5, misnomers=("num_key_value_heads", "num_kv_heads", "groups")),
    Field("head_dim", maximum=_WIDTH, misnomers=("head_size", "dim")),
    Field("q_lora", minimum=0, maximum=_WIDTH, misnomers=("q_lora_rank",)),
    Field("kv_lora", maximum=_WIDTH, misnomers=("kv_lora_rank",)),
    Field("qk_nope", maximum=_WIDTH, misnomers=("qk_nope_head_dim",)),
    Field("qk_rope", maximum=_WIDTH, misnomers=("qk_rope_head_dim",)),
    Field("v_head", maximum=_WIDTH, misnomers=("v_head_dim",)),
    Field("window", misnomers=("sliding_window",), then=(Field("every", maximum=10_000),)),
    Field("qkv_bias", FieldKind.FLAG, misnomers=("attention_bias",)),
    Field("out_bias", FieldKind.FLAG),
    Field("sinks", FieldKind.FLAG),
    Field("qk_norm", FieldKind.FLAG),
    Field("qk_norm_whole", FieldKind.FLAG),
)

EXPERTS = (
    Field("top", maximum=10**6, misnomers=("top_k", "topk", "k", "num_experts_per_tok")),
    Field("ffn", maximum=_WIDTH, misnomers=("moe_intermediate_size", "intermediate_size", "inner")),
    Field("shared", minimum=0, maximum=10**4, misnomers=("n_shared_experts", "shared_experts")),
    Field("shared_ffn", minimum=0, maximum=_WIDTH, misnomers=("shared_expert_intermediate_size",)),
    Field("gated", FieldKind.FLAG),
    Field("bias", FieldKind.FLAG),
    Field("router_bias", FieldKind.FLAG),
    Field("shared_gate", FieldKind.FLAG),
    Field("groups", minimum=0, maximum=10**6, misnomers=("n_group", "n_groups")),
    Field("top_groups", minimum=0, maximum=10**6, misnomers=("topk_group", "topk_groups")),
)

_LATENT_ONLY = ("q_lora", "kv_lora", "qk_nope", "qk_rope", "v_head")
_HEADS_ONLY = ("kv_heads", "head_dim")
_NEEDED: Mapping[AttentionKind, tuple[str, ...]] = {
    AttentionKind.MLA: ("heads", "kv_lora", "qk_nope", "qk_rope", "v_head"),
    AttentionKind.GQA: ("heads", "kv_heads", "head_dim"),
    AttentionKind.MHA: ("heads", "head_dim"),
}


def merge_attention(base: ModelSpec, record: BlockFields) -> dict[str, Any]:
    """Fields of `ModelSpec` that follow from the attention block: attention, heads, KV heads, what is incomplete."""
    fields = _attention_fields(base.attention, record.scalars())
    kind: AttentionKind = fields["kind"]
    lacking = tuple(f"attention.{name}" for name in _NEEDED.get(kind, ()) if name not in fields)
    return {
        "attention": None if lacking else attention_of(fields),
        "heads": fields.get("heads"),
        "kv_heads": fields.get("heads") if kind is AttentionKind.MLA else fields.get("kv_heads"),
        "incomplete": lacking,
    }


def _attention_fields(base: Attention | None, written: Mapping[str, Any]) -> dict[str, Any]:
    """Written fields over the preset's; those of another kind of attention do not carry over."""
    kind = _kind(base, written)
    fields = {**(_fields_of(base) if base and base.kind is kind else {}), **written, "kind": kind}
    if kind is AttentionKind.MHA and "heads" in fields:
        fields["kv_heads"] = fields["heads"]
    return fields


def _fields_of(attention: Attention) -> dict[str, Any]:
    return {field.name: getattr(attention, field.name) for field in fields_of(attention)}


def _kind(base: Attention | None, written: Mapping[str, Any]) -> AttentionKind:
    if "kind" in written:
        return AttentionKind(written["kind"])
    if base is not None and not (base.kind is AttentionKind.MHA and "kv_heads" in written):
        return base.kind
    if any(name in written for name in _LATENT_ONLY):
        return AttentionKind.MLA
    heads = written.get("heads", base.heads if base else None)
    return AttentionKind.MHA if written.get("kv_heads", heads) == heads else AttentionKind.GQA


def merge_experts(base: ModelSpec, count: int | None, record: BlockFields) -> dict[str, Any]:
    """Fields of `ModelSpec` that follow from the experts entry; `experts 0` states a dense model."""
    if count == 0:
        return {"experts": None, "is_dense": True, "expert_count": 0, "top": 0}
    fields = _expert_fields(base.experts, count, record)
    lacking = tuple(f"experts.{name}" for name in ("top", "ffn") if name not in fields)
    experts = Experts(**fields) if "count" in fields and not lacking else None
    return {
        "experts": experts,
        "is_dense": False,
        "expert_count": fields.get("count"),
        "top": fields.get("top"),
        "incomplete": lacking,
    }


def _expert_fields(base: Experts | None, count: int | None, record: BlockFields) -> dict[str, Any]:
    written: dict[str, Any] = {k: v for k, v in record.scalars().items() if k not in ("shared", "gated")}
    fields = {**(asdict(base) if base else {}), **({} if count is None else {"count": count}), **written}
    shared = record.count("shared")
    if shared is not None and "shared_ffn" not in written and "ffn" in fields:
        fields["shared_ffn"] = shared * fields["ffn"]
    return fields


def contradictions(base: ModelSpec, spec: ModelSpec, record: BlockFields) -> Iterator[Diagnostic]:
    """N114 for written fields that cannot hold together; `base` is the model before they were merged in."""
    attention, experts = record.table("attention"), record.table("experts")
    yield from _of_other_kind(_kind(base.attention, attention.scalars()), attention)
    yield from _heads(spec, attention)
    yield from _head_shape(attention)
    yield from _experts(spec, record, experts)
    yield from _fixed(base, record)
    if spec.layers is not None and spec.first_dense > spec.layers:
        yield _contradiction(
            record, "first_dense", f"{spec.first_dense} dense layers of {spec.layers}", "more than there are", "layers"
        )


def _fixed(base: ModelSpec, record: BlockFields) -> Iterator[Diagnostic]:
    """What cannot be replaced in a model that states each of its layers."""
    has_widths = any(kind.dense_ffn for kind in base.stack)
    for name in ("attention", "first_dense", "moe_every", *(("dense_ffn",) if has_widths else ())):
        if base.stack and name in record:
            problem = f"`{name}` cannot be replaced in `{base.name}`, whose layers are not all of one kind"
            help = "write the shapes of another model out: `model NAME { layers … attention { … } }`"
            yield BAD_VALUE.at(record.fields[name].span, problem, "stated by layer there", help=(help,))


def _of_other_kind(kind: AttentionKind, attention: BlockFields) -> Iterator[Diagnostic]:
    """Fields that only another kind of attention has."""
    for name in _HEADS_ONLY if kind is AttentionKind.MLA else _LATENT_ONLY:
        if name in attention and kind in _KIND_HELP:
            message = f"`{name}` is not a field of attention of kind `{kind}`"
            yield BAD_VALUE.at(attention.fields[name].span, message, "does not belong here", help=(_KIND_HELP[kind],))


_KIND_HELP = {
    AttentionKind.MLA: "latent attention has heads, q_lora, kv_lora, qk_nope, qk_rope and v_head",
    AttentionKind.GQA: "grouped attention has heads, kv_heads and head_dim; latent attention is `kind mla`",
    AttentionKind.MHA: "multi-head attention has heads and head_dim; latent attention is `kind mla`",
}


def _heads(spec: ModelSpec, attention: BlockFields) -> Iterator[Diagnostic]:
    heads, kv_heads = spec.heads, attention.count("kv_heads")
    if heads is None or kv_heads is None:
        return
    if attention.word("kind") == AttentionKind.MHA and kv_heads != heads:
        problem = f"multi-head attention keeps keys for each of its {heads} heads, not for {kv_heads}"
        yield _contradiction(attention, "kv_heads", problem, "not every head", "heads", "`kind gqa` shares KV heads")
    elif heads % kv_heads:
        problem = f"{heads} heads cannot share {kv_heads} KV heads evenly: {heads} mod {kv_heads} is {heads % kv_heads}"
        help = f"valid are {', '.join(str(n) for n in range(1, heads + 1) if heads % n == 0)}"
        yield _contradiction(attention, "kv_heads", problem, "does not divide the heads", "heads", help)


def _head_shape(attention: BlockFields) -> Iterator[Diagnostic]:
    """Rotary position embedding turns pairs of elements; queries are normalised in one of two ways."""
    for name in ("head_dim", "qk_rope"):
        width = attention.count(name)
        if width is not None and width % 2:
            problem = f"`{name} {width}` is odd, and rotary position embedding turns pairs of elements"
            yield _contradiction(attention, name, problem, "not even", name, f"`{name} {width + 1}` is even")
    if attention.flag("qk_norm") and attention.flag("qk_norm_whole"):
        problem = "queries and keys are normalised by head or over all heads, not both"
        yield _contradiction(attention, "qk_norm_whole", problem, "stated beside `qk_norm`", "qk_norm", "keep one")


def _experts(spec: ModelSpec, record: BlockFields, experts: BlockFields) -> Iterator[Diagnostic]:
    if record.count("experts") == 0 and experts.fields:
        first = next(iter(experts.fields.values()))
        yield BAD_VALUE.at(
            first.span,
            "`experts 0` states a dense model, which has no experts to describe",
            "no experts",
            labels=(Label(record.fields["experts"].span, "no experts"),),
            help=("give the number of experts, or leave the block out",),
        )
    elif spec.top is not None and spec.expert_count is not None and spec.top > spec.expert_count:
        where = experts if "top" in experts else record
        name = "top" if "top" in experts else "experts"
        problem = f"a token cannot visit {spec.top} of {spec.expert_count} experts"
        yield _contradiction(
            where, name, problem, "more than there are", "experts", f"`top` is at most {spec.expert_count}"
        )
    if "gated" in experts and record.flag("gated") not in (None, experts.flag("gated")):
        yield _contradiction(record, "gated", "the model states `gated` in two ways", "not as in `experts`", "experts")


def _contradiction(record: BlockFields, name: str, message: str, label: str, other: str, *help: str) -> Diagnostic:
    """N114 at one field, with another written field of the same block as the second place."""
    place = record.fields[name].span if name in record else None
    labels = (Label(record.fields[other].span, f"`{other}` here"),) if other in record and other != name else ()
    return BAD_VALUE.at(place, message, label, labels=labels, help=help)


DEFAULT = "deepseek-v3"
"""The model of a plan that states none."""

_DTYPES = tuple(Dtype)
_ARITHMETIC = frozenset({Dtype.FP32, Dtype.BF16, Dtype.FP16})
_NEAR = 0.85
"""Likeness to a preset's name from which an incomplete model of its own is taken for a misspelt preset."""

FIELDS = (
    Field("layers", maximum=10_000, misnomers=("num_layers", "num_hidden_layers", "depth")),
    Field("hidden", maximum=10**7, misnomers=("hidden_size", "d_model", "dim", "width")),
    Field("vocab", maximum=10**8, misnomers=("vocab_size", "vocabulary")),
    Field("dtype", FieldKind.CHOICE, words=_DTYPES, misnomers=("weight_dtype", "precision", "torch_dtype")),
    Field("expert_dtype", FieldKind.CHOICE, words=_DTYPES),
    Field("activation_dtype", FieldKind.CHOICE, words=_DTYPES),
    Field("kv_dtype", FieldKind.CHOICE, words=_DTYPES, misnomers=("kv_cache_dtype", "cache_dtype")),
    Field("attention", None, table=ATTENTION),
    Field("experts", minimum=0, maximum=10**6, table=EXPERTS, optional=True, misnomers=("num_experts", "moe")),
    Field("dense_ffn", maximum=10**7, misnomers=("ffn", "intermediate_size")),
    Field("first_dense", minimum=0, maximum=10_000, misnomers=("first_k_dense_replace",)),
    Field("moe_every", maximum=10_000, misnomers=("moe_layer_freq", "decoder_sparse_step")),
    Field("norms_per_layer", maximum=8),
    Field("gated", FieldKind.FLAG),
    Field("tied", FieldKind.FLAG, misnomers=("tie_word_embeddings",)),
    Field("parameters", maximum=10**15, misnomers=("params", "total")),
    Field("active", maximum=10**15, misnomers=("active_parameters",)),
    Field("weights", FieldKind.QUANTITY, Dimension.BYTES),
    Field("kv_per_token", FieldKind.QUANTITY, Dimension.BYTES, misnomers=("kv_bytes_per_token", "kv_cache_per_token")),
)

_PLAIN = ("layers", "hidden", "vocab", "dense_ffn", "first_dense", "moe_every", "norms_per_layer", "gated", "tied")
_DECLARED = {
    "parameters": "declared_parameters",
    "active": "declared_active",
    "weights": "declared_weight_bytes",
    "kv_per_token": "declared_kv_bytes",
}


def declare_model(block: Block | None, base_directory: Path) -> tuple[ModelSpec | None, tuple[Diagnostic, ...]]:
    """The model of a block, or the default without one; None with the diagnostics when something in it is wrong.

    `base_directory` is where the path of a configuration file starts: the plan's directory. Warnings about the
    types of a file's weights are left out where the block states a type.
    """
    if block is None:
        return load_model(DEFAULT), ()
    base = _base(block, base_directory)
    record, problems = read_fields(block.body or (), FIELDS, "model")
    if isinstance(base, Diagnostic):
        return None, (base, *problems)
    spec = _merged(base, record)
    problems = (*problems, *contradictions(base, spec, record)) or _misspelt(block, spec)
    if problems:
        return None, problems
    warnings = () if "dtype" in record or "expert_dtype" in record else base.warnings
    return replace(spec, warnings=(), spans={"model": block.span, **record.spans()}), warnings


def _base(block: Block, base_directory: Path) -> ModelSpec | Diagnostic:
    """What the head names: a file's or preset's model, or an empty one of a new name."""
    if not block.head:
        return ModelSpec("model")
    word, *rest = block.head
    if not isinstance(word, Word) or rest:
        wrong = rest[0] if isinstance(word, Word) else word
        return BAD_VALUE.at(wrong.span, "`model` is followed by one name", "not a name", help=(_FORMS,))
    if _is_file(word, base_directory):
        from dagc.catalog.huggingface.read import read_config_file

        return read_config_file(base_directory / word.text, word.span)
    # A block may describe a model of its own, whose name is free to be the beginning of a preset's.
    preset = find_model(word.text) if block.body is None else exact_model(word.text)
    if preset is None and block.body is None:
        return unknown_name(word.span, "model", model_names(), help=(_OWN,))
    return (load_model(preset) if preset else None) or ModelSpec(word.text)


def _is_file(word: Word, base_directory: Path) -> bool:
    """Whether a name is a path: one of a configuration, or in quotes and not the Hugging Face id of a preset."""
    if word.text.endswith(".json"):
        return True
    return word.quoted and (exact_model(word.text) is None or (base_directory / word.text).exists())


_OWN = "write the shapes of another model out: `model NAME { layers … }`"
_FORMS = 'write `model mixtral-8x7b`, `model NAME { … }` or `model "config.json"`'


def _misspelt(block: Block, spec: ModelSpec) -> tuple[Diagnostic, ...]:
    """N110 where a name is almost a preset's, or the beginning of one, and the block describes no model of its own."""
    word = block.head[0] if block.head else None
    if not isinstance(word, Word) or spec.source != "given" or spec.shapes() is not None:
        return ()
    is_near = any(likeness(word.text, name) >= _NEAR for name in model_names() if digits(name) == digits(word.text))
    if not is_near and ("-" not in word.text or not candidates(word.text, model_names())):
        return ()
    return (unknown_name(word.span, "model", model_names(), help=("a model of your own needs another name",)),)


def _merged(base: ModelSpec, record: BlockFields) -> ModelSpec:
    """The base with every written field in its place."""
    scalars = record.scalars()
    changes: dict[str, Any] = {name: scalars[name] for name in _PLAIN if name in scalars}
    changes |= {field: float(scalars[name]) for name, field in _DECLARED.items() if name in scalars}
    changes |= _dtypes(base, record)
    incomplete: tuple[str, ...] = ()
    if "attention" in record:
        changes |= merge_attention(base, record.table("attention"))
        incomplete += changes.pop("incomplete")
    if "experts" in record:
        experts = record.table("experts")
        changes |= merge_experts(base, record.count("experts"), experts)
        incomplete += changes.pop("incomplete", ())
        if "gated" in experts:
            changes["gated"] = experts.flag("gated")
    if "layers" in changes and "first_dense" not in changes:
        changes["first_dense"] = min(base.first_dense, changes["layers"])
    return replace(base, incomplete=incomplete, **changes)


def _dtypes(base: ModelSpec, record: BlockFields) -> dict[str, Any]:
    """Types that a plan states. A type that all of the model's weights have anyway leaves them their scales.

    In fp8 a preset is stored as its makers published it in fp8.
    """
    found: dict[str, Any] = {}
    if all_weights := record.word("dtype"):
        found |= {"weight_dtype": Dtype(all_weights), "expert_dtype": Dtype(all_weights)}
        if any(how.dtype is not Dtype(all_weights) for _, how in base.stored):
            found["stored"] = ()
        if Dtype(all_weights) is Dtype.FP8 and base.published_fp8:
            found["stored"] = base.published_fp8
        if all_weights in _ARITHMETIC:
            found |= {"activation_dtype": Dtype(all_weights), "kv_dtype": Dtype(all_weights)}
    if record.word("expert_dtype") and base.stored and "stored" not in found:
        found["stored"] = tuple((part, how) for part, how in base.stored if part is not Part.EXPERTS)
    apart = ("expert_dtype", "activation_dtype", "kv_dtype")
    return found | {name: Dtype(word) for name in apart if (word := record.word(name))}
