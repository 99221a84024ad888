"""How many GPUs a strategy needs, with the proof.

Nesting multiplies, a fold takes the least common multiple, pools add. Needs the text alone, and no legal tree: the
size of any tree is defined, so that a message about an illegal one can still count. What cannot be counted (a degree
below 1, more ranks than any deployment has) is reported here, before an array of that length is made.
"""

from __future__ import annotations

from math import lcm, log10, prod

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import write
from dagc.plan.scopes import parts, subtrees
from dagc.syntax.tree import Axis, Fold, Pools, Scope, Strategy

DEGREE_BELOW_ONE = Code("D101", "degree-below-one")
TOO_MANY_RANKS = Code("D102", "too-many-ranks")

MAX_RANKS = 2**20
"""More than any deployment has; vectors over ranks stay small below it."""

_MOST_WRITTEN = 10**18
"""Numbers from here on are written as a power of ten."""


def size(strategy: Strategy) -> int:
    """GPUs of a strategy."""
    match strategy:
        case Axis(degree=degree, body=body):
            return degree * (1 if body is None else size(body))
        case Scope(body=body):
            return 1 if body is None else size(body)
        case Fold(branches=branches):
            return lcm(*map(size, branches))
        case Pools(branches=branches):
            return sum(map(size, branches))


def naive_product(strategy: Strategy) -> int:
    """The product of all written degrees, as people count."""
    return prod(part.degree for part in subtrees(strategy) if isinstance(part, Axis))


def derivation(strategy: Strategy) -> tuple[str, ...]:
    """The size as a proof, innermost step first; the last line ends in the number of GPUs."""
    lines = _steps(strategy) or [f"`{_head(strategy)}`: {_count(size(strategy))}"]
    return (*lines[:-1], f"{lines[-1]} GPU{'s' * (size(strategy) != 1)}")


def judge_size(strategy: Strategy) -> tuple[Diagnostic, ...]:
    """Degrees below 1, each; else a total that is out of reach."""
    axes = [part for part in subtrees(strategy) if isinstance(part, Axis)]
    below = tuple(_below_one(axis) for axis in axes if axis.degree < 1)
    if below or size(strategy) <= MAX_RANKS:
        return below
    widest = max(axes, key=lambda axis: axis.degree)
    return (_too_many(strategy, widest),)


def _below_one(axis: Axis) -> Diagnostic:
    return DEGREE_BELOW_ONE.at(
        axis.span,
        f"`{axis.kind} {axis.degree}` has a degree below 1",
        "a degree counts parts: at least 1",
        help=(f"leave `{axis.kind}` out, or write `{axis.kind} 1`, where nothing is split",),
        fixes=write(axis.span, f"{axis.kind} 1"),
    )


def _too_many(strategy: Strategy, widest: Axis) -> Diagnostic:
    steps = derivation(strategy)
    return TOO_MANY_RANKS.at(
        widest.span,
        f"the strategy needs {_count(size(strategy))} GPUs, more than the {MAX_RANKS} that a deployment can have here",
        f"the largest of its degrees is {_count(widest.degree)}",
        notes=steps if len(steps) > 1 else (),
        help=("write a smaller degree; what does not nest shares GPUs (`a ; b`) or adds up (`a | b`)",),
    )


def _steps(strategy: Strategy) -> list[str]:
    inner = [line for part in parts(strategy) for line in _steps(part)]
    match strategy:
        case Scope():
            return inner
        case Axis(degree=degree, body=body):
            if body is None:
                return inner
            steps = f"{degree} × {_count(size(body))} = {_count(size(strategy))}"
            return [*inner, f"`{_head(strategy)}`: {steps}"]
        case Fold(branches=branches):
            return [*inner, f"`{_heads(branches, ';')}`: {_shared(branches)}"]
        case Pools(branches=branches):
            terms = " + ".join(_count(size(branch)) for branch in branches)
            return [*inner, f"`{_heads(branches, '|')}`: each on its own GPUs: {terms} = {_count(size(strategy))}"]


def _count(number: int) -> str:
    """A number as written, or its order where it has more digits than a line."""
    return str(number) if number < _MOST_WRITTEN else f"about 10^{int(number.bit_length() * log10(2))}"


def _shared(branches: tuple[Strategy, ...]) -> str:
    sizes = [size(branch) for branch in branches]
    both = "both on the same GPUs" if len(sizes) == 2 else "all on the same GPUs"
    total = lcm(*sizes)
    divides = max(sizes) == total
    why = (
        ""
        if divides
        else f"{_count(max(sizes))} is no multiple of {_count(min(sizes))}, the rest is filled with copies: "
    )
    return f"{both}: {why}lcm({', '.join(map(_count, sizes))}) = {_count(total)}"


def _heads(branches: tuple[Strategy, ...], sign: str) -> str:
    return f" {sign} ".join(_head(branch) for branch in branches)


def _head(strategy: Strategy) -> str:
    """A strategy without options, what is deeper than one level left out."""
    match strategy:
        case Axis(body=None):
            return f"{strategy.kind} {_count(strategy.degree)}"
        case Axis(body=Axis(body=None) as inner):
            return f"{strategy.kind} {_count(strategy.degree)} < {_head(inner)} >"
        case Axis():
            return f"{strategy.kind} {_count(strategy.degree)} < … >"
        case Scope(body=Axis(body=None) as inner):
            return f"{strategy.kind} < {_head(inner)} >"
        case Scope():
            return f"{strategy.kind} < … >"
        case Fold() | Pools():
            return "(…)"
