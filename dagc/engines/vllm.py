"""vLLM.

`world = pp × pcp × tp`, times dp in total. Expert parallelism is a switch: on, the experts of each stage are one group
of tp × pcp × dp ranks and no expert is cut; off, every expert is cut over those ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from json import dumps

from dagc.degrees import Degrees, Parallelism
from dagc.engines.engine import Counted, Engine, ExpertSplit, Reference
from dagc.engines.flags import Flag, Settings, write_flags
from dagc.engines.instance import Command, FrontRouter, Host, Instance, layer_partition
from dagc.engines.runtime import LayerSplit, Runtime
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


@dataclass(frozen=True, kw_only=True)
class VLLM(Engine):
    """How vLLM counts and is started.

    `prefix_cache_off` turns prefix caching off. `dispatch_variable` has the tokens of a rank that low-latency kernels
    take at once; '' where that is the budget of a step.
    """

    prefix_cache_off: str = "--no-enable-prefix-caching"
    dispatch_variable: str = "VLLM_MOE_DP_CHUNK_SIZE"

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
            return f"{self.version} refuses prefill context parallelism, and cp is {attention.cp}"
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
        """One command on each node; the first has the API server, all others only ranks."""
        nodes = host.nodes(instance, self.whole_ranks(instance))
        others = [
            *self._exchange(instance, host),
            *self._transfer(instance),
            *self.scheduler.flags(),
            *self._serving(instance),
        ]
        environment = layer_partition("VLLM_PP_LAYER_PARTITION", instance)
        if instance.phase:
            # Where the other phase reads the cache from; `localhost` by default: vllm/envs.py.
            environment = (*environment, ("VLLM_NIXL_SIDE_CHANNEL_HOST", "$SELF"))
        tokens = instance.serving.sequences * (1 + instance.serving.drafts)
        if self.dispatch_variable and instance.exchanges_tokens and instance.phase == "decode" and tokens > 256:
            # Or a step is computed in parts of 256 tokens.
            environment = (*environment, (self.dispatch_variable, str(tokens)))
        if not self.knows("--all2all-backend") and instance.exchanges_tokens:
            environment = (("VLLM_ALL2ALL_BACKEND", self._kernels(instance, host)), *environment)
        command = Command(
            program=("vllm", "serve", host.model),
            flags=write_flags(self.flags, settings),
            others=tuple(others),
            environment=environment,
            nodes=nodes,
            gpus=instance.sizes.gpus_per_replica // nodes,
        )
        return command if nodes == 1 else self._on_nodes(command, instance.sizes.attention.dp, nodes)

    def _on_nodes(self, command: Command, dp: int, nodes: int) -> Command:
        """Ranks of attention dp that fit into a node are dealt out to nodes; else nodes are dealt out to a rank.

        The latter takes Ray before `--nnodes`. Two nodes at least, and `dp` ranks in all.
        """
        if dp >= nodes:
            local = dp // nodes
            here = ("--data-parallel-size-local", str(local), "--data-parallel-address", "$HEAD")
            workers = ("--headless", "--data-parallel-start-rank", f"$((NODE * {local}))")
            return replace(command, placed=(*here, "--data-parallel-rpc-port", _RPC_PORT), workers=workers)
        if self.knows("--nnodes"):
            here = ("--nnodes", str(nodes), "--node-rank", "$NODE", "--master-addr", "$HEAD")
            return replace(command, placed=here, workers=("--headless",))
        # Ray fills one node before the next.
        gpus = ("--num-gpus", str(command.gpus))
        return replace(
            command,
            placed=("--distributed-executor-backend", "ray"),
            head_first=("ray", "start", "--head", "--port", _RAY_PORT, *gpus),
            workers_only=("ray", "start", "--address", f"$HEAD:{_RAY_PORT}", *gpus, "--block"),
        )

    def router(self, prefill: Sequence[str], decode: Sequence[str]) -> FrontRouter:
        """VLLM's router, a package of its own: `RouterArgs`, vllm_router/router_args.py at 0.1.17."""
        urls = [*(("--prefill", url) for url in prefill), *(("--decode", url) for url in decode)]
        return FrontRouter(("vllm-router", "--vllm-pd-disaggregation", *(token for pair in urls for token in pair)))

    def whole_ranks(self, instance: Instance) -> int:
        """A rank of attention dp with all its stages."""
        return instance.sizes.stages * instance.sizes.attention.tp * instance.sizes.attention.cp

    def lacking_placement(self, instance: Instance, gpus_per_node: int) -> str | None:
        """Before `--nnodes`, a rank of attention dp is on one node."""
        rank = self.whole_ranks(instance)
        if instance.sizes.attention.dp == 1 or rank <= gpus_per_node or self.knows("--nnodes"):
            return None
        return (
            f"{self.title} {self.version} keeps each rank of dp on one node: pp × tp = {rank} GPUs, and a node has "
            f"{gpus_per_node}"
        )

    def lacking_options(self, instance: Instance) -> Iterator[tuple[str, str]]:
        """Overlapped batches and split prompts run in different model runners, from the version on that has both."""
        yield from super().lacking_options(instance)
        if instance.overlap > 1 and instance.sizes.attention.cp > 1:
            yield "overlap", f"{self.title} {self.version} has no `[overlap]` with prefill context parallelism"

    def _exchange(self, instance: Instance, host: Host) -> tuple[str, ...]:
        """Overlapped batches need DeepEP, too."""
        if not (instance.exchanges_tokens or instance.overlap > 1) or not self.knows("--all2all-backend"):
            return ()
        return ("--all2all-backend", self._kernels(instance, host))

    def _kernels(self, instance: Instance, host: Host) -> str:
        if not self.dispatches(instance, host.domain):
            return "allgather_reducescatter"
        return "deepep_low_latency" if instance.phase == "decode" else "deepep_high_throughput"

    def _transfer(self, instance: Instance) -> tuple[str, ...]:
        if not instance.phase:
            return ()
        return ("--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}')

    def _serving(self, instance: Instance) -> Iterator[str]:
        """What the plan fixes beyond sizes; a limit that it gives by name is among `Scheduler.flags`."""
        serving, given = instance.serving, dict(self.scheduler.given)
        if serving.context:
            yield from ("--max-model-len", str(serving.context))
        if serving.sequences and "max_num_seqs" not in given and instance.phase != "prefill":
            yield from ("--max-num-seqs", str(serving.sequences))
        if serving.chunk and "max_num_batched_tokens" not in given:
            # Without chunks a whole context at least: `SchedulerConfig.verify_max_model_len`, vllm/config/scheduler.py.
            context = 0 if serving.splits_prompts else serving.context
            yield from ("--max-num-batched-tokens", str(max(instance.step_tokens, context)))
        if serving.memory_share:
            yield from ("--gpu-memory-utilization", f"{serving.memory_share:g}")
        if serving.cache_dtype:
            yield from ("--kv-cache-dtype", _CACHE_DTYPES.get(serving.cache_dtype, "auto"))
        if serving.quantisation:
            yield from ("--quantization", serving.quantisation)
        if serving.drafts:
            method = {"method": "mtp"} if serving.has_draft_layers else {"method": "eagle3", "model": "$DRAFT"}
            config = {**method, "num_speculative_tokens": serving.drafts}
            yield from ("--speculative-config", dumps(config, separators=(",", ":")))
        if serving.prefix_cache is not None:
            yield "--enable-prefix-caching" if serving.prefix_cache else self.prefix_cache_off


_RPC_PORT, _RAY_PORT = "13345", "6379"
_CACHE_DTYPES = {"fp8": "fp8", "bf16": "bfloat16"}
"""Others are the model's own, `auto`."""

_FLAGS = (
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
        fixes_dispatch=True,  # `--all2all-backend`
        holds_pairs=True,  # `intermediate_cache1` of `fused_experts`, vllm/model_executor/layers/fused_moe
        # Tiles come from files that are shipped for shapes of whole layers, cut by tp or not, and hardly any for a part
        # of the experts: vllm/model_executor/layers/fused_moe/configs.
        tunes_expert_shards=False,
    ),
    expert_split=ExpertSplit.FIRST,
    # 0.12 has the flag of prefill context parallelism and refuses any value but 1: `ParallelConfig`.
    flags=_FLAGS,
    rules=frozenset({"vllm-slots-uneven", "vllm-dcp-without-copies", "fp8-block-cut", "pools-not-alike"}),
    # `KVTopology.tp_ratio`, vllm/distributed/kv_transfer/kv_connector/v1/nixl_connector.py
    decode_multiples=frozenset({"tp"}),
    scheduler=_SCHEDULER,
)

_V0_11 = replace(_V0_12, version="0.11.0")

_V0_33 = replace(
    _V0_12,
    version="0.33.0",
    references=(
        Reference("vllm/distributed/parallel_state.py", "4ba787ec9", "ranks numbered dp, pp, pcp, tp; expert groups"),
        Reference("vllm/config/parallel.py", "4ba787ec9", "flags and their checks"),
        Reference("vllm/engine/arg_utils.py", "4ba787ec9", "ranks of each node, defaults of the scheduler"),
        Reference("vllm/distributed/utils.py", "4ba787ec9", "layers of each stage: `get_pp_indices`"),
        Reference("vllm/v1/worker/gpu/pcp_manager.py", "4ba787ec9", "prefill context parallelism needs a latent cache"),
    ),
    runtime=replace(_V0_12.runtime, memory_share=0.92),
    flags=(*_FLAGS[:3], _PREFILL_CONTEXT, *_FLAGS[3:]),
    rules=_V0_12.rules - {"pools-not-alike"} | {"vllm-cp-without-latent"},
    decode_multiples=frozenset(),
    # Overlapped with the step before by default: `VllmConfig`, vllm/config/vllm.py.
    scheduler=replace(
        _SCHEDULER,
        token_budget=SchedulerLimit(
            "max_num_batched_tokens", "--max-num-batched-tokens", ((160, 16384), (70, 8192), (0, 2048))
        ),
        ahead=switch("async_scheduling", "--async-scheduling", 1, "--no-async-scheduling"),
        after_end=AfterEnd.SLOT,
    ),
    prefix_cache_off="--disable-prefix-caching",
    dispatch_variable="",
)

VERSIONS = (_V0_11, _V0_12, _V0_33)
