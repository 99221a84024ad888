"""Chakra traces: what is in them is what the graph says, and a replay comes to its end when the schedule does.

The replay is of one node of 16 GPUs with a link of 100 GB/s and a latency of 3 µs or 1 ns. By ASTRA-sim's own formulas
for a ring, plans are compared whose communication dagc prices in the same way: reductions, gathers, an all-to-all of
two, and messages that find their receiver waiting. All other plans are compared under dagc's assumptions of the network
(`Switch`). Durations of computations are whole microseconds in the files, at most half of one off on each rank; where a
path changes between ranks that adds up.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagc.driver.check import check
from dagc.export.chakra.traces import chakra_files
from dagc.export.expanded import expand
from dagc.export.ranks import RankSelection
from dagc.export.titles import phase_names
from dagc.export.trace.tracks import Traced
from dagc.graph.priced import PricedPhase
from dagc.ops.communication import Pattern
from dagc.source import Source
from tests.harness import chakra
from tests.harness.chakra import COLLECTIVE, COMP, RECEIVE, SEND, TraceNode, Traces, read
from tests.harness.replay import Replay, Ring, Switch

MICROSECOND = 1e-6
CLUSTER = (
    "cluster lab {{ gpus 32 node 32 collectives nccl link 100 GB/s network 100 GB/s "
    "link_efficiency 100 % network_efficiency 100 % "
    "link_latency {latency} us network_latency {latency} us "
    "device {{ memory 200 GB bandwidth 2 TB/s compute {{ bf16 400 TFLOP/s }} }} }}"
)


def traced(strategy: str, latency: float = 3, batch: int = 16, routing: str = "uniform") -> Traced:
    text = (
        f"model mixtral-8x7b {{ layers 4 }}\n{CLUSTER.format(latency=latency)}\n"
        f"workload {{ batch {batch} prompt 256 output 4 routing {routing} }}\nstrategy a = {strategy}\n"
    )
    (checked,) = check(Source("plan.moe", text)).checked
    priced = checked.priced
    assert priced.graph is not None
    assert priced.timelines is not None
    return Traced(checked.plan, priced.graph, priced.timelines, priced.others)


def files(of: Traced, ranks: RankSelection | None = None) -> dict[str, list[bytes]]:
    made, problems, _ = chakra_files(of, ranks)
    assert problems == ()
    return {name: list(content) for name, content in made.items()}


def phases(of: Traced) -> dict[str, Traces]:
    made = files(of)
    return {name: read(made, name) for name in phase_names(of.graph)}


def differences(of: Traced, network: Ring) -> dict[str, float]:
    """Seconds by which the replay of each phase ends later than the schedule says; every rank must have ended."""
    found: dict[str, float] = {}
    for (name, traces), timeline in zip(phases(of).items(), of.timelines, strict=True):
        assert sorted(traces.ranks) == list(range(of.plan.deployment.gpus))
        replayed = Replay(traces, network).run()
        assert replayed.stuck == {}
        found[name] = replayed.makespan - timeline.makespan / 1e12
    return found


@pytest.mark.parametrize(
    "strategy",
    ["tp 4", "ep 2 ; tp 2", "dp 3 < tp 2 >", "tp 4 [sp]", "pp 2 [micro 1] < tp 2 >", "pp 4 [micro 1] < ep 2 >"],
)
def test_by_the_formulas_of_a_ring_the_replay_ends_when_the_schedule_does(strategy: str) -> None:
    for difference in differences(traced(strategy), Ring(Fraction(3000), Fraction(100))).values():
        assert abs(difference) <= 5 * MICROSECOND


@pytest.mark.parametrize("strategy", ["ep 8", "pp 2 [micro 4] < ep 4 ; tp 2 >", "pp 4 < ep 2 >", "ep 4 [overlap 2]"])
def test_under_the_same_assumptions_any_plan_does(strategy: str) -> None:
    for difference in differences(traced(strategy), Switch(Fraction(3000), Fraction(100), posted_late=True)).values():
        assert abs(difference) <= 6 * MICROSECOND


@pytest.mark.parametrize(
    "strategy",
    [
        "prefill < tp 2 > | decode < tp 2 >",
        "prefill < dp 3 < tp 2 > > | decode < dp 2 < ep 4 > >",
        "prefill < dp 4 < tp 2 > > | decode < dp 2 < tp 4 > >",
        "tp 2 | ep 2",
        "pp 2 < tp 2 > | ep 4",
        "pp 2 < tp 2 | ep 2 >",
    ],
)
def test_pools_do_where_latency_is_next_to_nothing(strategy: str) -> None:
    """Between pools every rank sends to every rank, a message after the other; dagc counts latency once for all."""
    network = Switch(Fraction(1), Fraction(100), posted_late=True)
    for difference in differences(traced(strategy, latency=0.001), network).values():
        assert abs(difference) <= 7 * MICROSECOND


def test_uneven_loads_do_too() -> None:
    """Ranks differ in their rounding, and each layer waits for the slowest: half a microsecond for each of 8 layers."""
    of = traced("pp 2 < ep 4 >", routing="zipf 1")
    for difference in differences(of, Switch(Fraction(3000), Fraction(100), posted_late=True)).values():
        assert abs(difference) <= 16 * MICROSECOND


@pytest.mark.parametrize("strategy", ["pp 2 < ep 4 ; tp 2 >", "dp 2 < tp 2 >", "ep 4 [overlap 2]"])
@pytest.mark.parametrize("routing", ["uniform", "zipf 1"])
def test_work_of_a_rank_is_that_of_its_operators(strategy: str, routing: str) -> None:
    """FLOPs, bytes and nodes of rank 1 of each stage, summed over segments and micro-batches of the graph."""
    of = traced(strategy, routing=routing)
    for traces, timeline in zip(phases(of).values(), of.timelines, strict=True):
        for index, team in enumerate(timeline.priced.graph.teams):
            shown = [n for n in traces.ranks[int(team.ranks[1])] if " step " not in n.name]
            assert told(shown) == pytest.approx(worked(timeline.priced, index, 1), abs=len(shown))


def told(nodes: Iterable[TraceNode]) -> dict[str, float]:
    """Totals of a trace by kind."""
    total: Counter[str] = Counter()
    for node in nodes:
        kind = f"{node.type}/{node.attributes['comm_type']}" if node.type == COLLECTIVE else str(node.type)
        total[f"nodes {kind}"] += 1
        if node.type == COMP:
            total["flops"] += node.attributes["num_ops"]
            total["memory"] += node.attributes["tensor_size"]
        else:
            total[f"bytes {kind}"] += node.attributes["comm_size"]
    return dict(total)


KINDS = {
    Pattern.SEND: str(SEND), Pattern.RECEIVE: str(RECEIVE), Pattern.ALL_REDUCE: f"{COLLECTIVE}/0",
    Pattern.ALL_GATHER: f"{COLLECTIVE}/2", Pattern.ALL_TO_ALL: f"{COLLECTIVE}/6",
    Pattern.REDUCE_SCATTER: f"{COLLECTIVE}/7",
}  # fmt: skip


def worked(priced: PricedPhase, team: int, local: int) -> dict[str, float]:
    """The same of the graph: a team's nodes times copies and micro-batches. Uneven bytes are those of the fullest; a
    message or a collective has 1,024 at least (see `test_no_message_is_so_small_that_astra_sim_aborts`).
    """
    graph = priced.graph
    total: defaultdict[str, float] = defaultdict(float)
    for size, program, _, segment in graph.segments():
        times = graph.micro_batches.count(size)
        for node, cost in zip(graph.templates[segment.template].nodes, priced.costs[segment.template], strict=True):
            talk = node.communication
            if program.teams[node.team] != team or node.fused_into is not None or (talk and not cost.duration.any()):
                continue
            for copy in range(segment.count):
                if talk is None:
                    total[f"nodes {COMP}"] += times
                    total["flops"] += times * at(node.flops, copy, local)
                    total["memory"] += times * at(node.memory_bytes, copy, local)
                    continue
                members = next(row for row in talk.groups.members if local in row)
                most = max(at(talk.bytes, copy, member) for member in members)
                shards = talk.groups.size if talk.pattern is Pattern.ALL_GATHER else 1
                total[f"nodes {KINDS[talk.pattern]}"] += times
                total[f"bytes {KINDS[talk.pattern]}"] += times * max(1024, ceil(most / shards))
    return dict(total)


def at(load: Any, copy: int, local: int) -> float:
    row = load[copy] if load.ndim > 1 else load
    return float(row[local]) if row.size > 1 else float(row[0])


def test_sizes_are_counted_as_the_replay_counts_them() -> None:
    """16 sequences of 256 tokens, hidden 4,096, bf16, tp 2: an all-reduce is of 16·256·4096·2 bytes, the whole buffer.

    The head gathers 16 rows of 32,000 columns: the shard of a rank is 16·16000·2 bytes. `ep 2 ; tp 2`: a rank sends
    half of the tokens to two experts each, what it keeps included: 16·256/2·2·4096·2 bytes.
    """
    (prefill, _) = phases(traced("ep 2 ; tp 2")).values()
    sizes = {n.name.split()[0]: n.attributes["comm_size"] for n in prefill.ranks[0] if n.type == COLLECTIVE}
    assert sizes["attention.all_reduce"] == 16 * 256 * 4096 * 2
    assert sizes["head.all_gather"] == 16 * 16000 * 2
    assert sizes["moe.dispatch"] == 16 * 256 // 2 * 2 * 4096 * 2


def test_groups_are_those_of_the_plan() -> None:
    """`pp 2 < ep 4 ; tp 2 >`: each stage of 4 ranks is one group of experts and two of attention."""
    traces = phases(traced("pp 2 < ep 4 ; tp 2 >"))["prefill"]
    assert set(traces.groups.values()) == {(0, 1, 2, 3), (4, 5, 6, 7), (0, 1), (2, 3), (4, 5), (6, 7)}
    assert set(traces.groups) == {str(number) for number in range(1, 7)}
    dispatch = {
        rank: {traces.groups[n.attributes["pg_name"]] for n in held if n.name.startswith("moe.dispatch")}
        for rank, held in traces.ranks.items()
    }
    assert dispatch == {rank: {(0, 1, 2, 3) if rank < 4 else (4, 5, 6, 7)} for rank in range(8)}


def test_messages_agree_at_both_ends() -> None:
    """Of every phase; the tokens of the step before and for the step after have both ends too."""
    pools = "pp 1 [micro 3] < tp 2 > | ep 2"
    for strategy in ("pp 3 < tp 2 >", pools, "pp 2 < tp 2 > | ep 3", "prefill < tp 2 > | decode < dp 3 < tp 1 > >"):
        for traces in phases(traced(strategy, routing="zipf 1")).values():
            ends: dict[int, Counter[tuple[int, ...]]] = {SEND: Counter(), RECEIVE: Counter()}
            for nodes in traces.ranks.values():
                for node in nodes:
                    if node.type in ends:
                        names = ("comm_tag", "comm_src", "comm_dst", "comm_size")
                        ends[node.type][tuple(node.attributes[name] for name in names)] += 1
            assert ends[SEND] == ends[RECEIVE]
            assert set(ends[SEND].values()) <= {1}


@pytest.mark.parametrize("strategy", ["pp 2 < ep 2 ; tp 2 >", "pp 2 < tp 2 > | ep 3"])
def test_no_message_is_so_small_that_astra_sim_aborts(strategy: str) -> None:
    """The tokens of a step, 4 bytes for each of 4 sequences, are sent at time 0 in decode: 16 bytes or fewer take
    0.04 ns at 400 GB/s, and `EventQueue::proceed` aborts on an event at time 0. Of 1,024 bytes they take 2.
    """
    decode = phases(traced(strategy, batch=4, routing="zipf 1"))["decode"]
    nodes = [node for held in decode.ranks.values() for node in held if node.type != COMP]
    at_once = {node.name.split()[0] for node in nodes if node.type == SEND and not node.order and not node.data}
    assert at_once == {"token.send"}
    assert {n.attributes["comm_size"] for n in nodes if n.name.startswith("token.")} == {1024}
    assert min(node.attributes["comm_size"] for node in nodes) == 1024


def test_what_waits_for_what_is_as_in_the_expanded_graph() -> None:
    """On each rank, before and after are the same relation in the trace and in the graph rank by rank."""
    of = traced("ep 2 ; tp 2")
    for traces, timeline in zip(phases(of).values(), of.timelines, strict=True):
        before = closure_of_graph(timeline.priced)
        for rank, nodes in traces.ranks.items():
            graph = nx.DiGraph()
            graph.add_nodes_from(node.name for node in nodes)
            names = {node.id: node.name for node in nodes}
            graph.add_edges_from((names[i], node.name) for node in nodes for i in (*node.order, *node.data))
            kept = set(graph)
            wanted = {(a[1], b[1]) for a, b in before if a[0] == b[0] == rank and a[1] in kept and b[1] in kept}
            assert set(nx.transitive_closure_dag(graph).edges) == wanted


def closure_of_graph(priced: PricedPhase) -> set[tuple[tuple[int, str], tuple[int, str]]]:
    expanded, graph = expand(priced), nx.DiGraph()
    for row in range(expanded.rows):
        graph.add_node(row)
        sources = expanded.sources[expanded.first_edge[row] : expanded.first_edge[row + 1]]
        graph.add_edges_from((int(source), row) for source in sources)
    named = {row: named_row(priced, expanded, row) for row in range(expanded.rows) if expanded.node[row] >= 0}
    closed = nx.transitive_closure_dag(graph).edges
    return {(named[a], named[b]) for a, b in closed if a in named and b in named}


def named_row(priced: PricedPhase, expanded: Any, row: int) -> tuple[int, str]:
    node = priced.graph.templates[expanded.template[row]].nodes[expanded.node[row]]
    batch = int(expanded.micro_batch[row])
    program = priced.graph.programs[priced.graph.micro_batches[batch]][expanded.stage[row]]
    first = program.segments[expanded.segment[row]].first_layer
    layer = "" if first is None else f" layer {first + int(expanded.copy[row])}"
    return int(expanded.rank[row]), f"{node.key}{layer} micro-batch {batch}"


def test_every_rank_has_a_file_in_every_phase() -> None:
    """Ranks without a part idle: those of decode during prefill, and the other way round."""
    found = phases(traced("prefill < tp 2 > | decode < tp 2 >"))
    assert [node.name for node in found["prefill"].ranks[3]] == ["idle"]
    assert [node.name for node in found["decode"].ranks[0]] == ["idle"]


def test_a_selection_gives_its_ranks_and_the_same_bytes() -> None:
    of = traced("pp 2 < ep 2 >")
    whole, some = files(of), files(of, RankSelection(((1, 2),)))
    assert sorted(some) == sorted(f"chakra/{p}/{n}" for p in ("prefill", "decode") for n in (
        "groups.json", "rank.1.et", "rank.2.et"))  # fmt: skip
    assert all(b"".join(whole[name]) == b"".join(content) for name, content in some.items())


def test_what_does_not_fit_is_refused_with_its_size() -> None:
    """1,500 bytes a node once read; half of the ranks fit in half of the bytes."""
    of = traced("tp 4")
    count = sum(len(nodes) for traces in phases(of).values() for nodes in traces.ranks.values())
    made, (problem,), _ = chakra_files(of, limit=1500 * count - 1)
    assert made == {}
    assert problem.code.code == "X301"
    assert f"{count:,} slots" in problem.message
    assert "`--ranks 0-1` fits" in problem.help[0]
    assert chakra_files(of, limit=1500 * count)[1] == ()
    assert chakra_files(of, RankSelection(((0, 4),)))[1][0].code.code == "X302"


def test_groups_are_numbered_from_1_without_gaps() -> None:
    """Each of three replicas has a group of all its ranks and two of attention."""
    numbers = [int(number) for number in phases(traced("dp 3 < ep 4 ; tp 2 >"))["decode"].groups]
    assert numbers == list(range(1, 10))


def test_a_file_is_made_in_small_pieces() -> None:
    """As one is written, no more than a layer of it is held."""
    of = traced("tp 2")
    (content,) = (files(of)[f"chakra/prefill/rank.{rank}.et"] for rank in (0,))
    assert max(map(len, content)) < 0.4 * sum(map(len, content))


def test_the_public_reader_reads_the_same() -> None:
    """Where `mlc-chakra` is installed: its messages hold what the declared ones do, and no field more."""
    pytest.importorskip("chakra.schema.protobuf.et_def_pb2", reason="mlc-chakra is not installed")
    made = files(traced("pp 2 < ep 2 ; tp 2 >"))
    for name in ("prefill", "decode"):
        assert read(made, name, chakra.public()) == read(made, name)


def test_the_groups_file_is_json_of_lists() -> None:
    content = files(traced("tp 2"))["chakra/prefill/groups.json"]
    assert json.loads(b"".join(content)) == {"1": [0, 1]}


@pytest.mark.parametrize("strategy", ["pp 2 [micro 4] < tp 2 >", "pp 4 [micro 6] < tp 1 >", "pp 2 < tp 2 > | ep 3"])
def test_receives_of_tokens_are_posted_at_once(strategy: str) -> None:
    """The last stage sends a token to the first and the first a micro-batch to the last: under a rendezvous protocol
    each waits for the other's receive, where that comes after what the other sends.
    """
    traces = phases(traced(strategy))["decode"]
    received = [n for held in traces.ranks.values() for n in held if n.name.startswith("token.receive")]
    assert {n.name.partition(" step ")[2] for n in received} == {"", "+1"}
    assert all(not node.order and not node.data for node in received)
    assert Replay(traces, Ring(Fraction(3000), Fraction(100)), is_rendezvous=True).run().stuck == {}


STRATEGIES = st.sampled_from([
    "ep 4", "tp 2", "pp 2 < ep 2 >", "pp 3 [micro 2] < tp 2 >", "dp 2 < ep 2 ; tp 2 >", "ep 4 < tp 2 >",
    "cp 2 < tp 2 >", "pp 2 < tp 2 > | ep 3", "tp 2 | ep 4", "pp 1 [micro 3] < tp 2 > | ep 3",
    "pp 2 [micro 3] < ep 4 [overlap 2] >", "tp 4 [dcp 2]",
    "dp 2 < prefill < tp 2 > | decode < pp 2 < ep 2 > > >", "prefill < dp 2 < tp 1 > > | decode < tp 2 | ep 2 >",
])  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(STRATEGIES, st.integers(4, 9), st.sampled_from(["uniform", "zipf 1"]), st.booleans())
def test_every_rank_of_any_plan_comes_to_its_end(strategy: str, batch: int, routing: str, is_late: bool) -> None:
    """By ASTRA-sim's formulas and by dagc's; ids are in program order, and nobody waits for a later one."""
    of = traced(strategy, batch=batch, routing=routing)
    for traces in phases(of).values():
        for nodes in traces.ranks.values():
            assert [node.id for node in nodes] == list(range(1, len(nodes) + 1))
            assert all(max((*node.order, *node.data), default=0) < node.id for node in nodes)
        network = Switch(Fraction(3000), Fraction(100), True) if is_late else Ring(Fraction(3000), Fraction(100))
        replayed = Replay(traces, network).run()
        assert replayed.stuck == {}
        assert Replay(without_order(traces), network).run() == replayed
        assert Replay(traces, network, is_rendezvous=True).run().stuck == {}


def without_order(traces: Traces) -> Traces:
    """What a reader sees that looks at `data_deps` alone, as older ones of ASTRA-sim do."""
    ranks = {rank: tuple(replace(node, order=()) for node in nodes) for rank, nodes in traces.ranks.items()}
    return replace(traces, ranks=ranks)
