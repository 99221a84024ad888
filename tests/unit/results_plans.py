"""Plans for the tests of report and priced rules, read from text by the real readers, placed by hand."""

from __future__ import annotations

from dagc.catalog.attention import Attention, AttentionKind
from dagc.catalog.device import ClusterSpec, DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import Experts, ModelSpec
from dagc.degrees import AxisKind
from dagc.facts.claims import declare_claims, declare_requirements
from dagc.facts.workload import declare_workload
from dagc.plan.deployment import Deployment, Options, Phase, Pool, Role, Service
from dagc.plan.layout import Factor, Layout
from dagc.plan.plan import Facts, Plan
from dagc.source import Source
from dagc.syntax.parser import parse
from dagc.syntax.tree import Block, NamedStrategy

DEVICE = DeviceSpec("gpu-64gb", 64e9, 1.8e12, {Dtype.BF16: 400e12}, 0.6, 0.8)
CLUSTER = ClusterSpec("lab", DEVICE, 256, 8, 450e9, 50e9, 2e-6, 5e-6, 0.8, 0.8)

UNSHAPED = ModelSpec("stated", layers=16, expert_count=16, top=2, declared_parameters=10e9)
"""16 layers of 16 experts, two visited, 10 B parameters, and no shapes."""

SHAPED = ModelSpec(
    "demo",
    layers=16,
    hidden=2048,
    vocab=128256,
    attention=Attention(AttentionKind.GQA, 32, 8, 64),
    heads=32,
    kv_heads=8,
    expert_count=16,
    top=2,
    experts=Experts(16, 2, 6144),
)


def plan(
    text: str = "",
    *,
    strategy: str = "ep 16 < tp 4 >",
    layout: tuple[tuple[AxisKind, int], ...] = ((AxisKind.EP, 16), (AxisKind.TP, 4)),
    stages: int = 1,
    replicas: int = 1,
    naive: int | None = None,
    model: ModelSpec = UNSHAPED,
) -> Plan:
    """A plan of one pool whose stage has `layout`, with the workload, require and claims blocks of `text`."""
    parsed = parse(Source("plan.moe", f"{text}\nstrategy main = {strategy}\n"))
    assert parsed.file is not None, parsed.diagnostics
    blocks = {block.keyword: block for block in parsed.file.blocks}
    deployment = _deployment(parsed.file.strategies[0], layout, stages, replicas, naive)
    return Plan(deployment, _facts(blocks, model))


def _deployment(
    strategy: NamedStrategy, factors: tuple[tuple[AxisKind, int], ...], stages: int, replicas: int, naive: int | None
) -> Deployment:
    experts = Layout(tuple(Factor(axis, degree) for axis, degree in factors))
    attention = Layout((Factor(AxisKind.DP, experts.ep, implied=True), Factor(AxisKind.TP, experts.tp)))
    pool = Pool("main", Role.ALL, stages, experts.size, attention, experts, None, 0, experts.size)
    size = pool.gpus_per_replica
    service = Service(Phase.BOTH, replicas, stages, (pool,), Options(), (), 0, size, strategy.body.outer)
    gpus = replicas * size
    proof = (f"{replicas} × {stages} × {experts.size} = {gpus} GPUs",)
    return Deployment(strategy, 1, (service,), gpus, gpus, proof, naive or gpus)


def _facts(blocks: dict[str, Block], model: ModelSpec) -> Facts:
    workload, problems = declare_workload(blocks.get("workload"))
    requirements, wrong = declare_requirements(blocks.get("require"))
    assert workload is not None and not (*problems, *wrong)
    claims = ()
    if "claims" in blocks:
        name, _, stated, wrong = declare_claims(blocks["claims"])
        assert not wrong
        claims = ((name, stated),)
    return Facts(model, CLUSTER, workload, requirements, claims, (), ())
