"""Turns a strategy into a deployment: replicas, services, pools, stages, domains, global ranks.

Needs the text alone. It places what is legal: where a node is in the wrong scope there is no deployment and no
diagnostic from here, because the hierarchy rules say why. Sizes out of reach are reported here, and nothing of that
length is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dagc.degrees import AxisKind
from dagc.diag.diagnostic import Diagnostic
from dagc.plan.deployment import Deployment, Phase, Pool, Role, Service
from dagc.plan.domains import chain, domains, is_experts
from dagc.plan.layout import Layout
from dagc.plan.options import read_device, read_options
from dagc.plan.scopes import PHASES, Annotated, kind_of, parts, subtrees
from dagc.plan.sizes import derivation, judge_size, naive_product, size
from dagc.syntax.tree import Axis, NamedStrategy, Pools, ScopeKind, Strategy


def resolve(annotated: Annotated) -> tuple[Deployment | None, tuple[Diagnostic, ...]]:
    """The deployment of a strategy, or None where it is illegal or too large."""
    problems = judge_size(annotated.strategy.body)
    if problems or not annotated.is_legal:
        return None, problems
    return _deployment(annotated.strategy), ()


def _deployment(strategy: NamedStrategy) -> Deployment:
    replicas, body = _peel(strategy.body, AxisKind.DP)
    services = _services(strategy.body, body)
    return Deployment(
        strategy=strategy,
        replicas=replicas,
        services=services,
        replica_stride=sum(service.replicas * service.replica_stride for service in services),
        gpus=size(strategy.body),
        derivation=derivation(strategy.body),
        naive_product=naive_product(strategy.body),
    )


def _peel(strategy: Strategy | None, kind: AxisKind) -> tuple[int, Strategy | None]:
    """The degree of an axis that may be left out, and what is inside it."""
    if isinstance(strategy, Axis) and strategy.kind is kind:
        return strategy.degree, strategy.body
    return 1, strategy


# Services


def _services(strategy: Strategy, body: Strategy | None) -> tuple[Service, ...]:
    """One service, or prefill and then decode; each starts where those before it in the text end."""
    if not isinstance(body, Pools) or kind_of(body.branches[0]) not in PHASES:
        return (_service(_Written(Phase.BOTH, strategy, body, None), 1),)
    services: list[Service] = []
    first = 0
    for branch in body.branches:
        services.append(replace(_phase(branch), first_rank=first))
        first += size(branch)
    return tuple(sorted(services, key=lambda service: service.phase is not Phase.PREFILL))


@dataclass(frozen=True, slots=True)
class _Written:
    """A service as written: all of its text, and what is in one replica of it."""

    phase: Phase
    text: Strategy
    replica: Strategy | None
    device: str | None


def _phase(branch: Strategy) -> Service:
    phase = Phase.PREFILL if kind_of(branch) is ScopeKind.PREFILL else Phase.DECODE
    replicas, body = _peel(parts(branch)[0], AxisKind.DP)
    return _service(_Written(phase, branch, body, read_device(branch)), replicas)


def _service(written: _Written, replicas: int) -> Service:
    stages, pools = _pools(written.replica)
    options, spans = read_options(subtrees(written.text))
    return Service(
        phase=written.phase,
        replicas=replicas,
        stages=stages,
        pools=tuple(_named(pool, written) for pool in pools),
        options=options,
        option_spans=spans,
        first_rank=0,
        replica_stride=1 if written.replica is None else size(written.replica),
        span=written.text.outer,
    )


def _named(pool: Pool, written: _Written) -> Pool:
    """The pool with its name in the whole deployment, and the device of its phase where it names none."""
    role = "" if pool.role is Role.ALL else pool.role.value
    phase = "" if written.phase is Phase.BOTH else written.phase.value
    name = ".".join(filter(None, (phase, role))) or "main"
    return replace(pool, name=name, device=pool.device or written.device)


# Pools of one replica


def _pools(replica: Strategy | None) -> tuple[int, tuple[Pool, ...]]:
    """Number of stages, and the pools of one replica, the attention's before the experts'."""
    if isinstance(replica, Pools):
        return _pools_of_replica(replica)
    stages, stage = _peel(replica, AxisKind.PP)
    if isinstance(stage, Pools):
        return stages, _pools_of_stage(stage, stages)
    cut = domains(stage)
    device = read_device(stage) if stage else None
    pool = Pool("", Role.ALL, stages, cut.width, cut.attention, cut.experts, device, 0, cut.width)
    return stages, (pool,)


def _pools_of_stage(pools: Pools, stages: int) -> tuple[Pool, ...]:
    """Each stage has both pools, side by side in written order."""
    attention, experts = _roles(pools)
    stride = size(pools)
    return (
        _pool(attention, Role.ATTENTION, stages, _start(pools, attention), stride),
        _pool(experts, Role.EXPERTS, stages, _start(pools, experts), stride),
    )


def _pools_of_replica(pools: Pools) -> tuple[int, tuple[Pool, ...]]:
    """The experts' pool serves all stages of the attention's."""
    attention, experts = _roles(pools)
    stages, stage = _peel(attention, AxisKind.PP)
    width = 1 if stage is None else size(stage)
    return stages, (
        _pool(stage, Role.ATTENTION, stages, _start(pools, attention), width),
        _pool(experts, Role.EXPERTS, 1, _start(pools, experts), size(experts)),
    )


def _roles(pools: Pools) -> tuple[Strategy, Strategy]:
    first, second = pools.branches
    return (second, first) if is_experts(first) else (first, second)


def _start(pools: Pools, branch: Strategy) -> int:
    """GPUs of the branches before this one."""
    return sum(size(one) for one in pools.branches[: pools.branches.index(branch)])


def _pool(branch: Strategy | None, role: Role, stages: int, first_rank: int, stride: int) -> Pool:
    factors = chain(branch)
    layout = Layout(factors)
    return Pool(
        name="",
        role=role,
        stages=stages,
        width=layout.size,
        attention=layout if role is Role.ATTENTION else None,
        experts=layout if role is Role.EXPERTS else None,
        device=read_device(branch) if branch else None,
        first_rank=first_rank,
        stage_stride=stride,
    )
