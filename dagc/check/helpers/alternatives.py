"""Values of a degree or an option that a rule would accept, with the GPUs that the strategy would then need.

They are offers: a rule knows its own arithmetic, and whether the plan holds with them is decided where it is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Choice, Code, Diagnostic, Edit, Fix, Label, Offer
from dagc.diag.fixing import write
from dagc.plan.deployment import Service
from dagc.plan.layout import Factor, Layout
from dagc.plan.plan import Plan
from dagc.plan.scopes import substitute, subtrees
from dagc.plan.sizes import size
from dagc.source import Span
from dagc.syntax.tree import Axis, Option, Scope, Strategy
from dagc.units import format_gpus

Lines = tuple[tuple[int, ...], ...]
"""Degrees to offer: of each line one, the first with which the plan holds."""

FALLBACKS = 8
"""Degrees that a line holds at most below or above the written one."""


def written_factor(layout: Layout | None, kind: AxisKind) -> Factor | None:
    """The written factor of an axis, None where it is absent or implied."""
    factors = () if layout is None else layout.factors
    return next((factor for factor in factors if factor.axis is kind and factor.span is not None), None)


def attention_tps(plan: Plan) -> Iterator[tuple[Service, Factor]]:
    """Each service with the written `tp` of its attention, where it has one."""
    for service in plan.deployment.services:
        factor = written_factor(service.attention_pool.attention, AxisKind.TP)
        if factor is not None:
            yield service, factor


def indivisible(
    code: Code, plan: Plan, factor: Factor, size: int, what: str, place: tuple[Label, ...], why: str = ""
) -> Diagnostic:
    """A `tp` that does not divide the size of what it splits, with the nearest degrees that do."""
    each, rest = divmod(size, factor.degree)
    return code.at(
        factor.span,
        f"`tp {factor.degree}` does not divide {what}",
        f"{size} = {factor.degree} × {each} + {rest}{why}",
        labels=place,
        offers=use_degree(plan, factor.span, fitting_tp(plan, factor)),
    )


def axis_at(plan: Plan, span: Span | None) -> Axis | None:
    """The axis that was written there."""
    body = plan.deployment.strategy.body
    return next((part for part in subtrees(body) if isinstance(part, Axis) and part.span == span), None)


def with_degree(plan: Plan, axis: Axis, degree: int) -> int:
    """GPUs of the strategy with another degree of one axis."""
    return size(_changed(plan, axis, degree))


def offer(plan: Plan, axis: Axis, degree: int) -> str:
    """A degree and what it comes to, as help shows it: `ep 16` (128 GPUs)."""
    return f"`{axis.kind} {degree}` ({format_gpus(with_degree(plan, axis, degree))})"


def nearest(degree: int, accepts: Callable[[int], bool], highest: int) -> Lines:
    """The accepted degrees nearest to a degree, from 1 to `highest`: those below, and those above."""
    below = (d for d in range(min(degree, highest + 1) - 1, 0, -1) if accepts(d))
    above = (d for d in range(degree + 1, highest + 1) if accepts(d))
    return tuple(line for line in (tuple(islice(below, FALLBACKS)), tuple(islice(above, FALLBACKS))) if line)


def downwards(plan: Plan, axis: Axis | None, most: int) -> Lines:
    """A degree and smaller ones, the largest first: what divides it, its halves, and what fits the cluster."""
    if axis is None:
        return ()
    halves = {most >> times for times in range(most.bit_length())}
    divisors = {most // part for part in range(1, FALLBACKS + 1) if most % part == 0}
    available = plan.facts.cluster.gpus
    fitting = most if available is None else most * available // with_degree(plan, axis, most)
    return (tuple(sorted({*halves, *divisors, min(max(fitting, 1), most)}, reverse=True)),)


def fitting_tp(plan: Plan, factor: Factor, accepts: Callable[[int], bool] = bool) -> Lines:
    """The nearest tp degrees that divide everything that this `tp` splits, as far as it is stated, and are accepted."""
    model, attention, experts = plan.facts.model, _is_in(plan, factor, "attention"), _is_in(plan, factor, "experts")
    split = [model.heads, *model.dense_widths] if attention else []
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


def use_degree(plan: Plan, span: Span | None, lines: Lines, tail: str = "", applies: bool = True) -> tuple[Offer, ...]:
    """Offers degrees in place of the one that is written there; of each line the first with which the plan holds."""
    axis = axis_at(plan, span)
    choices = [tuple(choice(plan, axis, degree, applies) for degree in line) for line in lines] if axis else []
    return (Offer(tuple(choices), tail=tail),) if choices else ()


def choice(plan: Plan, axis: Axis, degree: int, applies: bool = True) -> Choice:
    """Another degree of an axis: `ep 16` (128 GPUs)."""
    (fix,) = write(axis.span, f"{axis.kind} {degree}")
    return Choice(offer(plan, axis, degree), fix, applies)


def use_option(
    span: Span | None, options: Iterable[str], lead: str = "use", tail: str = "", applies: bool = True
) -> tuple[Offer, ...]:
    """Offers these options in place of the one that is written there."""
    shown = "`[{}]`" if span and span.text.startswith("layers") else "`{}`"
    lines = [(Choice(shown.format(option), fix, applies),) for option in options if span for fix in write(span, option)]
    return (Offer(tuple(lines), lead, tail=tail),) if lines else ()


def add_option(plan: Plan, span: Span | None, option: str, lead: str = "write") -> tuple[Offer, ...]:
    """Offers an option of the axis that is written there, in place of the one of that name where it has one."""
    axis = axis_at(plan, span)
    return (Offer(((with_option(axis, option),),), lead),) if axis else ()


def with_option(axis: Axis, option: str) -> Choice:
    """An option of an axis, in place of the one of that name where it has one: `[redundant 8]`."""
    old = next((one for one in axis.options if one.name == option.split()[0]), None)
    end = axis.options[-1].span.end if axis.options else axis.span.end
    place = axis.span.source.span(end, end)
    edit = Edit(old.span, option) if old else Edit(place, f", {option}" if axis.options else f" [{option}]")
    return Choice(f"`[{option}]`", Fix(f"write `[{option}]`", (edit,), safe=False), applies=False)


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


def without(node: Axis | Scope, option: Option, safe: bool) -> tuple[Fix, ...]:
    """The fix that takes an option away."""
    return (Fix(f"remove `{option.span.text}`", (Edit(_around(node, option), ""),), safe),)


def moved(node: Axis | Scope, option: Option, target: Axis | Scope) -> tuple[Fix, ...]:
    """The fix that puts an option behind another axis or scope."""
    source = target.span.source
    end = target.options[-1].span.end if target.options else target.span.end
    text = f", {option.span.text}" if target.options else f" [{option.span.text}]"
    edits = (Edit(_around(node, option), ""), Edit(source.span(end, end), text))
    return (Fix(f"write `{option.span.text}` after `{target.span.text}`", edits, safe=False),)


def _around(node: Axis | Scope, option: Option) -> Span:
    """An option with its comma; the only one with its brackets."""
    source, span = option.span.source, option.span
    at = node.options.index(option)
    if len(node.options) == 1:
        start = source.text.rindex("[", node.span.end, span.start)
        end = source.text.index("]", span.end) + 1
        return source.span(len(source.text[:start].rstrip(" ")), end)
    if at == 0:
        return source.span(span.start, node.options[1].span.start)
    return source.span(node.options[at - 1].span.end, span.end)
