"""What is encoded of each engine: its version, the files, how it numbers ranks and splits what does not divide.

An engine's counting stands in its own module (`vllm`, `sglang`, `trtllm`, `megatron`); this is what they share.
"""

from __future__ import annotations

from dataclasses import dataclass
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
class Profile:
    """One engine, in one version.

    `numbering` names the axes of one instance outermost first, as the engine numbers its ranks; `attention` and
    `experts` name those of one stage's two domains. `context_parallel` says whether the version has cp at all.
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
    context_parallel: bool = True

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
    ),
    numbering=("dp", "pp", "cp", "tp"),
    attention=("dp", "cp", "tp"),
    experts=("dp", "ep", "tp"),
    layer_split=LayerSplit.BEFORE_LAST,
    expert_split=ExpertSplit.FIRST,
)

_SGLANG = Profile(
    name="sglang",
    title="SGLang",
    version="0.5.9",
    versions=("0.5.9",),
    repository="https://github.com/sgl-project/sglang",
    references=(
        Reference(
            "python/sglang/srt/server_args.py", "469c63e54e7d94591617ef9590c6aa26d54dc1bb", "flags and their checks"
        ),
        Reference(
            "python/sglang/srt/distributed/parallel_state.py",
            "accf8adb1d9e0152d6529431220a3a869674c8c7",
            "attention dp, cp, tp and experts' dp, ep, tp inside tp_size",
        ),
    ),
    numbering=("pp", "dp", "cp", "tp"),
    attention=("dp", "cp", "tp"),
    experts=("dp", "ep", "tp"),
    layer_split=LayerSplit.LAST,
    expert_split=ExpertSplit.EVEN,
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
            "world = tp × pp × cp, tp = moe_tp × moe_ep, expert groups consecutive, layers of each stage",
        ),
        Reference(
            "tensorrt_llm/_torch/modules/fused_moe/interface.py",
            "567239fcd40bda119965a3a8abf43856c63c9527",
            "expert slots of each rank",
        ),
    ),
    numbering=("pp", "cp", "dp", "tp"),
    attention=("cp", "dp", "tp"),
    experts=("dp", "tp", "ep"),
    layer_split=LayerSplit.FIRST,
    expert_split=ExpertSplit.EVEN,
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
            "934c8260ada361db9b155d504c5b20600731d773",
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
)

_PROFILES = {profile.name: profile for profile in (_VLLM, _SGLANG, _TRTLLM, _MEGATRON)}


def profile(name: str) -> Profile:
    """The newest encoded version of an engine; `name` is one of `ENGINES`."""
    return _PROFILES[name]
