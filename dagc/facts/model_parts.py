"""The `attention` and `experts` blocks of a model, and what must hold between the fields of a model.

Merges written fields over those of a preset, fills in what follows from other fields, and names what is lacking:

- `kind` is `mla` where `kv_lora` is written, `mha` where every head has keys of its own, else `gqa`;
- `kv_heads` is `heads` where it is left out;
- `shared 2` is two shared experts, each of the width of a routed one; `shared_ffn` is their width together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from dataclasses import fields as fields_of
from typing import Any

from dagc.catalog.attention import Attention, AttentionKind
from dagc.catalog.model import Experts, ModelSpec
from dagc.catalog.presets import attention_of
from dagc.diag.diagnostic import Diagnostic, Label
from dagc.facts.fields import BAD_VALUE, BlockFields, Field, FieldKind

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
