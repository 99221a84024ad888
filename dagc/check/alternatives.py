"""Values of a degree that a rule would accept, with the GPUs that the strategy would then need."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dagc.check.repair import gpus, substitute
from dagc.diag.diagnostic import Fix
from dagc.diag.fixing import write
from dagc.plan.deployment import Service
from dagc.plan.layout import Factor, Layout
from dagc.plan.plan import Plan
from dagc.plan.scopes import subtrees
from dagc.plan.sizes import size
from dagc.source import Span
from dagc.syntax.tree import Axis, AxisKind, Strategy


def written_factor(layout: Layout | None, kind: AxisKind) -> Factor | None:
    """The written factor of an axis, None where it is absent or implied."""
    factors = () if layout is None else layout.factors
    return next((factor for factor in factors if factor.axis is kind and factor.span is not None), None)


def axis_at(plan: Plan, span: Span | None) -> Axis | None:
    """The axis that was written there."""
    body = plan.deployment.strategy.body
    return next((part for part in subtrees(body) if isinstance(part, Axis) and part.span == span), None)


def with_degree(plan: Plan, axis: Axis, degree: int) -> int:
    """GPUs of the strategy with another degree of one axis."""
    return size(_changed(plan, axis, degree))


def offer(plan: Plan, axis: Axis, degree: int) -> str:
    """A degree and what it comes to, as help shows it: `ep 16` (128 GPUs)."""
    return f"`{axis.kind} {degree}` ({gpus(with_degree(plan, axis, degree))})"


def nearest(degree: int, accepts: Callable[[int], bool], highest: int) -> list[int]:
    """The nearest accepted degrees below and above, from 1 to `highest`."""
    below = next((d for d in range(min(degree, highest + 1) - 1, 0, -1) if accepts(d)), None)
    above = next((d for d in range(degree + 1, highest + 1) if accepts(d)), None)
    return [d for d in (below, above) if d is not None]


def fitting_tp(plan: Plan, factor: Factor, accepts: Callable[[int], bool] = bool) -> list[int]:
    """The nearest tp degrees that divide everything that this `tp` splits, as far as it is stated, and are accepted."""
    model, attention, experts = plan.facts.model, _is_in(plan, factor, "attention"), _is_in(plan, factor, "experts")
    split = [model.heads, model.dense_ffn] if attention else []
    split += [model.experts.ffn] if experts and model.experts else []
    whole = [amount for amount in split if amount]
    kv_heads = model.kv_heads if attention else None
    highest = min([*whole, 2**15])

    def fits(degree: int) -> bool:
        return all(n % degree == 0 for n in whole) and kv_fits(kv_heads, degree) and accepts(degree)

    return nearest(factor.degree, fits, highest)


def kv_fits(kv_heads: int | None, tp: int) -> bool:
    """Whether key-value heads divide over the ranks of a tp group, or are copied evenly to them."""
    return not kv_heads or kv_heads % tp == 0 or tp % kv_heads == 0


def _is_in(plan: Plan, factor: Factor, domain: str) -> bool:
    pools = (pool for service in plan.deployment.services for pool in service.pools)
    layouts = (pool.attention if domain == "attention" else pool.experts for pool in pools)
    return any(factor in layout.factors for layout in layouts if layout)


def use_degree(plan: Plan, span: Span | None, degrees: Iterable[int]) -> tuple[str, ...]:
    """Help that offers these degrees in place of the written one."""
    axis = axis_at(plan, span)
    offers = [offer(plan, axis, degree) for degree in degrees] if axis else []
    return (f"use {' or '.join(offers)}",) if offers else ()


def degree_fixes(plan: Plan, span: Span | None, degrees: Iterable[int]) -> tuple[Fix, ...]:
    """Fixes that write these degrees in place of the written one."""
    axis = axis_at(plan, span)
    return tuple(fix for degree in degrees if axis for fix in write(axis.span, f"{axis.kind} {degree}"))


def option_fixes(span: Span | None, options: Iterable[str]) -> tuple[Fix, ...]:
    """Fixes that write these options in place of the written one."""
    return tuple(fix for option in options if span for fix in write(span, option))


def claimed_gpus(plan: Plan) -> int | None:
    """The number of GPUs that the plan claims for this strategy."""
    found = [claim.figure.value for claim in plan.claims if claim.name == "gpus"]
    return int(found[0]) if found else None


def _changed(plan: Plan, axis: Axis, degree: int) -> Strategy:
    changed = Axis(axis.kind, degree, axis.options, axis.body, axis.span, axis.outer)
    return substitute(plan.deployment.strategy.body, axis, changed)


def pipeline(plan: Plan, service: Service) -> Axis | None:
    """The `pp` of a service, where one is written."""
    inside = [a for a in subtrees(plan.deployment.strategy.body) if isinstance(a, Axis) and a.kind is AxisKind.PP]
    return next((a for a in inside if service.span.start <= a.span.start < service.span.end), None)
