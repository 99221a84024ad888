"""Command-line flags of the engines: tokens become settings, settings become sizes, and the way back.

What is no parallelism flag is passed over, with its value. Values are counts; what is not is a refusal with the flag's
name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dagc.engines.counted import Counted, Settings, refused
from dagc.engines.counting import sizes_of_settings
from dagc.engines.sglang import FORCING_BACKENDS


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of an engine: its full name, other spellings, and the setting it gives. A switch takes no value."""

    name: str
    setting: str
    others: tuple[str, ...] = ()
    is_switch: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """All of them."""
        return (self.name, *self.others)


FLAGS: Mapping[str, tuple[Flag, ...]] = {
    "vllm": (
        Flag("--tensor-parallel-size", "tp", ("-tp",)),
        Flag("--data-parallel-size", "dp", ("-dp",)),
        Flag("--pipeline-parallel-size", "pp", ("-pp",)),
        Flag("--prefill-context-parallel-size", "cp", ("-pcp",)),
        Flag("--enable-expert-parallel", "expert_parallel", ("-ep",), is_switch=True),
        Flag("--decode-context-parallel-size", "dcp", ("-dcp",)),
        Flag("--enable-eplb", "eplb", (), is_switch=True),
        Flag("--eplb-config.num_redundant_experts", "redundant"),
        Flag("--enable-dbo", "overlap", (), is_switch=True),
    ),
    "sglang": (
        Flag("--tp-size", "tp", ("--tensor-parallel-size", "--tp")),
        Flag("--dp-size", "dp", ("--data-parallel-size", "--dp")),
        Flag("--enable-dp-attention", "dp_attention", (), is_switch=True),
        Flag("--ep-size", "ep", ("--expert-parallel-size", "--ep")),
        Flag("--pp-size", "pp", ("--pipeline-parallel-size", "--pp")),
        Flag("--attn-cp-size", "cp", ("--attention-context-parallel-size",)),
        Flag("--moe-dp-size", "moe_dp", ("--moe-data-parallel-size",)),
        Flag("--enable-eplb", "eplb", (), is_switch=True),
        Flag("--ep-num-redundant-experts", "redundant"),
        Flag("--enable-two-batch-overlap", "overlap", (), is_switch=True),
    ),
    "trtllm": (
        Flag("--tp_size", "tp", ("--tensor_parallel_size",)),
        Flag("--pp_size", "pp", ("--pipeline_parallel_size",)),
        Flag("--cp_size", "cp", ("--context_parallel_size",)),
        Flag("--moe_tensor_parallel_size", "moe_tp", ("--moe_tp_size",)),
        Flag("--ep_size", "ep", ("--moe_expert_parallel_size", "--moe_ep_size")),
        Flag("--enable_attention_dp", "attention_dp", (), is_switch=True),
    ),
    "megatron": (
        Flag("--nnodes", "nodes"),
        Flag("--nproc-per-node", "node", ("--nproc_per_node",)),
        Flag("--tensor-model-parallel-size", "tp"),
        Flag("--pipeline-model-parallel-size", "pp"),
        Flag("--context-parallel-size", "cp"),
        Flag("--expert-model-parallel-size", "ep"),
        Flag("--expert-tensor-parallel-size", "etp"),
        Flag("--sequence-parallel", "sp", (), is_switch=True),
    ),
}
"""The flags of parallelism that are read, for each engine."""

_NO_DEFAULT = frozenset({"etp", "redundant", "node", "nodes"})
"""Settings that are written when they are 1 too."""

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


def write_flags(engine: str, settings: Settings) -> tuple[str, ...]:
    """The tokens that give these settings; what is at its default is left out."""
    tokens: list[str] = []
    for flag in FLAGS[engine]:
        value = settings.get(flag.setting, 0)
        if flag.is_switch and value:
            tokens.append(flag.name)
        elif value > (0 if flag.setting in _NO_DEFAULT else 1) and not flag.is_switch:
            tokens += (flag.name, str(value))
    return tuple(tokens)


def read_flags(engine: str, flags: Sequence[str]) -> Counted:
    """What an engine of `ENGINES` makes of command-line tokens, `--flag value` or `--flag=value`.

    TensorRT-LLM's may stand as lines of its settings file too, as the tokens `enable_attention_dp:` and `true`.
    """
    settings = read_settings(engine, flags)
    return refused(settings) if isinstance(settings, str) else sizes_of_settings(engine, settings)


def read_settings(engine: str, flags: Sequence[str]) -> Settings | str:
    """The settings that tokens give, the last of a flag winning, or which token has no count."""
    settings: dict[str, int] = {}
    known = {_dashed(spelling): flag for flag in FLAGS[engine] for spelling in flag.spellings}
    for name, value in _pairs(flags, known):
        if name == "--moe-a2a-backend" and engine == "sglang":
            settings["forcing_backend"] = int(value in FORCING_BACKENDS)
        elif name in known:
            number = _number(known[name], value)
            if number is None:
                return f"`{name}` takes a count of at least 1, and {f'`{value}`' if value else 'nothing'} was given"
            settings[known[name].setting] = number
    return _with_world(settings)


def _pairs(tokens: Sequence[str], known: Mapping[str, Flag]) -> Iterator[tuple[str, str]]:
    """Flags with their values; a flag without one, and a switch, has ''."""
    position = 0
    while position < len(tokens):
        name, has_value, value = _spelled(tokens[position]).partition("=")
        position += 1
        takes = name.startswith("-") and (name not in known or not known[name].is_switch or _is_truth(tokens, position))
        if takes and not has_value and _is_value(tokens, position):
            value = tokens[position]
            position += 1
        yield name, value


def _spelled(token: str) -> str:
    """A token as a flag: a key of a settings file (`enable_attention_dp:`) becomes the flag of its name."""
    name, sign, value = token.partition("=")
    if name.endswith(":") and not name.startswith("-"):
        name = f"--{name[:-1]}"
    return f"{_dashed(name)}{sign}{value}" if name.startswith("-") else token


def _dashed(name: str) -> str:
    """The engines take dashes and underscores alike."""
    return name.replace("_", "-")


def _is_value(tokens: Sequence[str], position: int) -> bool:
    return position < len(tokens) and not tokens[position].startswith("-")


def _is_truth(tokens: Sequence[str], position: int) -> bool:
    return position < len(tokens) and tokens[position].lower() in (*_TRUE, *_FALSE)


def _number(flag: Flag, value: str) -> int | None:
    if flag.is_switch:
        return int(not value or value.lower() in _TRUE)
    lowest = 0 if flag.setting == "redundant" else 1
    return int(value) if value.isdecimal() and value.isascii() and len(value) < 10 and int(value) >= lowest else None


def _with_world(settings: dict[str, int]) -> Settings:
    """Nodes times processes a node are Megatron's world."""
    if "node" in settings:
        settings["world"] = settings.pop("node") * settings.pop("nodes", 1)
    return settings
