"""Experts of each family, and which layers have them, from the fields of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dagc.catalog.huggingface.fields import Config, UnsupportedField, shown
from dagc.catalog.model import Experts, FfnKind

Placing = Callable[[Config], tuple[FfnKind, ...]]
"""The feed-forward part of each layer."""

_COUNT = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "ffn_config.moe_num_experts")
_TOP = (
    "num_experts_per_tok", "num_experts_per_token", "experts_per_token", "top_k_experts", "moe_top_k", "moe_topk",
    "moe_k",
)  # fmt: skip
_WIDTH = ("moe_intermediate_size", "expert_ffn_hidden_size")
_LATENT = ("moe_latent_size", "routed_expert_hidden_size")
_GROUPS, _TOP_GROUPS = ("n_group", "num_expert_group", "num_expert_groups"), ("topk_group", "num_limited_groups")
_SHARED = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")


def routed(
    *width: str,
    router_bias: bool | str = False,
    bias: bool = False,
    shared: str | None = None,
    shared_gate: bool = False,
) -> Callable[[Config], Experts]:
    """Experts of the usual kind; `width` are the names of their inner width.

    `router_bias` is the name of a field that says whether there is one, or holds always. `shared` is the field with
    the width of the shared experts together; without it their number times the width of a routed one. A choice from all
    groups of experts (`n_group` 1) is no limit.
    """

    def read(config: Config) -> Experts:
        ffn, latent = config.same(*(width or _WIDTH)), config.count_or(0, *_LATENT)
        groups, top_groups = _limit(config, _GROUPS), _limit(config, _TOP_GROUPS)
        is_limited = groups > 1 and top_groups > 0
        return Experts(
            config.count(*_COUNT),
            config.same(*_TOP, "ffn_config.moe_top_k"),
            ffn,
            shared_ffn=_shared_count(config) * ffn if shared is None else config.count_or(0, shared),
            shared_gate=shared_gate,
            router_bias=config.flag(router_bias) if isinstance(router_bias, str) else router_bias,
            bias=bias,
            latent=latent,
            latent_norm=latent > 0 and config.flag("latent_moe_use_norm"),
            groups=groups if is_limited else 0,
            top_groups=top_groups if is_limited else 0,
        )

    return read


def _limit(config: Config, fields: tuple[str, ...]) -> int:
    """A number of groups of experts; Hunyuan writes false where there are none."""
    field = config.first(*fields)
    return 0 if config.get(field) is False else config.count_or(0, field)


def _shared_count(config: Config) -> int:
    field = config.first(*_SHARED)
    return 0 if config.get(field) is None else config.same(field, minimum=0)


def deepseek(config: Config) -> Experts:
    """DeepSeek-V2 and after: the router has a bias that only takes part in the choice where it is `noaux_tc`."""
    method = config.get("topk_method")
    if method not in (None, "greedy", "group_limited_greedy", "noaux_tc"):
        raise UnsupportedField("topk_method", f"is {shown(method)}; known are greedy, group_limited_greedy, noaux_tc")
    return routed(router_bias=method == "noaux_tc")(config)


def balanced(config: Config) -> Experts:
    """The same where the router always has that bias (GLM-4.5 and after, Kimi Linear)."""
    if config.get("topk_method") not in (None, "noaux_tc"):
        raise UnsupportedField("topk_method", f"is {shown(config.get('topk_method'))}; known is noaux_tc")
    return routed(router_bias=True)(config)


def nemotron(config: Config) -> Experts | None:
    """Nemotron-H: a bias in the router always; shared experts have a width of their own. None in a dense model."""
    if config.get("n_routed_experts") is None:
        return None
    experts = routed(router_bias=True)(config)
    each = config.count("moe_shared_expert_intermediate_size") if _shared_count(config) else 0
    return _with_shared(experts, _shared_count(config) * each)


def bailing(config: Config) -> Experts:
    """Ling and Ring: shared experts may have a width of their own."""
    experts = routed(router_bias="moe_router_enable_expert_bias")(config)
    own = config.get("moe_shared_expert_intermediate_size")
    if own is None:
        return experts
    return _with_shared(experts, _shared_count(config) * config.count("moe_shared_expert_intermediate_size"))


def granite(config: Config) -> Experts | None:
    """Granite: `num_local_experts` 0 is a dense model of the shared width."""
    if not config.count_or(0, "num_local_experts"):
        if config.get("num_local_experts") == 0:
            config.without_effect("intermediate_size", *_TOP)
        return None
    return routed("intermediate_size", shared="shared_intermediate_size")(config)


def llama4(config: Config) -> Experts:
    """Llama 4: one shared expert as wide as a routed one."""
    experts = routed("intermediate_size", shared="intermediate_size")(config)
    return _with_shared(experts, experts.ffn)


def gemma4(config: Config) -> Experts | None:
    """Gemma 4: every layer has a dense block beside the experts, which is counted as the shared one.

    The router has a scale for each input and each expert.
    """
    if not config.flag("enable_moe_block"):
        return None
    experts = routed()(config)
    more = config.hidden() + experts.count
    inner = config.count("intermediate_size")
    return replace(experts, shared_ffn=inner, router_more=more)


def step(config: Config) -> Experts:
    """Step-3.5 and 3.7: one shared expert, `share_expert_dim` wide."""
    shared = config.first("share_expert_dim", "share_expert_dims")
    if _shared_count(config) > 1:
        raise UnsupportedField(config.first(*_SHARED), "is more than 1, and `share_expert_dim` is the width of one")
    return routed(router_bias="use_moe_router_bias", shared=shared)(config)


def dense(config: Config) -> tuple[FfnKind, ...]:
    """No layer has experts."""
    return (FfnKind.DENSE,) * config.layers()


def everywhere(config: Config) -> tuple[FfnKind, ...]:
    """Every layer has experts."""
    return (FfnKind.MOE,) * config.layers()


def after(*fields: str) -> Placing:
    """The first layers are dense, as many as a field says; `mlp_layer_types` and `moe_layer_freq` where they are given.

    `moe_layer_freq` is 1, or one number for each layer.
    """

    def place(config: Config) -> tuple[FfnKind, ...]:
        layers = config.layers()
        named = config.kinds("mlp_layer_types", layers, {"dense": FfnKind.DENSE, "sparse": FfnKind.MOE})
        every = config.get("moe_layer_freq")
        if named is not None:
            config.without_effect(*fields)
            return named
        if isinstance(every, list):
            config.without_effect(*fields)
            return config.kinds("moe_layer_freq", layers, {0: FfnKind.DENSE, 1: FfnKind.MOE}) or ()
        if every not in (None, 1):
            raise UnsupportedField(
                "moe_layer_freq", f"is {shown(every)}: beyond 1 its meaning differs between libraries"
            )
        first = min(layers, config.count(*fields, minimum=0))
        return (FfnKind.DENSE,) * first + (FfnKind.MOE,) * (layers - first)

    return place


def qwen(config: Config) -> tuple[FfnKind, ...]:
    """Every `decoder_sparse_step`-th layer has experts, but those that `mlp_only_layers` names."""
    every = config.count_or(1, "decoder_sparse_step", minimum=1)
    only = config.indices("mlp_only_layers") or frozenset()
    return _where(config, lambda i: (i + 1) % every == 0 and i not in only)


def interleaved(config: Config) -> tuple[FfnKind, ...]:
    """Llama 4: `moe_layers`, or every `interleave_moe_layer_step`-th."""
    named = config.indices("moe_layers")
    every = config.count_or(1, "interleave_moe_layer_step", minimum=1)
    return _where(config, lambda i: i in named if named is not None else (i + 1) % every == 0)


def ernie(config: Config) -> tuple[FfnKind, ...]:
    """ERNIE 4.5: from a first to a last layer, every so many."""
    layers, every = config.layers(), config.count_or(1, "moe_layer_interval", minimum=1)
    start = config.same("moe_layer_start_index", minimum=0)
    end = layers - 1 if config.get("moe_layer_end_index") in (None, -1) else config.same("moe_layer_end_index")
    return _where(config, lambda i: start <= i <= end and (i + 1) % every == 0)


def jamba(config: Config) -> tuple[FfnKind, ...]:
    """Jamba: every `expert_layer_period`-th from `expert_layer_offset`, where there is more than one expert."""
    every, first = config.count("expert_layer_period"), config.count("expert_layer_offset", minimum=0)
    many = config.count("num_experts") > 1
    return _where(config, lambda i: many and i % every == first)


def enumerated(config: Config) -> tuple[FfnKind, ...]:
    """Step: `moe_layers_enum`, or all after the first dense ones."""
    named = config.indices("moe_layers_enum")
    if named is None:
        return after("first_k_dense_replace")(config)
    return _where(config, lambda i: i in named)


def where_moe(experts: Callable[[Config], Experts | None]) -> Placing:
    """Every layer has experts, or none where the model has none."""
    return lambda config: everywhere(config) if experts(config) else dense(config)


def _where(config: Config, has_experts: Callable[[int], bool]) -> tuple[FfnKind, ...]:
    return tuple(FfnKind.MOE if has_experts(i) else FfnKind.DENSE for i in range(config.layers()))


def _with_shared(experts: Experts, width: int) -> Experts:
    return replace(experts, shared_ffn=width)
