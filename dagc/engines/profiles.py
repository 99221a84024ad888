"""What is encoded of each engine: its version, the files, how it numbers ranks and splits what does not divide.

An engine's counting stands in its own module (`vllm`, `sglang`, `trtllm`, `megatron`); this is what they share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

ENGINES: tuple[str, ...] = ("vllm", "sglang", "trtllm", "megatron")
"""Names of the engines, as written in plans and on the command line."""


class LayerSplit(StrEnum):
    """Which stages take one layer more where the layers do not divide."""

    FIRST = "first"
    LAST = "last"
    BEFORE_LAST = "before last"
    EVEN = "even"
    """None: the engine refuses layers that do not divide, unless it is given a layout."""


class ExpertSplit(StrEnum):
    """What becomes of experts that do not divide by ep."""

    FIRST = "first"
    """One more on the first ranks; with redundant experts they must divide."""
    EVEN = "even"
    """Refused."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A file of the engine's repository, at a commit, and what is taken from it."""

    path: str
    commit: str
    rules: str


@dataclass(frozen=True, slots=True)
class Scheduling:
    """How an engine's steps follow each other.

    `mixes`: prompt tokens ride along with decoded ones in one step; else a prompt has steps of its own, and decode
    waits. `host_seconds` is what a step takes beyond its kernels: scheduling, sampling, the launch of the next one.
    Fitted to half of 1,077 serving runs (ai-dynamo/aiconfigurator @ 095f58a5): most of the host's work is done beside
    the GPU's.
    `memory_share` of a device is what it takes for weights, cache and all else.
    """

    mixes: bool
    host_seconds: float
    memory_share: float
    source: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One engine, in one version.

    `numbering` names the axes of one instance outermost first, as the engine numbers its ranks; `attention` and
    `experts` name those of one stage's two domains. `context_parallel` says whether the version has cp at all.
    `sums_experts`: where all ranks of an expert group hold the same tokens, none is sent; each computes what its
    experts add to every token, and an all-reduce sums it.
    """

    name: str
    title: str
    version: str
    versions: tuple[str, ...]
    repository: str
    references: tuple[Reference, ...]
    numbering: tuple[str, ...]
    attention: tuple[str, ...]
    experts: tuple[str, ...]
    layer_split: LayerSplit
    expert_split: ExpertSplit
    serving: Scheduling
    context_parallel: bool = True
    sums_experts: bool = False

    def urls(self) -> tuple[str, ...]:
        """Addresses of the files, one a reference."""
        return tuple(f"{self.repository}/blob/{one.commit}/{one.path}" for one in self.references)


_VLLM = Profile(
    name="vllm",
    title="vLLM",
    version="0.12.0",
    versions=("0.11.0", "0.12.0"),
    repository="https://github.com/vllm-project/vllm",
    references=(
        Reference(
            "vllm/distributed/parallel_state.py",
            "0c175ae9295b575078961a68c4d3a2a838dce5ef",
            "ranks numbered dp, pp, pcp, tp; one expert group a stage",
        ),
        Reference("vllm/config/parallel.py", "840e7972c6ab74061696e81e17d8a74db2aefd7e", "flags and their checks"),
        Reference("vllm/distributed/utils.py", "5a6541db9bfa77756459722f69e8c89a0b47a14d", "layers of each stage"),
        Reference(
            "vllm/model_executor/layers/fused_moe/config.py",
            "00c1c6a2054b7027369c2a460cc2181a9b86293d",
            "tokens are sent to experts with dp only",
        ),
    ),
    numbering=("dp", "pp", "cp", "tp"),
    attention=("dp", "cp", "tp"),
    experts=("dp", "ep", "tp"),
    layer_split=LayerSplit.BEFORE_LAST,
    expert_split=ExpertSplit.FIRST,
    serving=Scheduling(
        True,
        2e-4,
        0.9,
        "prompts are chunked, vllm/v1/core/sched/scheduler.py; gpu_memory_utilization 0.9, vllm/config/cache.py",
    ),
    sums_experts=True,
)

_SGLANG = Profile(
    name="sglang",
    title="SGLang",
    version="0.5.9",
    versions=("0.5.9",),
    repository="https://github.com/sgl-project/sglang",
    references=(
        Reference(
            "python/sglang/srt/distributed/parallel_state.py",
            "0005973a84f7a02787e270b6be5970d3022d07fe",
            "attention dp, cp, tp and the experts' dp, ep, tp inside tp_size",
        ),
        Reference(
            "python/sglang/srt/distributed/utils.py", "1107be112815907371027e0ab2203cb57d91c10e", "layers of each stage"
        ),
        Reference(
            "python/sglang/srt/layers/moe/fused_moe_triton/layer.py",
            "008d7d0e947e436a572cf8243674adf264dc8836",
            "experts of each rank",
        ),
        Reference("python/sglang/srt/server_args.py", "001067fffe33427bee0ed2f007fb7551a1d76b44", "names of the flags"),
    ),
    numbering=("pp", "dp", "cp", "tp"),
    attention=("dp", "cp", "tp"),
    experts=("dp", "ep", "tp"),
    layer_split=LayerSplit.LAST,
    expert_split=ExpertSplit.EVEN,
    serving=Scheduling(
        False, 4e-4, 0.88, "a prompt goes first; `--enable-mixed-chunk` is off by default: server_args.py"
    ),
    sums_experts=True,
)

_TRTLLM = Profile(
    name="trtllm",
    title="TensorRT-LLM",
    version="1.0.0",
    versions=("1.0.0",),
    repository="https://github.com/NVIDIA/TensorRT-LLM",
    references=(
        Reference(
            "tensorrt_llm/mapping.py",
            "05ebebb2c1d34320db9019f2b7ace6009a67e997",
            "world = tp × pp × cp, tp = moe_tp × moe_ep, expert groups consecutive, layers and experts split",
        ),
    ),
    numbering=("pp", "cp", "dp", "tp"),
    attention=("cp", "dp", "tp"),
    experts=("dp", "tp", "ep"),
    layer_split=LayerSplit.FIRST,
    expert_split=ExpertSplit.EVEN,
    serving=Scheduling(True, 4e-4, 0.9, "in-flight batching puts both phases into one step"),
    sums_experts=True,
)

_MEGATRON = Profile(
    name="megatron",
    title="Megatron-Core",
    version="0.12.0",
    versions=("0.12.0",),
    repository="https://github.com/NVIDIA/Megatron-LM",
    references=(
        Reference(
            "megatron/core/parallel_state.py",
            "00caa53af30912914981c86f39db123961678bbd",
            "ranks numbered pp, dp, cp, tp, innermost last; the experts over the same ranks",
        ),
        Reference(
            "megatron/training/arguments.py", "307dcf37f03d44da131ba21999278abe4112d2ad", "arguments and their checks"
        ),
    ),
    numbering=("pp", "dp", "cp", "tp"),
    attention=("dp", "cp", "tp"),
    experts=("dp", "ep", "tp"),
    layer_split=LayerSplit.EVEN,
    expert_split=ExpertSplit.EVEN,
    serving=Scheduling(True, 0.0, 0.9, "not measured"),
)

_PROFILES = {profile.name: profile for profile in (_VLLM, _SGLANG, _TRTLLM, _MEGATRON)}


def find_engine(written: str) -> str | None:
    """The engine of a name or title, in any case of letters: `vLLM`, `TensorRT-LLM`."""
    known = {text.casefold(): name for name, one in _PROFILES.items() for text in (name, one.title)}
    return known.get(written.casefold())


def profile(name: str, version: str | None = None) -> Profile:
    """An engine in one of its `versions`, or the newest; `name` is one of `ENGINES`."""
    newest = _PROFILES[name]
    if version is None or version == newest.version:
        return newest
    return replace(newest, version=version, context_parallel=newest.context_parallel and name != "vllm")
