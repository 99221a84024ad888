"""TensorRT-LLM.

`world = tp × pp × cp`, and `tp = moe_tp × moe_ep`: both cuts of the experts lie inside tp. Attention takes all of tp as
tensor parallelism, or, with `enable_attention_dp`, all of it as data parallelism. What is no flag of `trtllm-serve`
is a key of its settings file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dagc.degrees import Degrees, Parallelism
from dagc.engines.engine import Counted, Engine, ExpertSplit, Reference
from dagc.engines.flags import Flag, Settings, write_flags
from dagc.engines.instance import ROUTER_FILE, ROUTER_PORT, SETTINGS_FILE, Command, FrontRouter, Host, Instance
from dagc.engines.runtime import LayerSplit, Runtime
from dagc.engines.scheduler import ON, AfterEnd, CacheReservation, RequestRouter, Scheduler, fixed, switch


@dataclass(frozen=True, kw_only=True)
class TensorRTLLM(Engine):
    """How TensorRT-LLM counts and is started. `draft_key` names a draft model in the settings file."""

    draft_key: str

    def settings_of_degrees(self, degrees: Mapping[str, int]) -> tuple[Settings, tuple[str, ...]]:
        """A degree of dp can only be attention's, and all of tp."""
        settings = {axis: degree for axis, degree in degrees.items() if axis in ("tp", "pp", "cp", "ep", "dp")}
        if degrees.get("dp", 1) == degrees.get("tp", 1) > 1:
            del settings["dp"]
            return {**settings, "attention_dp": 1}, ("`enable_attention_dp` makes tp attention's dp and adds no GPU",)
        return settings, ()

    def sizes_of(self, settings: Settings) -> Counted:
        """Refused where tp is not moe_tp × moe_ep, and for another dp of attention than 1 or tp."""
        tp, pp, cp, dp = (settings.get(axis, 1) for axis in ("tp", "pp", "cp", "dp"))
        if dp > 1:
            return Counted.refused(
                f"attention is all tp or all dp: dp can be 1 or tp {tp}, not {dp}; copies of a model are separate "
                "instances"
            )
        moe_tp, ep = _experts(settings)
        if moe_tp * ep != tp:
            return Counted.refused(f"tp {tp} must be moe_tp × moe_ep, and moe_tp {moe_tp} × moe_ep {ep} is not")
        if ep > 1 and cp > 1:
            return Counted.refused(_no_context(cp, ep))
        attention = Degrees(cp=cp, dp=tp) if settings.get("attention_dp") else Degrees(tp=tp, cp=cp)
        sizes = Parallelism(attention, Degrees(tp=moe_tp, ep=ep, dp=cp), pp)
        steps = (
            f"GPUs = tp {tp} × pp {pp} × cp {cp} = {sizes.gpus}",
            f"attention: tp {attention.tp} × dp {attention.dp}",
            f"the experts: tp {tp} = moe_tp {moe_tp} × moe_ep {ep}",
        )
        return Counted(sizes, steps)

    def settings_of(self, sizes: Parallelism) -> Settings | str:
        """Attention of one axis, whose ranks are the experts' ep × tp."""
        attention, experts = sizes.attention, sizes.experts
        if attention.tp > 1 and attention.dp > 1:
            return f"attention is all tp or all dp, and tp {attention.tp} × dp {attention.dp} is something between"
        tp = attention.tp * attention.dp
        settings = {"tp": tp, "pp": sizes.stages, "cp": attention.cp, "attention_dp": int(attention.dp > 1)}
        if experts is None:
            return settings
        if experts.ep > 1 and attention.cp > 1:
            return _no_context(attention.cp, experts.ep)
        if experts.tp * experts.ep != tp:
            return (
                f"tp {tp} must be moe_tp × moe_ep, and tp {experts.tp} × ep {experts.ep} of the experts "
                f"is {experts.tp * experts.ep}"
            )
        return {**settings, "moe_tp": experts.tp, "ep": experts.ep}

    def command(self, instance: Instance, settings: Settings, host: Host) -> Command:
        """MPI starts the ranks of several nodes. The experts' tp is what ep leaves over of tp."""
        flags = tuple(flag for flag in self.flags if not flag.is_key)
        file = self._file(instance, settings)
        nodes = host.nodes(instance)
        gpus = instance.sizes.gpus_per_replica
        others = [*self.scheduler.flags(), *self._serving(instance)]
        others += ["--extra_llm_api_options", SETTINGS_FILE] if file else []
        return Command(
            program=(*(("trtllm-llmapi-launch",) if nodes > 1 else ()), "trtllm-serve", host.model),
            flags=write_flags(flags, settings),
            others=tuple(others),
            placed=("--gpus_per_node", str(gpus // nodes)) if nodes > 1 else (),
            file=tuple(file.items()),
            nodes=nodes,
            gpus=gpus // nodes,
            ranks_by_mpi=gpus if nodes > 1 else 0,
        )

    def router(self, prefill: Sequence[str], decode: Sequence[str]) -> FrontRouter:
        """The same program serves both phases behind one address."""
        hosts = {"context_servers": prefill, "generation_servers": decode}
        file = {name: {"num_instances": len(urls), "urls": list(urls)} for name, urls in hosts.items()}
        head = {"hostname": "0.0.0.0", "port": ROUTER_PORT, "backend": "pytorch"}
        return FrontRouter(("trtllm-serve", "disaggregated", "-c", ROUTER_FILE), tuple((head | file).items()))

    def dynamo_file(self, command: Command) -> Mapping[str, Any]:
        """All arguments by their names in `LlmArgs`: its worker has flags for few of them."""
        tokens = (*command.flags, *command.others)
        pairs = zip(tokens[::2], tokens[1::2], strict=True)
        found = {
            _LLM_ARGS[flag]: float(value) if "." in value else int(value) for flag, value in pairs if flag in _LLM_ARGS
        }
        share = found.pop("free_gpu_memory_fraction", None)
        file = dict(command.file)
        if share is not None:
            file["kv_cache_config"] = {"free_gpu_memory_fraction": share, **file.get("kv_cache_config", {})}
        return {**found, **file}

    def _file(self, instance: Instance, settings: Settings) -> dict[str, Any]:
        """The settings file: parallelism without a flag, expert slots, transfer and storage of caches, drafts."""
        serving = instance.serving
        file: dict[str, Any] = {
            flag.name: bool(settings[flag.setting]) if flag.is_switch else settings[flag.setting]
            for flag in self.flags
            if flag.is_key and flag.setting != "moe_tp" and settings.get(flag.setting, 0) > (not flag.is_switch)
        }
        if instance.redundant and instance.experts:
            slots = {"num_slots": instance.experts + instance.redundant, "layer_updates_per_iter": 1}
            file["moe_config"] = {"backend": "WIDEEP", "load_balancer": slots}
        if instance.phase:
            file["cache_transceiver_config"] = {"backend": "DEFAULT"}
        if settings.get("attention_dp"):
            is_balanced = bool(self.scheduler.value(self.scheduler.balances, 0))
            file["attention_dp_config"] = {"enable_balance": is_balanced}
        cache: dict[str, Any] = {"dtype": "fp8"} if serving.cache_dtype == "fp8" else {}
        if serving.prefix_cache is not None:
            cache["enable_block_reuse"] = serving.prefix_cache
        if cache:
            file["kv_cache_config"] = cache
        if serving.drafts and serving.has_draft_layers:
            file["speculative_config"] = {"decoding_type": "MTP", "num_nextn_predict_layers": serving.drafts}
        elif serving.drafts:
            draft = {"max_draft_len": serving.drafts, self.draft_key: "$DRAFT"}
            file["speculative_config"] = {"decoding_type": "Eagle", **draft}
        if instance.phase != "decode" and serving.splits_prompts:
            # A prompt that is longer than `max_num_tokens` is refused without.
            file["enable_chunked_prefill"] = True
        if instance.phase == "prefill":
            file["disable_overlap_scheduler"] = True
        return file | self.scheduler.settings()

    def _serving(self, instance: Instance) -> Iterator[str]:
        """What the plan fixes beyond sizes; each rank of attention dp has its own limits."""
        serving, given = instance.serving, dict(self.scheduler.given)
        if serving.context:
            yield from ("--max_seq_len", str(serving.context))
        if serving.sequences and "max_batch_size" not in given and instance.phase != "prefill":
            yield from ("--max_batch_size", str(serving.sequences))
        if serving.chunk and "max_num_tokens" not in given:
            yield from ("--max_num_tokens", str(instance.step_tokens))
        if serving.memory_share:
            yield from ("--kv_cache_free_gpu_memory_fraction", f"{serving.memory_share:g}")


_LLM_ARGS = {
    "--tp_size": "tensor_parallel_size",
    "--pp_size": "pipeline_parallel_size",
    "--ep_size": "moe_expert_parallel_size",
    "--max_batch_size": "max_batch_size",
    "--max_num_tokens": "max_num_tokens",
    "--max_seq_len": "max_seq_len",
    "--kv_cache_free_gpu_memory_fraction": "free_gpu_memory_fraction",
}
"""Flags of `trtllm-serve` as fields of `LlmArgs`, tensorrt_llm/llmapi/llm_args.py; the share is of `KvCacheConfig`."""


def _no_context(cp: int, ep: int) -> str:
    return f"there is no context parallelism (cp {cp}) with expert parallelism (ep {ep})"


def _experts(settings: Settings) -> tuple[int, int]:
    """moe_tp and moe_ep; what is left out is what the other leaves over of tp, rounded down."""
    tp, moe_tp, ep = settings.get("tp", 1), settings.get("moe_tp"), settings.get("ep")
    if moe_tp is None and ep is None:
        return tp, 1
    if moe_tp is None:
        moe_tp = tp // (ep or 1)
    return moe_tp, tp // moe_tp if ep is None else ep


_SCHEDULER = Scheduler(
    # `MicroBatchScheduler` and `GuaranteedNoEvictScheduler`, cpp/tensorrt_llm/batch_manager at 1.1: sequences that
    # decode, then prompts, in one step; every admitted request has blocks for all of its output.
    mixes=ON,
    # tensorrt_llm/llmapi/llm_args.py
    chunks=switch("enable_chunked_prefill", "enable_chunked_prefill:", 0),
    token_budget=fixed("max_num_tokens", "--max_num_tokens", 8192),
    most_running=fixed("max_batch_size", "--max_batch_size", 2048),
    ahead=switch("disable_overlap_scheduler", "disable_overlap_scheduler:", 0),
    is_ahead_off=True,
    # `attention_dp_config`, llmapi/llm_args.py; `_balance_adp_requests`, _torch/pyexecutor/py_executor.py. Off in the
    # engine, on in NVIDIA's guides and in `command`: without it each prompt holds up all ranks by itself.
    balances=switch("enable_balance", "", 1),
    balance_steps=50,  # `timeout_iters`
    reservation=CacheReservation.WHOLE,
    after_end=AfterEnd.ROW,
    router=RequestRouter.SHARED_QUEUE,  # `ExecutorRequestQueue`, tensorrt_llm/_torch/pyexecutor
)

_V1_0 = TensorRTLLM(
    name="trtllm",
    title="TensorRT-LLM",
    version="1.0.0",
    order=3,
    repository="https://github.com/NVIDIA/TensorRT-LLM",
    references=(
        Reference(
            "tensorrt_llm/mapping.py",
            "05ebebb2c1d34320db9019f2b7ace6009a67e997",
            "world = tp × pp × cp, tp = moe_tp × moe_ep, expert groups consecutive, layers and experts split",
        ),
    ),
    programs=("trtllm",),
    numbering=("pp", "cp", "dp", "tp"),
    attention=("cp", "dp", "tp"),
    experts=("dp", "tp", "ep"),
    runtime=Runtime(
        layer_split=LayerSplit.FIRST,  # `Mapping.pp_layers`
        block_tokens=32,  # `tokens_per_block`
        vocab_multiple=1,  # padded no further than tp asks for
        memory_share=0.9,  # `free_gpu_memory_fraction`, tensorrt_llm/llmapi/llm_args.py
        shares_free_memory=True,  # of what a profiling run leaves: tensorrt_llm/_torch/pyexecutor/_util.py
        mixes=True,  # in-flight batching puts both phases into one step
        host_seconds=2e-4,
        fuses_latents=True,  # `kv_a_proj_with_mqa`, modules/attention.py
        sums_experts=True,
        merges_shared=True,  # `maybe_execute_in_parallel` of the shared expert, _torch/models/modeling_deepseekv3.py
        # `select_alltoall_method_type`, _torch/modules/fused_moe: an all-to-all where NVLink connects several machines,
        # else only with `TRTLLM_CAN_USE_DEEP_EP`, which is off. On GB200 and GB300 measured decode workers of eight
        # ranks fit that over NVLink of 1.2 and later, and are a third faster than a gather.
        most_gathered=None,
        lays_rows=False,  # CUTLASS and trtllm-gen
        all_reduce="trtllm",
    ),
    expert_split=ExpertSplit.EVEN,
    flags=(
        Flag("--tp_size", "tp", ("--tensor_parallel_size",)),
        Flag("--pp_size", "pp", ("--pipeline_parallel_size",)),
        Flag("--ep_size", "ep", ("--moe_expert_parallel_size", "--moe_ep_size")),
        Flag("context_parallel_size", "cp", ("--cp_size",), is_key=True),
        Flag("moe_tensor_parallel_size", "moe_tp", ("--moe_tp_size",), is_key=True),
        # `--enable_attention_dp` is newer: NVIDIA/TensorRT-LLM pull request 12105, of March 2026.
        Flag("enable_attention_dp", "attention_dp", is_switch=True, is_key=True),
    ),
    lacks=frozenset({"layers", "overlap", "dcp", "exchange"}),
    rules=frozenset({"trtllm-experts-uneven"}),
    scheduler=_SCHEDULER,
    draft_key="speculative_model_dir",
    scheme="",
)

_V1_2 = replace(
    _V1_0,
    version="1.2.1",
    references=(
        *_V1_0.references,
        Reference("tensorrt_llm/commands/serve.py", "00209af149e7774406881a37283dce303571eb11", "flags"),
    ),
    draft_key="speculative_model",
)

VERSIONS = (_V1_0, _V1_2)
