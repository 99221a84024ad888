"""SGLang.

`world = tp × pp`: `--tp-size` is all ranks of a stage. Attention dp and cp, and the experts' ep and dp, cut that
number and add no GPU. Without `--enable-dp-attention`, `--dp-size` counts separate copies.
"""

from __future__ import annotations

from collections.abc import Mapping

from dagc.degrees import Degrees, Parallelism
from dagc.engines.engine import Counted, Engine, ExpertExchange, ExpertSplit, LayerSplit, Reference, Runtime
from dagc.engines.flags import Flag, Settings, write_flags
from dagc.engines.instance import Command, Host, Instance, layer_partition
from dagc.engines.scheduler import AfterEnd, CacheReservation, RequestRouter, Scheduler, SchedulerLimit, fixed, switch


class SGLang(Engine):
    """How SGLang counts and is started."""

    def settings_of_degrees(self, degrees: Mapping[str, int]) -> tuple[Settings, tuple[str, ...]]:
        """A degree of dp beside ep is attention's."""
        settings = {axis: degree for axis, degree in degrees.items() if axis in ("tp", "pp", "dp", "ep", "cp")}
        if degrees.get("dp", 1) > 1 and degrees.get("ep", 1) > 1:
            return {**settings, "dp_attention": 1}, ("with `--enable-dp-attention`, dp divides tp and adds no GPU",)
        return settings, ()

    def sizes_of(self, settings: Settings) -> Counted:
        """Refused where a degree of attention or of the experts does not divide tp."""
        tp, pp, dp, cp, moe_dp = (settings.get(axis, 1) for axis in ("tp", "pp", "dp", "cp", "moe_dp"))
        ep = tp if settings.get("forcing_backend") else settings.get("ep", 1)
        attention_dp = dp if settings.get("dp_attention") else 1
        problem = _problem(tp, pp, attention_dp, cp, ep, moe_dp)
        if problem:
            return Counted.refused(problem)
        attention = Degrees(tp=tp // attention_dp // cp, cp=cp, dp=attention_dp)
        experts = Degrees(tp=tp // ep // moe_dp, ep=ep, dp=moe_dp)
        sizes = Parallelism(attention, experts, pp, replicas=dp // attention_dp)
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
        problem = _problem(attention.width, sizes.stages, attention.dp, attention.cp, experts.ep, experts.dp)
        if problem:
            return problem
        return {
            "tp": attention.width,
            "pp": sizes.stages,
            "dp": attention.dp,
            "cp": attention.cp,
            "ep": experts.ep,
            "moe_dp": experts.dp,
            "dp_attention": int(attention.dp > 1),
        }

    def command(self, instance: Instance, settings: Settings, host: Host) -> Command:
        """Every node of an instance runs it. Overlapped batches need DeepEP."""
        nodes = host.nodes(instance)
        others = ["--disaggregation-mode", instance.phase] if instance.phase else []
        dispatches = instance.overlap > 1 or instance.exchange == ExpertExchange.DEEPEP
        others += ["--moe-a2a-backend", "deepep"] if dispatches else []
        others += self.scheduler.flags()
        if nodes > 1:
            others += ["--nnodes", str(nodes), "--node-rank", "$NODE", "--dist-init-addr", "$HEAD:5000"]
        return Command(
            ("python", "-m", "sglang.launch_server", "--model-path", host.model),
            write_flags(self.flags, settings),
            tuple(others),
            environment=layer_partition("SGLANG_PP_LAYER_PARTITION", instance),
            nodes=nodes,
        )


def _problem(tp: int, pp: int, dp: int, cp: int, ep: int, moe_dp: int) -> str | None:
    """Why SGLang would not start with these, in the order of its own checks."""
    if tp % (dp * cp):
        factors = f"dp {dp} × cp {cp} = {dp * cp}" if cp > 1 else f"dp {dp}"
        return f"tp {tp} must be a multiple of attention's {factors}: `--tp-size` is all ranks of a stage"
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
    flags=(
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
        # These all-to-all backends set ep to tp.
        Flag("--moe-a2a-backend", "forcing_backend", words=("deepep", "mooncake")),
    ),
    lacks=frozenset({"dcp"}),
    rules=frozenset({"sglang-experts-uneven", "sglang-overlap-below-tp", "fp8-block-cut"}),
    scheduler=_SCHEDULER,
)

VERSIONS = (_V0_5_9,)
