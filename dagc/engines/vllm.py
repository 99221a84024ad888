"""vLLM.

`world = pp × pcp × tp`, times dp in total. Expert parallelism is a switch: on, the experts of each stage are one group
of tp × pcp × dp ranks and no expert is cut; off, every expert is cut over those ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dagc.degrees import Degrees, Parallelism
from dagc.engines.engine import Counted, Engine, ExpertExchange, ExpertSplit, LayerSplit, Reference, Runtime
from dagc.engines.flags import Flag, Settings, write_flags
from dagc.engines.instance import Command, Host, Instance, layer_partition
from dagc.engines.scheduler import (
    ON,
    AfterEnd,
    CacheReservation,
    RequestRouter,
    Scheduler,
    SchedulerLimit,
    fixed,
    switch,
)


class VLLM(Engine):
    """How vLLM counts and is started."""

    def settings_of_degrees(self, degrees: Mapping[str, int]) -> tuple[Settings, tuple[str, ...]]:
        """A degree of ep becomes the switch."""
        settings = {axis: degrees[axis] for axis in ("tp", "pp", "dp", "cp") if axis in degrees}
        if degrees.get("ep", 1) == 1:
            return settings, ()
        group = settings.get("tp", 1) * settings.get("cp", 1) * settings.get("dp", 1)
        if group == degrees["ep"]:
            return {**settings, "expert_parallel": 1}, ()
        note = f"ep is a switch without a degree: ep {degrees['ep']} becomes tp × pcp × dp = {group}"
        return {**settings, "expert_parallel": 1}, (note,)

    def sizes_of(self, settings: Settings) -> Counted:
        """No settings are refused."""
        tp, cp, dp, pp = (settings.get(axis, 1) for axis in ("tp", "cp", "dp", "pp"))
        group = tp * cp * dp
        is_parallel = settings.get("expert_parallel", 0)
        experts = Degrees(ep=group) if is_parallel else Degrees(tp=group)
        sizes = Parallelism(Degrees(tp=tp, cp=cp, dp=dp), experts, pp)
        what = "ep" if is_parallel else "the experts' tp"
        steps = (
            f"GPUs = pp {pp} × pcp {cp} × tp {tp} × dp {dp} = {sizes.gpus}",
            f"{what} = tp {tp} × pcp {cp} × dp {dp} = {group}, one group in each stage",
        )
        return Counted(sizes, steps)

    def settings_of(self, sizes: Parallelism) -> Settings | str:
        """Experts of one group, or each cut over all ranks of a stage."""
        attention, experts, width = sizes.attention, sizes.experts, sizes.attention.width
        if attention.cp > 1 and not self.has_flag("cp"):
            return f"{self.version} has no prefill context parallelism, and cp is {attention.cp}"
        settings = {"tp": attention.tp, "cp": attention.cp, "dp": attention.dp, "pp": sizes.stages}
        if experts is None or experts.tp == width:
            return settings
        if experts.ep == width:
            return {**settings, "expert_parallel": 1}
        return (
            f"experts of ep {experts.ep} × tp {experts.tp} × dp {experts.dp} are neither one group of the {width} "
            f"ranks of a stage (ep {width}) nor each cut over all of them (tp {width})"
        )

    def command(self, instance: Instance, settings: Settings, host: Host) -> Command:
        """Ray starts the ranks of several nodes. Overlapped batches need DeepEP's kernels."""
        others: list[str] = []
        if host.nodes(instance) > 1:
            others += ["--distributed-executor-backend", "ray"]
            others += ["--data-parallel-backend", "ray"] if settings.get("dp", 1) > 1 else []
        if instance.phase:
            others += ["--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
        if instance.overlap > 1 or instance.exchange == ExpertExchange.DEEPEP:
            kernels = "deepep_low_latency" if instance.phase == "decode" else "deepep_high_throughput"
            others += ["--all2all-backend", kernels]
        elif instance.exchange == ExpertExchange.GATHER:
            others += ["--all2all-backend", "allgather_reducescatter"]
        others += self.scheduler.flags()
        return Command(
            ("vllm", "serve", host.model),
            write_flags(self.flags, settings),
            tuple(others),
            environment=layer_partition("VLLM_PP_LAYER_PARTITION", instance),
        )


_FLAGS_0_11 = (
    Flag("--tensor-parallel-size", "tp", ("-tp",)),
    Flag("--data-parallel-size", "dp", ("-dp",)),
    Flag("--pipeline-parallel-size", "pp", ("-pp",)),
    Flag("--enable-expert-parallel", "expert_parallel", ("-ep",), is_switch=True),
    Flag("--decode-context-parallel-size", "dcp", ("-dcp",)),
    Flag("--enable-eplb", "eplb", is_switch=True),
    Flag("--eplb-config.num_redundant_experts", "redundant", default=0, minimum=0),
    Flag("--enable-dbo", "overlap", is_switch=True),
)
_PREFILL_CONTEXT = Flag("--prefill-context-parallel-size", "cp", ("-pcp",))

_SCHEDULER = Scheduler(
    # `Scheduler.schedule`, vllm/v1/core/sched/scheduler.py at v0.11.0: running requests first, then waiting ones, under
    # one budget of tokens; blocks of a chunk are taken with it, and the last of the running ones is preempted.
    mixes=ON,
    chunks=switch("enable_chunked_prefill", "--enable-chunked-prefill", 1, "--no-enable-chunked-prefill"),
    # `get_batch_defaults`, vllm/engine/arg_utils.py, for the API server: GPUs of 70 GiB and more, others.
    token_budget=SchedulerLimit("max_num_batched_tokens", "--max-num-batched-tokens", ((70, 8192), (0, 2048))),
    # 0: off. `long_prefill_token_threshold`, vllm/config/scheduler.py.
    prefill_chunk=fixed("long_prefill_token_threshold", "--long-prefill-token-threshold", 0),
    most_running=SchedulerLimit("max_num_seqs", "--max-num-seqs", ((70, 1024), (0, 256))),
    # `async_scheduling` is off by default before 0.14: vllm/config/scheduler.py.
    ahead=switch("async_scheduling", "--async-scheduling"),
    reservation=CacheReservation.GROW,
    after_end=AfterEnd.ROW,  # of async scheduling; from 0.14 on the slot alone is held
    router=RequestRouter.SHORTEST_QUEUE,  # `get_core_engine_for_request`, vllm/v1/engine/core_client.py
)

_V0_12 = VLLM(
    name="vllm",
    title="vLLM",
    version="0.12.0",
    order=1,
    repository="https://github.com/vllm-project/vllm",
    references=(
        Reference(
            "vllm/distributed/parallel_state.py",
            "0c175ae9295b575078961a68c4d3a2a838dce5ef",
            "ranks numbered dp, pp, pcp, tp; one expert group a stage",
        ),
        Reference("vllm/config/parallel.py", "840e7972c6ab74061696e81e17d8a74db2aefd7e", "flags and their checks"),
        Reference(
            "vllm/distributed/utils.py",
            "5a6541db9bfa77756459722f69e8c89a0b47a14d",
            "layers of each stage: `get_pp_indices`",
        ),
        Reference(
            "vllm/model_executor/layers/fused_moe/config.py",
            "00c1c6a2054b7027369c2a460cc2181a9b86293d",
            "tokens are sent to experts with dp only",
        ),
        Reference(
            "vllm/config/parallel.py",
            "840e7972c6ab74061696e81e17d8a74db2aefd7e",
            "`all2all_backend` is `allgather_reducescatter`; the guide for several nodes asks for DeepEP",
        ),
    ),
    programs=("vllm",),
    numbering=("dp", "pp", "cp", "tp"),
    attention=("dp", "cp", "tp"),
    experts=("dp", "ep", "tp"),
    runtime=Runtime(
        layer_split=LayerSplit.BEFORE_LAST,
        block_tokens=16,  # `CacheConfig.block_size`, vllm/config/cache.py; some kernels ask for 64 or more
        vocab_multiple=64,  # `DEFAULT_VOCAB_PADDING_SIZE`, vocab_parallel_embedding.py
        memory_share=0.9,  # `gpu_memory_utilization`, vllm/config/cache.py
        mixes=True,  # prompts are chunked: vllm/v1/core/sched/scheduler.py
        host_seconds=2e-4,
        fuses_latents=True,  # `fused_qkv_a_proj`, vllm/model_executor/models/deepseek_v2.py
        sums_experts=True,
        merges_shared=True,  # `shared_experts_stream`, vllm/model_executor/layers/fused_moe/layer.py
        most_gathered=8,
        holds_pairs=True,  # `intermediate_cache1` of `fused_experts`, vllm/model_executor/layers/fused_moe
        # Tiles come from files that are shipped for shapes of whole layers, cut by tp or not, and hardly any for a part
        # of the experts: vllm/model_executor/layers/fused_moe/configs.
        tunes_expert_shards=False,
    ),
    expert_split=ExpertSplit.FIRST,
    flags=(*_FLAGS_0_11[:3], _PREFILL_CONTEXT, *_FLAGS_0_11[3:]),
    rules=frozenset({"vllm-slots-uneven", "vllm-dcp-without-copies", "fp8-block-cut"}),
    scheduler=_SCHEDULER,
)

VERSIONS = (replace(_V0_12, version="0.11.0", flags=_FLAGS_0_11), _V0_12)
