"""What a priced plan fixes of an engine beside sizes: lengths, batch, chunk, memory, types, drafts, prefix cache.

A workload that is the default fixes nothing: nobody asked for it.
"""

from __future__ import annotations

from dagc.catalog.dtype import Dtype
from dagc.catalog.model import ModelSpec
from dagc.catalog.presets import exact_model, load_model
from dagc.cost.admission import share_taken, with_memory
from dagc.engines.instance import ServingSettings
from dagc.plan.deployment import Phase, Service
from dagc.plan.plan import Plan
from dagc.plan.step_limits import step_limits


def serving_of(plan: Plan, service: Service) -> ServingSettings:
    """The settings of one service."""
    facts, workload = plan.facts, plan.facts.workload
    drafts = any(extra.name == "mtp" for extra in facts.model.extras)
    common = ServingSettings(
        memory_share=_memory_share(plan, service),
        cache_dtype=facts.model.kv_dtype.value if facts.model.source != "given" else "",
        quantisation=_at_load(plan),
        drafts=workload.drafted,
        has_draft_layers=drafts,
    )
    if "workload" in facts.defaulted:
        return common
    sequences = 0 if workload.is_open else -(-workload.batch // plan.deployment.cache_count(service))
    limits = step_limits(plan, service, sequences)
    return ServingSettings(
        context=workload.prompt_bounds[1] + workload.output_bounds[1],
        sequences=sequences,
        chunk=workload.chunk,
        splits_prompts=limits.chunks,
        unsplit=0 if limits.chunks else limits.budget,
        memory_share=common.memory_share,
        cache_dtype=common.cache_dtype,
        quantisation=common.quantisation,
        drafts=common.drafts,
        has_draft_layers=common.has_draft_layers,
        prefix_cache=workload.cached > 0,
    )


def _memory_share(plan: Plan, service: Service) -> float:
    """As admission has it of requests that come and go, to what an option is written in; else the engine's default."""
    is_static = plan.facts.workload.concurrency is None
    if is_static or service.phase is Phase.PREFILL or not plan.facts.model.shapes():
        return plan.facts.runtime.memory_share
    memory = next(one for one in with_memory(plan)[1] if one.pool == service.attention_pool.name)
    return round(share_taken(plan, memory), 3)


def is_published(plan: Plan) -> bool:
    """Whether the weights that the plan has priced come of the published checkpoint, as they are or quantised."""
    model = plan.facts.model
    published = _published(model)
    return published is None or _types(published) == _types(model) or bool(_at_load(plan))


def _at_load(plan: Plan) -> str:
    """fp8, where the plan states it and the checkpoint is bf16, of an engine that quantises as it loads."""
    model, engine = plan.facts.model, plan.facts.engine
    published = _published(model)
    if published is None or engine is None or not engine.knows("--quantization"):
        return ""
    both = (Dtype.BF16, Dtype.BF16), (Dtype.FP8, Dtype.FP8)
    return Dtype.FP8.value if (_types(published), _types(model)) == both else ""


def _published(model: ModelSpec) -> ModelSpec | None:
    name = exact_model(model.name)
    return load_model(name) if name else None


def _types(model: ModelSpec) -> tuple[Dtype, Dtype]:
    return model.weight_dtype, model.expert_dtype or model.weight_dtype
