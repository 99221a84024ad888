"""One measured serving run as a simulation: its deployment as a plan, its engine as a policy, its client's requests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from dagc.catalog.presets import find_device
from dagc.catalog.serving_benchmark import (
    MIN_SHARE,
    OF_POOLS,
    PROMPTS_PER_CONCURRENCY,
    TEMPLATE_TOKENS,
    BenchmarkRow,
    ServerLimits,
    server_limits,
)
from dagc.catalog.serving_overhead import ServingOverhead, serving_overhead
from dagc.catalog.serving_pools import PoolLimits, WorkerShape, pool_limits
from dagc.driver.check import check
from dagc.results.load_validation import MeasuredRun
from dagc.simulate.gaps import Nodes, Numbers, gap_at
from dagc.simulate.graph_times import GraphTimes
from dagc.simulate.kernel import Simulated, Simulation
from dagc.simulate.policy import FirstToken, Late, LoadBalancer, Policy, Reserve
from dagc.simulate.requests import PICOSECONDS, Requests, arrivals
from dagc.source import Source

MODELS = {
    "fp8": "deepseek-v3 {{ kv_dtype {kv} }}",
    "fp4": "deepseek-v3 {{ dtype bf16 expert_dtype fp4 kv_dtype {kv} }}",
}
"""DeepSeek-R1 as it is stored in each precision, in the shapes of DeepSeek-V3."""

_BLOCKS = 1 << 18
"""Blocks of the cache on a rank where nothing limits it: measured loads are far from filling it."""

_BALANCED = 60
"""Steps for which prompts wait for those of other attention-dp ranks: `timeout_iters` of SemiAnalysisAI/InferenceX
@ 34bc7c40 benchmarks/single_node/dsr1_fp8_b200_trt.sh."""

_MOST_SEQUENCES = 4096

_CACHE_BYTES = 576 * 61
"""Of a token, in fp8: the latent and the rotary key of DeepSeek-V3 in all its layers, whole on each rank."""


@dataclass(slots=True)
class LoadSimulator:
    """Simulates runs of one deployment, which share step times, and runs alike in all but the day once."""

    _times: dict[tuple[str, int], GraphTimes | str] = field(default_factory=dict[tuple[str, int], GraphTimes | str])
    _known: dict[object, dict[str, float] | str] = field(default_factory=dict[object, dict[str, float] | str])

    def predict(self, row: BenchmarkRow, count: int) -> dict[str, float] | str:
        """Percentiles of so many requests in seconds, or why there are none."""
        pools = limits_of_pools(row)
        limits = server_limits(row)
        key = *row.configuration, row.concurrency, limits, pools, count
        if key not in self._known:
            overhead = serving_overhead(row.framework, row.hardware)
            if overhead is None:
                self._known[key] = "the framework is not known"
            elif pools:
                self._known[key] = self._of_pools(row, pools, count, overhead)
            elif limits:
                self._known[key] = self._of_node(row, limits, count, overhead)
            else:
                self._known[key] = "no script of the benchmark is known"
        return self._known[key]

    def _of_node(
        self, row: BenchmarkRow, limits: ServerLimits, count: int, overhead: ServingOverhead
    ) -> dict[str, float] | str:
        policy = _policy(row, limits)
        times = self._step_times(row, row.worker, limits.kv_dtype, policy.most_tokens)
        if isinstance(times, str):
            return times
        policy = _with_floor(policy, overhead, row.worker)
        requests = benchmark_requests(row, count, None)
        entry = round(overhead.entry(row.prompt) * PICOSECONDS)
        burst = _burst(requests, row.concurrency, overhead)
        simulation = Simulation(burst, [policy], [times], entry=entry, keeps_runs=True)
        return figures(simulation.run(), replace(requests, arrival=np.zeros(count, np.int64)), overhead)

    def _of_pools(
        self, row: BenchmarkRow, limits: PoolLimits, count: int, overhead: ServingOverhead
    ) -> dict[str, float] | str:
        assert row.decode is not None
        prefill = self._step_times(row, row.worker, "fp8", limits.prefill_tokens)
        decode = self._step_times(row, row.decode, "fp8", 0, limits.decode_redundant)
        if isinstance(prefill, str) or isinstance(decode, str):
            return prefill if isinstance(prefill, str) else str(decode)
        requests = benchmark_requests(row, count, limits.request_rate)
        entry = round(overhead.entry(row.prompt) * PICOSECONDS)
        paced = np.arange(count) * round(overhead.client_seconds * PICOSECONDS)
        arrival = np.maximum(requests.arrival, paced)
        simulation = Simulation(
            replace(requests, arrival=arrival), _pool_policies(row, limits, prefill, overhead), [prefill, decode],
            entry=entry, first_token=FirstToken.AFTER_ADMISSION, keeps_runs=True,
        )  # fmt: skip
        return figures(simulation.run(), requests, overhead)

    def _step_times(
        self, row: BenchmarkRow, worker: WorkerShape, kv: str, most_tokens: int, redundant: int = 0
    ) -> GraphTimes | str:
        """Step times; that memory is short by our count is no reason against them: the run took place."""
        text = plan_text(row, worker, kv, redundant)
        key = text, most_tokens
        if key not in self._times:
            outcome = check(Source("run.moe", text), sample=None)
            if not outcome.checked:
                reasons = (one.message for one in outcome.diagnostics if one.is_error)
                self._times[key] = next(reasons, "its plan is not checked")
            else:
                plan, context = outcome.checked[0].plan, row.prompt + row.output // 2
                service = plan.deployment.services[-1]
                self._times[key] = GraphTimes(plan, service, context, _MOST_SEQUENCES, most_tokens)
        return self._times[key]


def limits_of_pools(row: BenchmarkRow) -> PoolLimits | None:
    """What the recipe of a row with separate pools limits; None for one node, or without a recipe."""
    if row.decode is None:
        return None
    named = row.hardware, row.framework, row.precision, row.prompt, row.output
    return pool_limits(named, row.worker, row.decode, row.concurrency)


def plan_text(row: BenchmarkRow, worker: WorkerShape, kv: str, redundant: int = 0) -> str:
    """One worker of a row as a plan; its load is not part of step times."""
    attention = f"{'dp' if worker.has_attention_dp else 'tp'} {worker.tp}"
    copies = f" [redundant {redundant}]" if redundant else ""
    strategy = f"ep {worker.ep}{copies} ; {attention}" if worker.ep > 1 else attention
    overhead = serving_overhead(row.framework, row.hardware)
    engine = f"engine {overhead.plan_engine}\n" if overhead and overhead.plan_engine else ""
    return (
        f"model {MODELS[row.precision].format(kv=kv)}\ncluster {find_device(row.hardware)} x {worker.tp}\n"
        f"{engine}workload {{ batch {worker.tp} prompt {row.prompt} output {row.output} }}\n"
        f"strategy main = {strategy}\n"
    )


def _policy(row: BenchmarkRow, limits: ServerLimits) -> Policy:
    """How the engine of a row schedules on one node."""
    if row.framework == "trt":
        return _trtllm(row.worker, limits.num_tokens or 8192, limits.max_running)
    budget = limits.prompt_budget or 16384
    if row.framework == "atom":
        # ROCm/ATOM @ 846dc984 atom/model_engine/scheduler.py: prompts alone and whole, outputs one step late.
        return Policy(
            mixes=False, chunks=False, reserve=Reserve.GROW, prompt_budget=budget,
            most_running=limits.max_running, late=Late.ROW, ahead=True, blocks=_BLOCKS, block=16,
        )  # fmt: skip
    return replace(_sglang(row.worker, budget, limits.max_running, None), poll=limits.receive_interval)


def _with_floor(policy: Policy, overhead: ServingOverhead, worker: WorkerShape) -> Policy:
    floor = overhead.prefill_floor(exchanges=worker.has_attention_dp and worker.ep > 1)
    return replace(policy, prefill_floor=round(floor * PICOSECONDS))


def _pool_policies(
    row: BenchmarkRow, limits: PoolLimits, prefill: GraphTimes, overhead: ServingOverhead
) -> list[Policy]:
    """Those of the prefill workers and of the decode workers, which Dynamo takes in turn."""
    assert row.decode is not None
    cluster = prefill.plan.facts.cluster
    rate = (cluster.network_bytes_per_second or 1e11) * cluster.network_efficiency
    transfer = round(_CACHE_BYTES / rate * PICOSECONDS)
    if "trt" in row.framework:
        first = _trtllm(row.worker, limits.prefill_tokens, limits.prefill_running)
        # Recipes disable the overlap scheduler of prefill workers.
        first = replace(first, late=Late.NO, ahead=False)
        last = _trtllm(row.decode, 8192, limits.decode_running)
    else:
        first = _sglang(row.worker, limits.prefill_tokens, limits.prefill_running, limits.prefill_cache_tokens)
        first = replace(first, late=Late.NO)
        last = _sglang(row.decode, 8192, limits.decode_running, limits.decode_cache_tokens)
    return [_with_floor(replace(first, transfer_token=transfer), overhead, row.worker), last]


def _trtllm(worker: WorkerShape, budget: int, running: int) -> Policy:
    return Policy(
        replicas=worker.workers, ranks=worker.attention_ranks, router=LoadBalancer.BY_REPLICA, mixes=True,
        chunks=False, reserve=Reserve.WHOLE, budget=budget, most_running=running, late=Late.ROW, ahead=True,
        blocks=_BLOCKS, block=32, balance=_BALANCED if worker.attention_ranks > 1 else 0,
    )  # fmt: skip


def _sglang(worker: WorkerShape, chunk: int, running: int, cache_tokens: int | None) -> Policy:
    block = 16
    return Policy(
        replicas=worker.workers, ranks=worker.attention_ranks, router=LoadBalancer.BY_REPLICA, mixes=False,
        reserve=Reserve.ESTIMATE if cache_tokens is None else Reserve.GROW, threshold=chunk, prompt_budget=chunk,
        most_running=running, late=Late.ROW, ahead=True, block=block,
        blocks=_BLOCKS if cache_tokens is None else cache_tokens // block,
    )  # fmt: skip


def benchmark_requests(row: BenchmarkRow, count: int, rate: float | None) -> Requests:
    """The very requests of the client: numpy's legacy generator from seed 0, all prompts before all outputs.

    At `rate` requests a second they are released at random, else all at once, up to the row's concurrency.
    """
    random = np.random.RandomState(0)
    template = TEMPLATE_TOKENS if row.decode else 0
    most = row.prompt - template
    prompt = template + random.randint(int(MIN_SHARE * most), most + 1, count)
    output = random.randint(int(MIN_SHARE * row.output), row.output + 1, count)
    arrival = arrivals(rate, 1.0, random, count) if rate else np.zeros(count, np.int64)
    hits = np.zeros(count, np.int32)
    return Requests(arrival, prompt.astype(np.int32), output.astype(np.int32), hits, row.concurrency)


def request_count(run: MeasuredRun) -> int:
    """How many requests were timed: that number whose tokens have the ratio of the row's throughputs."""
    row, ratio = run.row, run.tokens_per_output
    counts = [times * row.concurrency for times in (OF_POOLS if row.decode else PROMPTS_PER_CONCURRENCY)]
    return counts[0] if ratio is None else min(counts, key=lambda count: abs(_ratio(row, count) - ratio))


def _ratio(row: BenchmarkRow, count: int) -> float:
    requests = benchmark_requests(row, count, None)
    outputs = int(requests.output.sum())
    return (int(requests.prompt.sum()) + outputs) / outputs


def _burst(requests: Requests, concurrency: int, overhead: ServingOverhead) -> Requests:
    """The requests as the tokenizer lets them through: those of the first burst one after the other."""
    first = requests.prompt[:concurrency]
    behind = np.cumsum(first) - first
    arrival = requests.arrival.copy()
    arrival[:concurrency] = np.round(behind * (overhead.entry_seconds_per_token * PICOSECONDS))
    arrival[concurrency:] = arrival[concurrency - 1]
    return replace(requests, arrival=arrival)


def figures(simulated: Simulated, requests: Requests, overhead: ServingOverhead) -> dict[str, float]:
    """Percentiles in seconds, interpolated as numpy does; a client begins when it has a place."""
    runs = simulated.runs
    cold = runs[runs[:, 5] > 0][: overhead.cold_steps]

    def seconds(times: Numbers) -> Nodes:
        """A loop without a clock of its own goes on later by what each cold step has taken longer."""
        return times / PICOSECONDS + overhead.cold_seconds * np.searchsorted(cold[:, 1], times, side="right")

    freed = np.sort(simulated.last)[: max(0, len(requests) - requests.cap)]
    issued = np.concatenate([requests.arrival[: requests.cap], freed])
    ttft = seconds(simulated.first) - seconds(issued)
    tpot = (seconds(simulated.last) - seconds(simulated.first)) / (requests.output - 1)
    gaps, weights = _gaps(simulated)
    gaps = np.concatenate([gaps, np.full(len(cold), overhead.cold_seconds)])
    return {
        "median_ttft": float(np.median(ttft)),
        "p99_ttft": float(np.percentile(ttft, 99)),
        "median_tpot": float(np.median(tpot)),
        "p99_tpot": float(np.percentile(tpot, 99)),
        "p99_itl": _weighted(gaps, np.concatenate([weights, 5 * cold[:, 4]]), 0.99),
    }


def _gaps(simulated: Simulated) -> tuple[Nodes, Numbers]:
    """Seconds between tokens, and how many sequences saw each: of a row of steps five, the first and last included."""
    base, slope, context, growth, steps, sequences = simulated.gaps.T
    last = context + (steps - 1) * growth
    times = [gap_at(base, slope, context * (4 - i) // 4 + last * i // 4) for i in range(5)]
    return np.concatenate(times) / PICOSECONDS, np.tile(steps * sequences, 5)


def _weighted(values: Nodes, weights: Numbers, share: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1])])
