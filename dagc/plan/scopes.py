"""Gives every node of a strategy its scope, and reports where a node is not allowed.

Turns a syntax strategy into a tree of `Node`s: what was written, its place (written or implied: what is
left out is 1), and the fault of a node that may not stand there. It succeeds for every tree, so that all faults of a
strategy are found in one pass; a fault is reported once for a chain of axes, because reordering the chain fixes all
of it. It explains nothing: the rules of `dagc.check.hierarchy` turn faults into messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from dagc.degrees import AxisKind
from dagc.source import Span
from dagc.syntax.tree import Axis, Fold, NamedStrategy, Pools, Scope, ScopeKind, Strategy


class Place(StrEnum):
    """The scope around a node. The value is how messages name it."""

    DEPLOYMENT = "the deployment"
    REPLICA = "a replica"
    STAGE = "a stage"
    ATTENTION = "attention"
    EXPERTS = "`moe`"
    EXPERT_GROUP = "an expert group"
    SHARD = "a shard"
    ATTENTION_BRANCH = "the attention branch of a fold"
    EXPERTS_BRANCH = "the experts' branch of a fold"
    ATTENTION_POOL = "an attention pool"
    ATTENTION_STAGE_POOL = "the attention pool of a stage"
    EXPERTS_POOL = "an experts' pool"


class Fault(StrEnum):
    """Why a node may not be where it is."""

    INSIDE_ITSELF = "inside itself"
    INSIDE_SHARD = "inside a shard"
    WRONG_SCOPE = "wrong scope"
    FOLD_PLACE = "fold outside a stage"
    FOLD_BRANCHES = "not two branches"
    ONE_DOMAIN = "two branches for one domain"
    REPLICA_AXIS = "replica axis in a branch"
    POOLS_PLACE = "pools outside a replica or stage"
    POOLS_SHAPE = "pools of no known form"
    PHASE_ALONE = "one phase alone"
    PHASE_REPEATED = "a phase repeated"
    PHASE_UNSCOPED = "a phase beside a pool without one"
    PHASE_NESTED = "a phase inside a phase or a stage"


Kind = AxisKind | ScopeKind

PHASES = frozenset({ScopeKind.PREFILL, ScopeKind.DECODE})
EXPERT_HEADS = frozenset[Kind]({AxisKind.EP, ScopeKind.MOE})

_IN_STAGE = frozenset({Place.DEPLOYMENT, Place.REPLICA, Place.STAGE})
_IN_ATTENTION = frozenset({
    Place.ATTENTION, Place.ATTENTION_BRANCH, Place.ATTENTION_POOL, Place.ATTENTION_STAGE_POOL,
})  # fmt: skip
_BRANCHES = frozenset({Place.ATTENTION_BRANCH, Place.ATTENTION_POOL, Place.ATTENTION_STAGE_POOL})
_IN_EXPERTS = frozenset({Place.EXPERTS, Place.EXPERTS_BRANCH, Place.EXPERTS_POOL})

MAY_STAND: dict[Kind, frozenset[Place]] = {
    AxisKind.DP: frozenset({Place.DEPLOYMENT}) | _IN_ATTENTION,
    AxisKind.PP: frozenset({Place.DEPLOYMENT, Place.REPLICA, Place.ATTENTION_POOL}),
    AxisKind.EP: _IN_STAGE | _IN_EXPERTS,
    AxisKind.TP: _IN_STAGE | _IN_ATTENTION | {Place.EXPERTS, Place.EXPERT_GROUP},
    AxisKind.CP: _IN_STAGE | _IN_ATTENTION,
    ScopeKind.ATTN: _IN_STAGE | _BRANCHES,
    ScopeKind.MOE: _IN_STAGE | {Place.EXPERTS_BRANCH, Place.EXPERTS_POOL},
    ScopeKind.PREFILL: frozenset({Place.DEPLOYMENT, Place.REPLICA}),
    ScopeKind.DECODE: frozenset({Place.DEPLOYMENT, Place.REPLICA}),
}
"""The typed table: where each axis and scope may stand."""

_OPENS: dict[Kind, Place] = {
    AxisKind.PP: Place.STAGE,
    AxisKind.EP: Place.EXPERT_GROUP,
    AxisKind.TP: Place.SHARD,
    AxisKind.CP: Place.ATTENTION,
    ScopeKind.ATTN: Place.ATTENTION,
    ScopeKind.MOE: Place.EXPERTS,
    ScopeKind.PREFILL: Place.DEPLOYMENT,
    ScopeKind.DECODE: Place.DEPLOYMENT,
}


def opens(kind: Kind, place: Place) -> Place:
    """The place inside an axis or scope at `place`. A `dp` in attention stays in attention."""
    if kind is AxisKind.DP:
        return Place.ATTENTION if place in _IN_ATTENTION else Place.REPLICA
    if kind is AxisKind.PP and place in _IN_ATTENTION:
        return Place.ATTENTION_STAGE_POOL
    return _OPENS[kind]


@dataclass(frozen=True, slots=True)
class ScopeNode:
    """A node of the strategy in its place. `enclosing` are the nodes around it, outermost first."""

    syntax: Strategy
    place: Place
    enclosing: tuple[Strategy, ...]
    fault: Fault | None
    children: tuple[ScopeNode, ...]

    @property
    def span(self) -> Span:
        """What a message underlines: kind and degree of an axis, the name of a scope, all of a fold or of pools."""
        return self.syntax.span if isinstance(self.syntax, Axis | Scope) else self.syntax.outer

    def walk(self) -> Iterator[ScopeNode]:
        """The node and all inside it, in the order of the text."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Annotated:
    """A strategy with its nodes, each in its scope, in the order of the text."""

    strategy: NamedStrategy
    nodes: tuple[ScopeNode, ...]

    def faulty(self, fault: Fault) -> list[ScopeNode]:
        """The nodes with this fault, in the order of the text."""
        return [node for node in self.nodes if node.fault is fault]

    @property
    def is_legal(self) -> bool:
        """Whether every node may be where it is."""
        return all(node.fault is None for node in self.nodes)


def annotate(strategy: NamedStrategy) -> Annotated:
    """The scopes of a whole strategy."""
    return Annotated(strategy, tuple(_node(strategy.body, _Context(Place.DEPLOYMENT)).walk()))


def kind_of(strategy: Strategy) -> Kind | None:
    """Kind of an axis or scope, None of a fold or of pools."""
    return strategy.kind if isinstance(strategy, Axis | Scope) else None


def subtrees(strategy: Strategy) -> Iterator[Strategy]:
    """A tree and all its parts, in the order of the text."""
    yield strategy
    for part in parts(strategy):
        yield from subtrees(part)


def substitute(tree: Strategy, old: Strategy, new: Strategy | None) -> Strategy:
    """The tree with `new` in the place of the part that is the object `old`."""
    if tree is old:
        return old if new is None else new
    if isinstance(tree, Fold | Pools):
        return replace(tree, branches=tuple(substitute(branch, old, new) for branch in tree.branches))
    return tree if tree.body is None else replace(tree, body=substitute(tree.body, old, new))


def parts(strategy: Strategy) -> tuple[Strategy, ...]:
    """What is directly inside: the body of an axis or scope, the branches of a fold or of pools."""
    if isinstance(strategy, Fold | Pools):
        return strategy.branches
    return () if strategy.body is None else (strategy.body,)


@dataclass(frozen=True, slots=True)
class _Context:
    """Where the next node is.

    `meanings` are those of the axes around it, since the last phase. `chained`: an axis of the chain above it has a
    fault already.
    """

    place: Place
    enclosing: tuple[Strategy, ...] = ()
    meanings: frozenset[str] = frozenset()
    chained: bool = False

    def inside(self, around: Strategy, place: Place, chained: bool = False) -> _Context:
        kind = kind_of(around)
        meanings = self.meanings if kind is None else self.meanings | {_meaning(kind, self.place)}
        return _Context(place, (*self.enclosing, around), frozenset() if kind in PHASES else meanings, chained)


def _node(strategy: Strategy, context: _Context) -> ScopeNode:
    match strategy:
        case Axis() | Scope():
            return _axis_or_scope(strategy, context)
        case Fold():
            return _fold(strategy, context)
        case Pools():
            return _pools(strategy, context)


# Axes and scopes


def _axis_or_scope(strategy: Axis | Scope, context: _Context) -> ScopeNode:
    fault = None if context.chained else _fault(strategy, context)
    place = opens(strategy.kind, context.place)
    chained = context.chained or fault is not None
    inside = context.inside(strategy, place, chained)
    children = () if strategy.body is None else (_node(strategy.body, inside),)
    return ScopeNode(strategy, context.place, context.enclosing, fault, children)


def _fault(strategy: Axis | Scope, context: _Context) -> Fault | None:
    if isinstance(strategy, Scope) and strategy.kind in PHASES:
        return _phase_fault(context)
    if _meaning(strategy.kind, context.place) in context.meanings:
        return Fault.INSIDE_ITSELF
    if context.place is Place.SHARD:
        return Fault.INSIDE_SHARD
    return None if context.place in MAY_STAND[strategy.kind] else Fault.WRONG_SCOPE


def _meaning(kind: Kind, place: Place) -> str:
    """What an axis splits: a `dp` in attention is another thing than one outside."""
    return "attention dp" if kind is AxisKind.DP and place in _IN_ATTENTION else kind.value


def _phase_fault(context: _Context) -> Fault:
    """The fault of a phase that is no branch of a pair of pools."""
    if context.place in MAY_STAND[ScopeKind.PREFILL] and not _has_phase(context.enclosing):
        return Fault.PHASE_ALONE
    return Fault.PHASE_NESTED


def _has_phase(enclosing: tuple[Strategy, ...]) -> bool:
    return any(kind_of(one) in PHASES for one in enclosing)


# Folds


class _Claim(StrEnum):
    """What a branch is for, by what it holds."""

    ATTENTION = "attention"
    EXPERTS = "experts"
    BOTH = "both"


def _claim(branch: Strategy) -> _Claim:
    if any(isinstance(part, Fold | Pools) for part in subtrees(branch)):
        return _Claim.BOTH
    holds_experts = any(kind_of(part) in EXPERT_HEADS for part in subtrees(branch))
    return _Claim.EXPERTS if holds_experts else _Claim.ATTENTION


def _fold(fold: Fold, context: _Context) -> ScopeNode:
    fault = _fold_fault(fold, context.place)
    if fault is not None:
        return _silent(fold, context, fault)
    branches = [_branch(fold, branch, context) for branch in fold.branches]
    if all(branch.fault is None for branch in branches) and _claim(fold.branches[0]) is _claim(fold.branches[1]):
        return _silent(fold, context, Fault.ONE_DOMAIN)
    return ScopeNode(fold, context.place, context.enclosing, None, tuple(branches))


def _fold_fault(fold: Fold, place: Place) -> Fault | None:
    if place not in _IN_STAGE:
        return Fault.FOLD_PLACE
    if len(fold.branches) != 2 or any(_claim(branch) is _Claim.BOTH for branch in fold.branches):
        return Fault.FOLD_BRANCHES
    return None


def _branch(fold: Fold, branch: Strategy, context: _Context) -> ScopeNode:
    """A branch in its domain; one that holds a stage, a phase, or a `dp` around experts is at fault as a whole."""
    is_experts = _claim(branch) is _Claim.EXPERTS
    inside = context.inside(fold, Place.EXPERTS_BRANCH if is_experts else Place.ATTENTION_BRANCH)
    if _has_replica_axis(branch, is_experts):
        return _silent(branch, inside, Fault.REPLICA_AXIS)
    return _node(branch, inside)


def _has_replica_axis(branch: Strategy, is_experts: bool) -> bool:
    kinds = {kind_of(part) for part in subtrees(branch)}
    around_experts = is_experts and kind_of(branch) is AxisKind.DP
    return AxisKind.PP in kinds or bool(kinds & PHASES) or around_experts


# Pools


def _pools(pools: Pools, context: _Context) -> ScopeNode:
    if any(kind_of(branch) in PHASES for branch in pools.branches):
        return _phases(pools, context)
    fault = _pools_fault(pools, context.place)
    if fault is not None:
        return _silent(pools, context, fault)
    branches = tuple(_node(branch, context.inside(pools, _pool_place(branch, context))) for branch in pools.branches)
    return ScopeNode(pools, context.place, context.enclosing, None, branches)


def _pools_fault(pools: Pools, place: Place) -> Fault | None:
    if place not in _IN_STAGE:
        return Fault.POOLS_PLACE
    claims = sorted(_claim(branch) for branch in pools.branches)
    if claims != [_Claim.ATTENTION, _Claim.EXPERTS]:
        return Fault.POOLS_SHAPE
    experts = next(branch for branch in pools.branches if _claim(branch) is _Claim.EXPERTS)
    return Fault.POOLS_SHAPE if _has_replica_axis(experts, True) else None


def _pool_place(branch: Strategy, context: _Context) -> Place:
    if _claim(branch) is _Claim.EXPERTS:
        return Place.EXPERTS_POOL
    return Place.ATTENTION_STAGE_POOL if context.place is Place.STAGE else Place.ATTENTION_POOL


def _phases(pools: Pools, context: _Context) -> ScopeNode:
    """One `prefill` beside one `decode`."""
    if context.place not in MAY_STAND[ScopeKind.PREFILL] or _has_phase(context.enclosing):
        return _silent(pools, context, Fault.PHASE_NESTED)
    seen: set[Kind | None] = set()
    branches: list[ScopeNode] = []
    for branch in pools.branches:
        inside = context.inside(pools, context.place)
        fault = _phase_branch_fault(kind_of(branch), seen)
        seen.add(kind_of(branch))
        branches.append(_phase(branch, inside) if fault is None else _silent(branch, inside, fault))
    return ScopeNode(pools, context.place, context.enclosing, None, tuple(branches))


def _phase_branch_fault(kind: Kind | None, seen: set[Kind | None]) -> Fault | None:
    if kind not in PHASES:
        return Fault.PHASE_UNSCOPED
    return Fault.PHASE_REPEATED if kind in seen else None


def _phase(branch: Strategy, context: _Context) -> ScopeNode:
    inside = context.inside(branch, Place.DEPLOYMENT)
    children = tuple(_node(part, inside) for part in parts(branch))
    return ScopeNode(branch, context.place, context.enclosing, None, children)


def _silent(strategy: Strategy, context: _Context, fault: Fault | None) -> ScopeNode:
    """A node with a fault, and all inside it without: what is wrong there may follow from this."""
    inside = context.inside(strategy, context.place)
    children = tuple(_silent(part, inside, None) for part in parts(strategy))
    return ScopeNode(strategy, context.place, context.enclosing, fault, children)
