"""Plans built by hand for the tests of lowering and of the graph: no text, no resolver, only nouns."""

from __future__ import annotations

from dagc.catalog.attention import Attention, AttentionKind
from dagc.catalog.device import ClusterSpec, DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.catalog.model import Experts, ModelSpec
from dagc.degrees import AxisKind
from dagc.graph.graph import Node, PhaseGraph, Template
from dagc.ops.communication import Communication
from dagc.plan.deployment import Deployment, Options, Phase, Pool, Role, Service
from dagc.plan.layout import Factor, Layout
from dagc.plan.plan import Facts, Plan
from dagc.plan.workload import Workload
from dagc.source import Source
from dagc.syntax.tree import Axis, NamedStrategy

SOURCE = Source("plan", "pp 4 < ep 16 ; tp 2 >")
SPAN = SOURCE.span(0, len(SOURCE.text))
PIPELINE = SOURCE.span(0, 4)

MLA = Attention(AttentionKind.MLA, 128, 128, 192, q_lora=1536, kv_lora=512, qk_nope=128, qk_rope=64, v_head=128)
GQA = Attention(AttentionKind.GQA, 32, 8, 64)
DEMO_EXPERTS = Experts(16, 2, 6144)
DEEPSEEK_V3 = ModelSpec(
    "deepseek-v3", layers=61, hidden=7168, vocab=129280, attention=MLA, experts=Experts(256, 8, 2048, 2048),
    dense_ffn=18432, first_dense=3,
)  # fmt: skip
DEMO = ModelSpec(
    "demo", layers=16, hidden=2048, vocab=128256, attention=GQA, experts=DEMO_EXPERTS,
)  # fmt: skip
DENSE = ModelSpec(
    "dense", layers=5, hidden=64, vocab=100, attention=Attention(AttentionKind.MHA, 8, 8, 8), is_dense=True,
    dense_ffn=256,
)  # fmt: skip


def layout(**degrees: int) -> Layout:
    """A layout of axes by name, outermost first."""
    return Layout(tuple(Factor(AxisKind(axis), degree) for axis, degree in degrees.items()))


def service(
    attention: Layout,
    experts: Layout | None,
    stages: int = 1,
    *,
    phase: Phase = Phase.BOTH,
    options: Options | None = None,
    replicas: int = 1,
    first_rank: int = 0,
    pool_stages: int = 0,
) -> Service:
    """One service; `pool_stages` > 0 gives the experts a pool of their own of so many stages."""
    width = attention.size
    if pool_stages and experts is not None:
        pools: tuple[Pool, ...] = (
            Pool("attention", Role.ATTENTION, stages, width, attention, None, None, 0, width),
            Pool("experts", Role.EXPERTS, pool_stages, experts.size, None, experts, None, stages * width, experts.size),
        )
    else:
        pools = (Pool("main", Role.ALL, stages, width, attention, experts, None, 0, width),)
    stride = sum(pool.gpus_per_replica for pool in pools)
    return Service(phase, replicas, stages, pools, options or Options(), (), first_rank, stride, SPAN)


def plan(*services: Service, model: ModelSpec = DEEPSEEK_V3, workload: Workload | None = None, node: int = 8) -> Plan:
    """A plan on nodes of `node` GPUs; 512 sequences of 1024 and 128 tokens unless given."""
    device = DeviceSpec("gpu", 80e9, 3.35e12, {Dtype.BF16: 989e12}, 0.6, 0.8)
    cluster = ClusterSpec("lab", device, None, node, 450e9, 50e9, 1e-6, 5e-6, 0.8, 0.8)
    gpus = sum(s.gpus_per_replica * s.replicas for s in services)
    strategy = NamedStrategy("main", None, Axis(AxisKind.PP, 4, (), None, PIPELINE, SPAN), SPAN)
    deployment = Deployment(strategy, 1, services, gpus, gpus, (), gpus)
    return Plan(deployment, Facts(model, cluster, workload or Workload(512, 1024, 128), (), (), (), ()))


def folded(options: Options | None = None) -> Plan:
    """`pp 4 < ep 16 ; tp 2 >` of DeepSeek-V3: attention dp 8 x tp 2, experts ep 16, 64 GPUs."""
    return plan(service(layout(dp=8, tp=2), layout(ep=16), 4, options=options))


def template(phase: PhaseGraph, key: str) -> Template:
    """A template by its key."""
    return next(t for t in phase.templates if t.key == key)


def node(phase: PhaseGraph, key: str, of: str = "moe") -> Node:
    """A node by its key, of one template."""
    return next(n for n in template(phase, of).nodes if n.key == key)


def message(found: Node) -> Communication:
    """The communication of a node that is one."""
    assert found.communication is not None
    return found.communication
