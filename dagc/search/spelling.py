"""A candidate becomes the text of its strategy: the shortest spelling that means it.

What the language implies is left unwritten: degrees of 1, and attention's outer dp where the experts' branch fills the
stage. Nested (`ep 16 < tp 2 >`) where attention takes its tp from there, folded (`ep 16 ; tp 2`) elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm

from dagc.plan.deployment import Options
from dagc.search.candidate import Attention, Candidate, Form, ServicePlan, Shape

_Axes = Sequence[tuple[str, int, Sequence[str]]]
"""Name, degree and options of axes, outermost first."""


def spell(candidate: Candidate) -> str:
    """The strategy of a candidate, e.g. `pp 4 [micro 8] < ep 16 ; tp 2 >`."""
    if len(candidate.services) == 1:
        return _service(candidate.services[0]) or "tp 1"
    return " | ".join(f"{service.phase} < {_service(service) or 'tp 1'} >" for service in candidate.services)


def _service(service: ServicePlan) -> str:
    shape, options = service.shape, service.options
    pipeline = ("pp", shape.stages, _pipeline_options(options))
    if shape.form is Form.BESIDE_REPLICA:
        attention = _chain([pipeline, *_attention(shape.attention, options)]) or "tp 1"
        return _around(shape.replicas, f"{attention} | {_experts(shape, options)}")
    stage = _stage(shape, options)
    return _around(shape.replicas, _around_stage(pipeline, stage))


def _around(replicas: int, text: str) -> str:
    return _around_stage(("dp", replicas, ()), text)


def _around_stage(axis: tuple[str, int, Sequence[str]], text: str) -> str:
    if axis[1] == 1:
        return text
    head = _axis(*axis)
    return f"{head} < {text} >" if text else head


def _stage(shape: Shape, options: Options) -> str:
    attention, experts = shape.attention, shape.experts
    if shape.form is Form.BESIDE_STAGE:
        return f"{_chain(_attention(attention, options)) or 'tp 1'} | {_experts(shape, options)}"
    is_alone = experts.size == attention.size and attention.cp == 1 and attention.inner == 1
    if is_alone and experts.tp == attention.tp and experts.ep > 1:
        return _chain([("ep", experts.ep, _expert_options(options)), ("tp", experts.tp, _shard_options(options))])
    if experts.ep == 1 and experts.tp == attention.tp:
        text = _chain(_attention(attention, options))
        return f"attn < {text} >" if attention.outer > 1 else text
    return f"{_experts(shape, options)} ; {_chain(_folded(shape, options))}"


def _folded(shape: Shape, options: Options) -> _Axes:
    """The attention's branch beside the experts'; its outer dp is implied where both sizes give the stage's."""
    axes = _attention(shape.attention, options)
    inside = shape.attention.size // shape.attention.outer
    if inside == 1 or lcm(inside, shape.experts.size) != shape.attention.size:
        return axes
    return axes[1:]


def _attention(attention: Attention, options: Options) -> list[tuple[str, int, Sequence[str]]]:
    return [
        ("dp", attention.outer, ()),
        ("cp", attention.cp, ()),
        ("dp", attention.inner, ()),
        ("tp", attention.tp, _shard_options(options)),
    ]


def _experts(shape: Shape, options: Options) -> str:
    experts = shape.experts
    inside = _chain([("tp", experts.tp, ())])
    if experts.ep == 1 and inside and shape.form is Form.SHARED:
        return f"moe < {inside} >"
    head = _axis("ep", experts.ep, _expert_options(options))
    return f"{head} < {inside} >" if inside else head


def _chain(axes: _Axes) -> str:
    """Axes inside each other; those of degree 1 are left out."""
    text = ""
    for name, degree, options in reversed(axes):
        if degree > 1:
            head = _axis(name, degree, options)
            text = f"{head} < {text} >" if text else head
    return text


def _axis(name: str, degree: int, options: Sequence[str]) -> str:
    return f"{name} {degree} [{', '.join(options)}]" if options else f"{name} {degree}"


def _pipeline_options(options: Options) -> list[str]:
    layers = " ".join(map(str, options.layers or ()))
    return [*([f"micro {options.micro}"] if options.micro else []), *([f"layers {layers}"] if layers else [])]


def _expert_options(options: Options) -> list[str]:
    found = [f"redundant {options.redundant}"] if options.redundant else []
    found += [f"overlap {options.overlap}"] if options.overlap > 1 else []
    found += ["shared replicated"] if options.shared_replicated else []
    return [*found, "beside"] if options.shared_beside else found


def _shard_options(options: Options) -> list[str]:
    found = ["sp"] if options.sequence_parallel else []
    return [*found, f"dcp {options.decode_context}"] if options.decode_context > 1 else found
