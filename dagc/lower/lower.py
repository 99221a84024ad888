"""A checked plan to its graph: `lower` takes the meaning of a strategy with shapes, and yields every phase.

Assumes a legal deployment and a model with shapes. Prefill computes the prompts of the whole batch; decode computes
one token of every sequence against the mean context (see `batch`). There is a graph for each class of replicas.
Not lowered are the hyper-connections of DeepSeek-V4, the attention over blocks of layers of Kimi-K3 and embeddings of
single layers, whose parameters are counted; they are a hundredth of a layer's work or less. Nothing here prices or
schedules; templates are built once for each distinct kind of layer, size of micro-batch, and pattern of ranks on
nodes and of slowed ones among them; where routing is skewed, the layers of each segment have one of their own.
"""

from __future__ import annotations

from dataclasses import replace

from dagc.graph.graph import Graph, PhaseGraph
from dagc.lower.batch import StepLoad
from dagc.lower.phase import PhaseLowering
from dagc.lower.templates import LoweringCache
from dagc.plan.deployment import Phase, Service
from dagc.plan.plan import Plan, entering, fills_pipeline, prefills_alone, replica_classes
from dagc.plan.step_limits import full_step_tokens


def lower(plan: Plan, known: LoweringCache | None = None) -> Graph:
    """The graph of a plan: prefill, one decode step, and the KV-cache transfer where the phases have own pools.

    `known` are templates of plans of the same model, whose workloads differ in the number of sequences alone. Raises
    ValueError when the model has no shapes, which the caller rules out.
    """
    shapes = plan.facts.model.shapes()
    if shapes is None:
        raise ValueError("lowering needs a model with shapes")
    known = known or LoweringCache()
    prefill, *more_prefill = lower_service(plan, Phase.PREFILL, known)
    decode, *more_decode = lower_service(plan, Phase.DECODE, known)
    handover = None
    if len(plan.deployment.services) > 1:
        from dagc.lower.handover import lower_handover

        handover = lower_handover(plan, shapes)
    return Graph(prefill, decode, handover, plan.deployment.replicas, (*more_prefill, *more_decode))


def lower_service(plan: Plan, phase: Phase, known: LoweringCache | None = None) -> list[PhaseGraph]:
    """Prefill or decode of the service that serves it: a graph for each class of replicas.

    Raises ValueError when the model has no shapes, which the caller rules out.
    """
    shapes, known = plan.facts.model.shapes(), known or LoweringCache()
    if shapes is None:
        raise ValueError("lowering needs a model with shapes")
    is_prefill = phase is Phase.PREFILL
    service = plan.deployment.services[0 if is_prefill else -1]
    plan = entering(plan) if is_prefill else plan
    if is_prefill and fills_pipeline(plan, service):
        service = _in_steps(service, 1)
    return [
        PhaseLowering(plan, shapes, service, phase, one, known=known).graph() for one in replica_classes(plan, service)
    ]


def lower_prompts(plan: Plan, known: LoweringCache | None = None) -> PhaseGraph | None:
    """The step with prompts that come between decode steps, of the first class of replicas; None where none do.

    A decode step in which prompt tokens ride along, or prompts by themselves where the engine keeps steps apart.
    """
    shapes, service, workload = plan.facts.model.shapes(), plan.deployment.services[0], plan.facts.workload
    if workload.concurrency is None:
        return None
    from dagc.plan.interleaving import interleaving

    found, layout = interleaving(plan), service.attention_pool.attention
    if shapes is None or layout is None or found is None:
        return None
    context = workload.prompt + workload.output / 2
    load = StepLoad(context, found.tokens, workload.fresh, workload.prefix, found.fullness)
    alike, phase, riding = replica_classes(plan, service)[0], Phase.DECODE, float(found.tokens)
    if found.limits.mixes:
        # Ranks that have fewer sequences than the fullest may have none beside as many prompts.
        left = max(1, alike.sequences - (found.held - found.beside) * layout.dp)
        alike = replace(alike, sequences=left)
    else:
        alike, phase, riding = replace(alike, sequences=load.prompts * layout.dp), Phase.PREFILL, 0.0
    return PhaseLowering(plan, shapes, service, phase, alike, riding, known or LoweringCache(), load).graph()


def lower_full_steps(plan: Plan, known: LoweringCache | None = None) -> tuple[PhaseGraph | None, PhaseGraph | None]:
    """Steps of GPUs that prefill alone where more prompts wait than have room: one, and as many behind each other as
    there are stages. Where prompts are split it is their mean step.

    The first is None where it is the prefill, the second without a pipeline, both where no GPUs prefill alone.
    """
    service, workload, known = plan.deployment.services[0], plan.facts.workload, known or LoweringCache()
    if plan.facts.model.shapes() is None or not prefills_alone(plan, service):
        return None, None
    tokens = full_step_tokens(plan)
    fresh = min(tokens, workload.fresh)
    load = StepLoad(0.0, tokens, fresh, workload.prefix + (workload.fresh - fresh) // 2)
    one = lower_step(plan, service, 0, load, known) if tokens != workload.fresh else None
    return one, lower_step(plan, service, 0, load, known, service.stages) if service.stages > 1 else None


def lower_step(
    plan: Plan, service: Service, sequences: int, load: StepLoad, known: LoweringCache, prefills: int = 1
) -> PhaseGraph:
    """One step of the first replica of a service: so many decode sequences on the fullest rank, and prompts.

    Without sequences it is a step of prompts alone, as one micro-batch, or so many `prefills` behind each other. Raises
    ValueError when the model has no shapes.
    """
    shapes, layout = plan.facts.model.shapes(), service.attention_pool.attention
    if shapes is None or layout is None:
        raise ValueError("lowering needs a model with shapes")
    alike = replace(replica_classes(plan, service)[0], sequences=(sequences or load.prompts * prefills) * layout.dp)
    if sequences:
        return PhaseLowering(plan, shapes, service, Phase.DECODE, alike, float(load.tokens), known, load).graph()
    if len(service.pools) == 1:
        service = _in_steps(service, prefills)
    return PhaseLowering(plan, shapes, service, Phase.PREFILL, alike, 0.0, known, load).graph()


def _in_steps(service: Service, steps: int) -> Service:
    """The service with so many steps of prompts, one micro-batch each."""
    return replace(service, options=replace(service.options, micro=steps))
