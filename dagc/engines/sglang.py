"""SGLang.

`world = tp × pp`: `--tp-size` is all ranks of a stage. Attention dp and cp, and the experts' ep and dp, cut that
number and add no GPU. `--dp-size` counts separate copies; with `--enable-dp-attention`, deprecated since
`--attn-dp-size`, it is attention's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dagc.degrees import Degrees, Parallelism
from dagc.engines.engine import Counted, Engine, ExpertSplit, Reference
from dagc.engines.flags import Flag, Settings, write_flags
from dagc.engines.instance import Command, FrontRouter, Host, Instance, layer_partition
from dagc.engines.runtime import LayerSplit, Runtime
from dagc.engines.scheduler import AfterEnd, CacheReservation, RequestRouter, Scheduler, SchedulerLimit, fixed, switch

DISPATCH_TOKENS, MOST_DISPATCH_TOKENS = 128, 1024
"""Tokens of a rank that DeepEP's low-latency buffers have room for: by default, and at most."""

_INIT_PORT, _BOOTSTRAP_PORT = "5000", "8998"
_CACHE_DTYPES = {"fp8": "fp8_e4m3", "bf16": "bf16"}


@dataclass(frozen=True, kw_only=True)
class SGLang(Engine):
    """How SGLang counts and is started.

    `context` are the flags that split prompts over attention's cp, `sparse_context` those where attention is sparse;
    `pipelines_context`: beside pp, too. `context_ranks` is the tp that this needs, None where any will do.
    """

    sparse_context: tuple[str, ...]
    context: tuple[str, ...] = ()
    pipelines_context: bool = False
    context_ranks: int | None = None

    def settings_of_degrees(self, degrees: Mapping[str, int]) -> tuple[Settings, tuple[str, ...]]:
        """A degree of dp beside ep is attention's."""
        settings = {axis: degree for axis, degree in degrees.items() if axis in ("tp", "pp", "dp", "ep", "cp")}
        if degrees.get("dp", 1) > 1 and degrees.get("ep", 1) > 1:
            if self.has_flag("attn_dp"):
                settings["attn_dp"] = settings.pop("dp")
                return settings, ("`--attn-dp-size` divides tp and adds no GPU",)
            return {**settings, "dp_attention": 1}, ("with `--enable-dp-attention`, dp divides tp and adds no GPU",)
        return settings, ()

    def sizes_of(self, settings: Settings) -> Counted:
        """Refused where a degree of attention or of the experts does not divide tp."""
        tp, pp, dp, cp, moe_dp = (settings.get(axis, 1) for axis in ("tp", "pp", "dp", "cp", "moe_dp"))
        ep = tp if settings.get("forcing_backend") else settings.get("ep", 1)
        attention_dp = settings.get("attn_dp", 1)
        if settings.get("dp_attention") and attention_dp == 1:
            attention_dp, dp = dp, 1
        if dp > 1 and attention_dp > 1:
            return Counted.refused(f"there are no copies (dp {dp}) of an instance with attention dp {attention_dp}")
        problem = self._problem(tp, pp, attention_dp, cp, ep, moe_dp)
        if problem:
            return Counted.refused(problem)
        attention = Degrees(tp=tp // attention_dp // cp, cp=cp, dp=attention_dp)
        experts = Degrees(tp=tp // ep // moe_dp, ep=ep, dp=moe_dp)
        sizes = Parallelism(attention, experts, pp, replicas=dp)
        copies = f" × {sizes.replicas} copies" if sizes.replicas > 1 else ""
        steps = (
            f"GPUs = tp {tp} × pp {pp}{copies} = {sizes.gpus}",
            f"attention tp = tp {tp} / dp {attention_dp} / cp {cp} = {attention.tp}",
            f"the experts' tp = tp {tp} / ep {ep} / dp {moe_dp} = {experts.tp}",
        )
        return Counted(sizes, steps)

    def settings_of(self, sizes: Parallelism) -> Settings | str:
        """All ranks of a stage are tp."""
        attention = sizes.attention
        experts = sizes.experts or Degrees(tp=attention.width)
        problem = self._problem(attention.width, sizes.stages, attention.dp, attention.cp, experts.ep, experts.dp)
        if problem:
            return problem
        settings = {"tp": attention.width, "pp": sizes.stages, "cp": attention.cp}
        settings |= {"ep": experts.ep, "moe_dp": experts.dp}
        if self.has_flag("attn_dp"):
            return {**settings, "attn_dp": attention.dp}
        return {**settings, "dp": attention.dp, "dp_attention": int(attention.dp > 1)}

    def command(self, instance: Instance, settings: Settings, host: Host) -> Command:
        """Every node of an instance runs it; a node has whole stages, or a stage whole nodes."""
        nodes = host.nodes(instance, self.whole_ranks(instance))
        others = [*self._phase(instance), *self._exchange(instance, host), *self._context(instance)]
        others += [*self.scheduler.flags(), *self._serving(instance)]
        placed = ("--nnodes", str(nodes), "--node-rank", "$NODE", "--dist-init-addr", f"$HEAD:{_INIT_PORT}")
        return Command(
            program=("python", "-m", "sglang.launch_server", "--model-path", host.model),
            flags=write_flags(self.flags, settings),
            others=tuple(others),
            placed=placed if nodes > 1 else (),
            environment=(*layer_partition("SGLANG_PP_LAYER_PARTITION", instance), *self._dispatched(instance, host)),
            nodes=nodes,
            gpus=instance.sizes.gpus_per_replica // nodes,
        )

    def router(self, prefill: Sequence[str], decode: Sequence[str]) -> FrontRouter:
        """SGLang's router, a package of its own: `RouterArgs`, sglang_router/router_args.py at 0.3.2."""
        urls = [("--prefill", url, _BOOTSTRAP_PORT) for url in prefill] + [("--decode", url) for url in decode]
        tokens = (token for parts in urls for token in parts)
        return FrontRouter(("python", "-m", "sglang_router.launch_router", "--pd-disaggregation", *tokens))

    def whole_ranks(self, instance: Instance) -> int:
        """A stage: `pp_size // nnodes` of them on a node, or `nnodes // pp_size` nodes for one."""
        return instance.sizes.attention.width

    def _phase(self, instance: Instance) -> tuple[str, ...]:
        if instance.phase is None:
            return ()
        return ("--disaggregation-mode", instance.phase, "--disaggregation-transfer-backend", "nixl")

    def _exchange(self, instance: Instance, host: Host) -> Iterator[str]:
        """DeepEP, in the mode of the phase, where it leaves ep as it is: it sets ep to all ranks of a stage.

        Dense layers are whole on each rank of attention dp, as they are priced; else they are cut over all ranks of a
        stage, on which fp8 blocks of 128 may not divide.
        """
        if self._uses_deepep(instance, host):
            mode = {"prefill": "normal", "decode": "low_latency"}.get(instance.phase or "", "auto")
            yield from ("--moe-a2a-backend", "deepep", "--deepep-mode", mode)
        if instance.dense_ffn and instance.sizes.attention.dp > 1:
            yield from ("--moe-dense-tp-size", "1")

    def _context(self, instance: Instance) -> tuple[str, ...]:
        """`--attn-cp-size` makes groups of ranks; prompts are split with these alone."""
        if instance.sizes.attention.cp == 1:
            return ()
        return self.sparse_context if instance.is_sparse else self.context

    def _serving(self, instance: Instance) -> Iterator[str]:
        """What the plan fixes beyond sizes; limits are of an instance, over its ranks of attention dp."""
        serving, given, dp = instance.serving, dict(self.scheduler.given), instance.sizes.attention.dp
        if serving.context:
            yield from ("--context-length", str(serving.context))
        if serving.sequences and "max_running_requests" not in given and instance.phase != "prefill":
            yield from ("--max-running-requests", str(serving.sequences * dp))
        if serving.chunk and "chunked_prefill_size" not in given and instance.phase != "decode":
            yield from ("--chunked-prefill-size", str(serving.chunk * dp))
        if serving.memory_share:
            yield from ("--mem-fraction-static", f"{serving.memory_share:g}")
        if serving.cache_dtype:
            yield from ("--kv-cache-dtype", _CACHE_DTYPES.get(serving.cache_dtype, "auto"))
        if serving.quantisation:
            yield from ("--quantization", serving.quantisation)
        if serving.drafts:
            yield from ("--speculative-algorithm", "EAGLE", "--speculative-num-steps", str(serving.drafts))
            yield from ("--speculative-eagle-topk", "1", "--speculative-num-draft-tokens", str(serving.drafts + 1))
            if not serving.has_draft_layers:
                yield from ("--speculative-draft-model-path", "$DRAFT")
        if serving.prefix_cache is False:
            yield "--disable-radix-cache"

    def _uses_deepep(self, instance: Instance, host: Host) -> bool:
        """SGLang sets ep to all ranks of a stage with it."""
        experts, width = instance.sizes.experts, instance.sizes.attention.width
        is_whole = experts is not None and experts.ep == width
        return self.dispatches(instance, host.domain) and (instance.overlap > 1 or is_whole)

    def _dispatched(self, instance: Instance, host: Host) -> tuple[tuple[str, str], ...]:
        """Tokens of a rank in a decode step where the low-latency buffers of DeepEP have room for fewer."""
        serving = instance.serving
        tokens = serving.sequences * (1 + serving.drafts)
        if not self._uses_deepep(instance, host) or instance.phase == "prefill" or tokens <= DISPATCH_TOKENS:
            return ()
        return (("SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK", str(tokens)),)

    def _problem(self, tp: int, pp: int, dp: int, cp: int, ep: int, moe_dp: int) -> str | None:
        """Why SGLang would not start with these, in the order of its own checks."""
        if tp % (dp * cp):
            factors = f"dp {dp} × cp {cp} = {dp * cp}" if cp > 1 else f"dp {dp}"
            return f"tp {tp} must be a multiple of attention's {factors}: `--tp-size` is all ranks of a stage"
        if cp > 1 and pp > 1 and not self.pipelines_context:
            return f"there is no pipeline (pp {pp}) with context parallelism (cp {cp})"
        if cp > 1 and self.context_ranks and (tp != self.context_ranks or dp > 1):
            return f"context parallelism (cp {cp}) needs tp {self.context_ranks} and no dp, and tp is {tp}, dp {dp}"
        if ep > tp:
            return f"ep {ep} is more than tp {tp}: ep divides `--tp-size`, which is all ranks of a stage"
        if tp % (ep * moe_dp):
            return f"ep {ep} × the experts' dp {moe_dp} must divide tp {tp}"
        return _data_parallel_experts(tp, pp, cp, ep, moe_dp) if moe_dp > 1 else None


def _data_parallel_experts(tp: int, pp: int, cp: int, ep: int, moe_dp: int) -> str | None:
    if pp > 1:
        return f"there is no pipeline (pp {pp}) with data parallel experts (dp {moe_dp})"
    if ep > 1 and ep * moe_dp != tp:
        return f"with data parallel experts, ep {ep} × dp {moe_dp} must be tp {tp}"
    if cp != moe_dp:
        return f"the experts' dp {moe_dp} must be attention's cp {cp}"
    return None


_FORCING = ("deepep", "mooncake", "ascend_fuseep", "flashinfer", "mori")
"""All-to-all backends that set ep to tp: `_handle_a2a_moe`, python/sglang/srt/server_args.py at v0.5.9."""

_FLAGS = (
    Flag("--tp-size", "tp", ("--tensor-parallel-size", "--tp")),
    Flag("--dp-size", "dp", ("--data-parallel-size", "--dp")),
    Flag("--enable-dp-attention", "dp_attention", is_switch=True),
    Flag("--ep-size", "ep", ("--expert-parallel-size", "--ep")),
    Flag("--pp-size", "pp", ("--pipeline-parallel-size", "--pp")),
    Flag("--attn-cp-size", "cp", ("--attention-context-parallel-size",)),
    Flag("--moe-dp-size", "moe_dp", ("--moe-data-parallel-size",)),
    Flag("--enable-eplb", "eplb", is_switch=True),
    Flag("--ep-num-redundant-experts", "redundant", default=0, minimum=0),
    Flag("--enable-two-batch-overlap", "overlap", is_switch=True),
    Flag("--moe-a2a-backend", "forcing_backend", words=_FORCING),
)

_SCHEDULER = Scheduler(
    # `get_next_batch_to_run`, python/sglang/srt/managers/scheduler.py at v0.5.9: a step of prompts if one can be made.
    mixes=switch("enable_mixed_chunk", "--enable-mixed-chunk", 0),
    # `chunked_prefill_size`, python/sglang/srt/server_args.py, by memory of the GPU; over attention-dp ranks.
    prefill_chunk=SchedulerLimit(
        "chunked_prefill_size",
        "--chunked-prefill-size",
        ((160, 16384), (60, 8192), (35, 4096), (0, 2048)),
        is_divided=True,
    ),
    prefill_budget=fixed("max_prefill_tokens", "--max-prefill-tokens", 16384),
    # Not given: half of the cache's tokens, 2,048 to 4,096; the cache is the limit.
    most_running=fixed("max_running_requests", "--max-running-requests", 4096, is_divided=True),
    receive_interval=fixed("scheduler_recv_interval", "--scheduler-recv-interval", 1),
    ahead=switch("disable_overlap_schedule", "--disable-overlap-schedule", 0),
    is_ahead_off=True,
    reservation=CacheReservation.ESTIMATE,  # `PrefillAdder`, python/sglang/srt/managers/schedule_policy.py
    after_end=AfterEnd.ROW,
    router=RequestRouter.ROUND_ROBIN,  # `load_balance_method`
    # `SGLANG_INIT_NEW_TOKEN_RATIO`, and 0.3 of it with attention dp (`schedule_conservativeness`).
    output_share=(0.7, 0.21),
)

_V0_5_9 = SGLang(
    name="sglang",
    title="SGLang",
    version="0.5.9",
    order=2,
    repository="https://github.com/sgl-project/sglang",
    references=(
        Reference(
            "python/sglang/srt/distributed/parallel_state.py",
            "0005973a84f7a02787e270b6be5970d3022d07fe",
            "attention dp, cp, tp and the experts' dp, ep, tp inside tp_size",
        ),
        Reference(
            "python/sglang/srt/distributed/utils.py",
            "1107be112815907371027e0ab2203cb57d91c10e",
            "layers of each stage: `get_pp_indices`",
        ),
        Reference(
            "python/sglang/srt/layers/moe/fused_moe_triton/layer.py",
            "008d7d0e947e436a572cf8243674adf264dc8836",
            "experts of each rank",
        ),
        Reference("python/sglang/srt/server_args.py", "001067fffe33427bee0ed2f007fb7551a1d76b44", "names of the flags"),
    ),
    programs=("sglang",),
    numbering=("pp", "dp", "cp", "tp"),
    attention=("dp", "cp", "tp"),
    experts=("dp", "ep", "tp"),
    runtime=Runtime(
        layer_split=LayerSplit.LAST,
        block_tokens=1,  # `--page-size`
        vocab_multiple=64,  # `DEFAULT_VOCAB_PADDING_SIZE`, vocab_parallel_embedding.py
        memory_share=0.88,
        mixes=False,  # a prompt goes first; `--enable-mixed-chunk` is off by default: server_args.py
        host_seconds=4e-4,
        fuses_latents=True,  # `fused_qkv_a_proj_with_mqa`, deepseek_v2.py
        sums_experts=True,
        merges_shared=True,  # `num_fused_shared_experts`, with ep `forward_normal_dual_stream`: deepseek_v2.py
        # `--moe-a2a-backend` is none by default, and `dp_gather` brings the tokens of all ranks together:
        # layers/dp_attention.py; the guide for large expert groups asks for DeepEP.
        most_gathered=8,
        holds_pairs=True,  # `intermediate_cache1` of `fused_experts_impl`, layers/moe/fused_moe_triton
        all_reduce="sglang",
    ),
    expert_split=ExpertSplit.EVEN,
    flags=_FLAGS,
    lacks=frozenset({"dcp"}),
    rules=frozenset(
        {
            "sglang-experts-uneven",
            "sglang-overlap-below-tp",
            "sglang-cp-without-sparse",
            "sglang-shared-experts-cut",
            "drafts-in-pipeline",
            "low-latency-tokens",
            "pools-not-alike",
            "fp8-block-cut",
        }
    ),
    scheduler=_SCHEDULER,
    port=30000,
    most_dispatched=MOST_DISPATCH_TOKENS,
    decode_multiples=frozenset({"pp"}),  # `CommonKVReceiver`, python/sglang/srt/disaggregation/common/conn.py
    dynamo_model="--model-path",
    # `handle_model_specific_adjustments`, python/sglang/srt/server_args.py: one node, and no attention dp
    sparse_context=("--enable-nsa-prefill-context-parallel", "--nsa-prefill-cp-mode", "round-robin-split"),
    context_ranks=8,
)

_MORE_FORCING = ("megamoe", "deepep_v2", "nixl", "flashinfer_megamoe", "pplx")
"""`_A2A_EP_SPANNING_BACKENDS`, python/sglang/srt/arg_groups/overrides.py at v0.5.23, has these too."""

_V0_5_23 = replace(
    _V0_5_9,
    version="0.5.23",
    references=(
        Reference("python/sglang/srt/arg_groups/parallel_hook.py", "v0.5.23", "attention dp, cp; the experts' dp, ep"),
        Reference("python/sglang/srt/arg_groups/overrides.py", "v0.5.23", "exchange backends that set ep to tp"),
        Reference("python/sglang/srt/arg_groups/validation_hook.py", "v0.5.23", "what does not go together"),
        Reference("python/sglang/srt/entrypoints/engine.py", "v0.5.23", "stages and ranks of each node"),
        Reference("python/sglang/srt/distributed/utils.py", "v0.5.23", "layers of each stage: `get_pp_indices`"),
    ),
    flags=(
        *_FLAGS[:2],
        Flag("--attn-dp-size", "attn_dp", ("--attention-data-parallel-size",)),
        *_FLAGS[2:-1],
        Flag("--dcp-size", "dcp", ("--decode-context-parallel-size",)),
        Flag("--moe-a2a-backend", "forcing_backend", words=(*_FORCING, *_MORE_FORCING)),
    ),
    lacks=frozenset(),
    drafts_in_stages=frozenset({"prefill"}),
    rules=_V0_5_9.rules - {"sglang-cp-without-sparse"} | {"sglang-cp-of-latents"},
    sparse_context=("--enable-prefill-cp", "--cp-strategy", "interleave"),
    context=("--enable-prefill-cp", "--cp-strategy", "zigzag"),
    pipelines_context=True,
    context_ranks=None,
)

VERSIONS = (_V0_5_9, _V0_5_23)
