"""Runs the rules that need no price: over the text of a strategy, and over a plan.

Each table below is the whole list of its rules; a rule knows no other. All of them run, and what they find comes back
together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dagc.check.advice import (
    axis_of_one,
    batch_uneven,
    dcp_exceeds_cache_copies,
    decode_idle,
    dtype_without_peak,
    ep_across_nodes,
    experts_uneven,
    fact_without_effect,
    few_tokens_an_expert,
    fewer_micro_than_stages,
    figure_implausible,
    fold_filled,
    gpus_idle,
    idle_remainder,
    layers_uneven,
    limit_never_binds,
    micro_on_one_stage,
    node_partly_filled,
    option_without_effect,
    ranks_without_sequences,
    replicas_without_requests,
    shard_off_block,
    thin_expert_shards,
    tiny_stages,
    tp_across_nodes,
)
from dagc.check.degrees import (
    cp_exceeds_prompt,
    dcp_not_dividing_tp,
    dense_ffn_not_divisible,
    ep_exceeds_experts,
    ep_on_dense_model,
    expert_ffn_not_divisible,
    experts_in_no_layer,
    heads_not_divisible,
    kv_heads_not_divisible,
    layers_option_count,
    layers_option_sum,
    micro_exceeds_sequences,
    moe_on_dense_model,
    redundant_exceeds_ranks,
    replicas_exceed_batch,
    shared_ffn_not_divisible,
    stages_exceed_layers,
)
from dagc.check.engines import (
    expert_group_spread,
    fp8_block_cut,
    megatron_context_parts,
    megatron_experts_uneven,
    megatron_layers_uneven,
    megatron_query_groups,
    megatron_sequence_parallel,
    not_expressible,
    option_lacking,
    sglang_experts_uneven,
    sglang_overlap,
    trtllm_experts_uneven,
    vllm_dcp_kv_heads,
    vllm_slots_uneven,
)
from dagc.check.gpus import cluster_too_small, slow_rank_outside
from dagc.check.hierarchy import (
    axis_in_wrong_scope,
    axis_inside_itself,
    fold_branches,
    fold_outside_stage,
    inside_shard,
    phase_alone,
    phase_beside_unscoped,
    phase_nested,
    phase_repeated,
    pools_of_no_form,
    pools_outside_stage,
    replica_axis_in_branch,
    two_branches_one_domain,
)
from dagc.check.house import (
    cp_in_decode,
    degree_not_power_of_two,
    ep_sets_gpu_count,
    gpus_not_product,
    one_expert_a_gpu,
    tp_inside_ep,
)
from dagc.check.names import bad_option_value, device_of_no_pool, misplaced_option, repeated_option, unknown_option
from dagc.diag.diagnostic import Diagnostic
from dagc.plan.plan import Plan
from dagc.plan.scopes import Annotated

Rule = Callable[[Plan], Iterator[Diagnostic]]
"""Takes a plan to what is wrong or unwise about it."""

TEXT_RULES: tuple[Callable[[Annotated], Iterator[Diagnostic]], ...] = (
    axis_in_wrong_scope.check,
    axis_inside_itself.check,
    inside_shard.check,
    fold_outside_stage.check,
    fold_branches.check,
    two_branches_one_domain.check,
    replica_axis_in_branch.check,
    pools_outside_stage.check,
    pools_of_no_form.check,
    phase_alone.check,
    phase_repeated.check,
    phase_beside_unscoped.check,
    phase_nested.check,
    unknown_option.check,
    bad_option_value.check,
    misplaced_option.check,
    repeated_option.check,
    device_of_no_pool.check,
)
"""Rules over the text of a strategy."""

DEGREE_RULES: tuple[Rule, ...] = (
    stages_exceed_layers.check,
    layers_option_count.check,
    layers_option_sum.check,
    micro_exceeds_sequences.check,
    replicas_exceed_batch.check,
    ep_on_dense_model.check,
    moe_on_dense_model.check,
    experts_in_no_layer.check,
    ep_exceeds_experts.check,
    redundant_exceeds_ranks.check,
    heads_not_divisible.check,
    kv_heads_not_divisible.check,
    expert_ffn_not_divisible.check,
    dense_ffn_not_divisible.check,
    shared_ffn_not_divisible.check,
    dcp_not_dividing_tp.check,
    cp_exceeds_prompt.check,
)
"""Rules over a strategy with a meaning and the facts beside it. A rule is silent where what it needs is not stated."""

ENGINE_RULES: tuple[Rule, ...] = (
    not_expressible.check,
    option_lacking.check,
    fp8_block_cut.check,
    vllm_slots_uneven.check,
    vllm_dcp_kv_heads.check,
    sglang_experts_uneven.check,
    sglang_overlap.check,
    trtllm_experts_uneven.check,
    megatron_layers_uneven.check,
    megatron_experts_uneven.check,
    megatron_sequence_parallel.check,
    megatron_context_parts.check,
    megatron_query_groups.check,
)
"""What the named engine refuses; all are silent without one. They wait for degrees that are right in any engine."""

GPU_RULES: tuple[Rule, ...] = (
    cluster_too_small.check,
    slow_rank_outside.check,
)
"""Rules over the GPUs that a plan takes. They wait for right degrees: a wrong one makes the size wrong too."""

ADVICE_RULES: tuple[Rule, ...] = (
    layers_uneven.check,
    experts_uneven.check,
    batch_uneven.check,
    gpus_idle.check,
    tp_across_nodes.check,
    fold_filled.check,
    dcp_exceeds_cache_copies.check,
    ep_across_nodes.check,
    thin_expert_shards.check,
    few_tokens_an_expert.check,
    tiny_stages.check,
    idle_remainder.check,
    shard_off_block.check,
    figure_implausible.check,
    option_without_effect.check,
    micro_on_one_stage.check,
    fewer_micro_than_stages.check,
    ranks_without_sequences.check,
    replicas_without_requests.check,
    fact_without_effect.check,
    decode_idle.check,
    node_partly_filled.check,
    dtype_without_peak.check,
    limit_never_binds.check,
    axis_of_one.check,
    expert_group_spread.check,
)
"""What is unwise about a plan of right degrees; none of these keeps it from being priced."""

HOUSE_RULES: tuple[Rule, ...] = (
    one_expert_a_gpu.check,
    ep_sets_gpu_count.check,
    tp_inside_ep.check,
    cp_in_decode.check,
    gpus_not_product.check,
    degree_not_power_of_two.check,
)
"""Rules that a plan asks for; what they find is silent otherwise."""


REFUSING = (*DEGREE_RULES, *ENGINE_RULES, *GPU_RULES)
"""Rules that can keep a plan from being priced."""


def check_hierarchy(annotated: Annotated) -> tuple[Diagnostic, ...]:
    """What is wrong with a strategy by its text alone: scopes, folds, pools, options."""
    return tuple(diagnostic for rule in TEXT_RULES for diagnostic in rule(annotated))


def check_plan(plan: Plan) -> tuple[Diagnostic, ...]:
    """What is wrong or unwise about a plan, before anything is priced."""
    degrees = tuple(diagnostic for rule in DEGREE_RULES for diagnostic in rule(plan))
    return (
        degrees
        or check_engine(plan)
        or tuple(diagnostic for rule in (*GPU_RULES, *ADVICE_RULES, *HOUSE_RULES) for diagnostic in rule(plan))
    )


def refusal(plan: Plan, rules: Sequence[Rule] = REFUSING) -> Diagnostic | None:
    """The first diagnostic of rules that keeps a plan from being priced; those of advice never do."""
    return next((diagnostic for rule in rules for diagnostic in rule(plan) if diagnostic.stops), None)


def check_engine(plan: Plan) -> tuple[Diagnostic, ...]:
    """What the engine that a plan names refuses."""
    return tuple(diagnostic for rule in ENGINE_RULES for diagnostic in rule(plan))
