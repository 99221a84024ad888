"""The command line that starts one instance of an engine: environment, settings file, program, flags.

Flags of parallelism come from the settings and are what `read_flags` reads back. The rest (nodes, addresses, roles) is
what each engine's own guide asks for, with `$HEAD` for the first node's address and `$NODE` for the number of a node.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagc.engines.counted import Settings
from dagc.engines.flags import write_flags
from dagc.engines.instance import Instance

SETTINGS_FILE = "settings.yaml"

_NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'


@dataclass(frozen=True, slots=True)
class Host:
    """Where an instance runs: the model's name or path, and GPUs a node."""

    model: str
    gpus_per_node: int


@dataclass(frozen=True, slots=True)
class Command:
    """`flags` are those of parallelism, which are read back; `others` the rest. `nodes` each run the command."""

    environment: tuple[tuple[str, str], ...]
    program: tuple[str, ...]
    flags: tuple[str, ...]
    others: tuple[str, ...]
    file: tuple[str, ...]
    nodes: int

    @property
    def tokens(self) -> tuple[str, ...]:
        """Program and flags, without the environment."""
        return (*self.program, *self.flags, *self.others)


def command(engine: str, instance: Instance, settings: Settings, host: Host) -> Command:
    """How to start an instance with these settings of an engine of `ENGINES`."""
    node = max(d for d in range(1, host.gpus_per_node + 1) if instance.sizes.gpus_per_replica % d == 0)
    nodes = instance.sizes.gpus_per_replica // node
    return _BUILD[engine](instance, settings, host, nodes)


def _vllm(instance: Instance, settings: Settings, host: Host, nodes: int) -> Command:
    others = ["--distributed-executor-backend", "ray"] if nodes > 1 else []
    others += ["--data-parallel-backend", "ray"] if nodes > 1 and settings.get("dp", 1) > 1 else []
    others += ["--kv-transfer-config", _NIXL] if instance.phase else []
    kernels = "deepep_low_latency" if instance.phase == "decode" else "deepep_high_throughput"
    others += ["--all2all-backend", kernels] if instance.overlap > 1 else []
    environment = _partition("VLLM_PP_LAYER_PARTITION", instance)
    return Command(environment, ("vllm", "serve", host.model), write_flags("vllm", settings), tuple(others), (), 1)


def _sglang(instance: Instance, settings: Settings, host: Host, nodes: int) -> Command:
    others = ["--disaggregation-mode", instance.phase] if instance.phase else []
    others += ["--moe-a2a-backend", "deepep"] if instance.overlap > 1 else []
    others += _several(nodes, "--nnodes", "--node-rank", "--dist-init-addr", "$HEAD:5000")
    program = ("python", "-m", "sglang.launch_server", "--model-path", host.model)
    environment = _partition("SGLANG_PP_LAYER_PARTITION", instance)
    return Command(environment, program, write_flags("sglang", settings), tuple(others), (), nodes)


def _trtllm(instance: Instance, settings: Settings, host: Host, nodes: int) -> Command:
    """The experts' tp is what ep leaves over of tp; redundant experts stand in the settings file."""
    flags = write_flags("trtllm", {name: value for name, value in settings.items() if name != "moe_tp"})
    file: list[str] = []
    if instance.redundant and instance.experts:
        slots = f"    num_slots: {instance.experts + instance.redundant}"
        file = ["moe_config:", "  load_balancer:", slots, "    layer_updates_per_iter: 1"]
    file += ["cache_transceiver_config:", "  backend: DEFAULT"] if instance.phase else []
    others = ("--config", SETTINGS_FILE) if file else ()
    ranks = ("mpirun", "-n", str(instance.sizes.gpus_per_replica), "trtllm-llmapi-launch") if nodes > 1 else ()
    return Command((), (*ranks, "trtllm-serve", host.model), flags, others, tuple(file), 1)


def _megatron(instance: Instance, settings: Settings, host: Host, nodes: int) -> Command:
    node = instance.sizes.gpus_per_replica // nodes
    ranks = write_flags("megatron", {"nodes": nodes, "node": node})
    address = _several(nodes, "", "--node-rank", "--master-addr", "$HEAD")
    program = ("torchrun", *ranks, *address, "tools/run_text_generation_server.py", "--load", host.model)
    return Command((), program, write_flags("megatron", settings), _ends(instance.layers), (), nodes)


def _ends(layers: tuple[int, ...] | None) -> tuple[str, ...]:
    """Megatron's flags for the layers of the first stage and of the last; those between share the rest evenly."""
    if not layers or len(set(layers)) == 1:
        return ()
    first, last = str(layers[0]), str(layers[-1])
    return "--decoder-first-pipeline-num-layers", first, "--decoder-last-pipeline-num-layers", last


def _several(nodes: int, count: str, rank: str, address: str, place: str) -> list[str]:
    """Flags by which the nodes of one instance find each other; none for one node."""
    if nodes == 1:
        return []
    return [*((count, str(nodes)) if count else ()), rank, "$NODE", address, place]


def _partition(variable: str, instance: Instance) -> tuple[tuple[str, str], ...]:
    return ((variable, ",".join(map(str, instance.layers))),) if instance.layers else ()


_BUILD = {"vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm, "megatron": _megatron}


def command_line(one: Command) -> str:
    """A command as a person types it; the settings file is written before."""
    words = [f"{name}={value}" for name, value in one.environment] + [_quoted(token) for token in one.tokens]
    if not one.file:
        return " ".join(words)
    text = "\\n".join(one.file)
    return f"printf '{text}\\n' > {SETTINGS_FILE} && {' '.join(words)}"


def _quoted(token: str) -> str:
    """Variables stay open to the shell; everything else that a shell would read is quoted."""
    from shlex import quote

    return f'"{token}"' if token.startswith("$") else quote(token)
