"""Command lines as the engines' own parsers take them, and what their own checks demand of the values together.

Flags come from the recorded tables alone, each check from the file that is named beside it: nothing here asks
`dagc.engines` how it composed a command.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dagc.engines.recorded import RecordedFlag, recorded_flags

_NUMBER_OF_NODE = "$NODE"


def parsed(engine: str, version: str, tokens: Sequence[str]) -> dict[str, str]:
    """Flags of a command line with their values, '' of a switch; raises for what the parser does not take.

    Positional words come first: a program, and what it serves.
    """
    table = recorded_flags(engine, version)
    assert table, f"{engine} {version} has no table"
    position = next(i for i, token in enumerate([*tokens, "--"]) if token.startswith("--") and token.partition(".")[0])
    found: dict[str, str] = {}
    while position < len(tokens):
        token = tokens[position]
        flag = table.get(token) or table.get(token.partition(".")[0])
        assert flag is not None, f"{engine} {version} has no {token}"
        position += 1
        values: list[str] = []
        while position < len(tokens) and not tokens[position].startswith("--"):
            values.append(tokens[position])
            position += 1
        _valid(flag, token, values)
        found[token] = " ".join(values)
    return found


def _valid(flag: RecordedFlag, token: str, values: list[str]) -> None:
    """One value of the kind, and one of those that are taken; a field of a JSON flag has a value of its own."""
    if flag.kind == "switch":
        assert not values, f"{token} takes no value: {values}"
        return
    assert len(values) == 1 or flag.kind == "list", f"{token} takes one value: {values}"
    (value, *_) = values
    if flag.values:
        assert value in flag.values, f"{token} takes one of {flag.values}: {value}"
    if flag.kind == "count":
        assert value.isdecimal() or value.startswith(("$NODE", "$((NODE * ")), f"{token} takes a count: {value}"
    elif flag.kind == "number":
        float(value)
    elif flag.kind == "json" and "." not in token:
        json.loads(value)


def number(flags: Mapping[str, str], name: str) -> int:
    """The count of a flag, 1 where it is left out."""
    return int(flags.get(name, "1"))


def check_vllm(version: str, flags: Mapping[str, str], nodes: int, gpus: int) -> None:
    """vllm/config/parallel.py and vllm/engine/arg_utils.py: `create_engine_config`, `nnodes_within_dp`."""
    tp, pp, dp = (number(flags, f"--{axis}-parallel-size") for axis in ("tensor", "pipeline", "data"))
    cp = number(flags, "--prefill-context-parallel-size")
    assert cp == 1 or version == "0.33.0"
    # `_get_v1_model_runner_unsupported_features` and that of the second runner, vllm/config/vllm.py
    assert cp == 1 or "--enable-dbo" not in flags
    world = tp * pp * cp
    assert world * dp == nodes * gpus
    if "--enable-eplb" in flags:
        assert "--enable-expert-parallel" in flags
    dcp = number(flags, "--decode-context-parallel-size")
    assert tp % dcp == 0 if cp == 1 else dcp in (1, cp, tp * cp)
    if nodes == 1:
        assert "--nnodes" not in flags and "--data-parallel-size-local" not in flags
    elif "--nnodes" in flags:
        # Local ranks of dp are inferred: a node has whole ones, or a rank has whole nodes.
        assert int(flags["--nnodes"]) == nodes
        local = max(world * dp // nodes // world, 1)
        assert nodes % (dp // local) == 0
        assert "--data-parallel-backend" not in flags
    elif "--data-parallel-size-local" in flags:
        assert int(flags["--data-parallel-size-local"]) * nodes == dp
        assert int(flags["--data-parallel-size-local"]) * world == gpus
    else:
        assert version == "0.11.0" and dp == 1
        assert flags["--distributed-executor-backend"] == "ray"


def vllm_ranks(flags: Mapping[str, str], node: int, machine: int) -> list[int]:
    """The ranks that a node starts of all of an instance, dp outermost; its devices are counted from 0.

    `create_engine_config` (vllm/engine/arg_utils.py), `CoreEngineProcManager` (vllm/v1/engine/utils.py) and
    `MultiprocExecutor._init_executor` at 0.12.0: a headless node starts ranks of dp one after the other, from its start
    rank on; with `--nnodes` the nodes of a rank of dp, which is inferred from the node, each start a part of it.
    """
    tp, pp, dp = (number(flags, f"--{axis}-parallel-size") for axis in ("tensor", "pipeline", "data"))
    world = tp * pp * number(flags, "--prefill-context-parallel-size")
    if "--nnodes" not in flags:
        start = _evaluated(flags["--data-parallel-start-rank"], node) if node else 0
        local = int(flags["--data-parallel-size-local"])
        assert local * world <= machine
        return list(range(start * world, (start + local) * world))
    nodes = int(flags["--nnodes"])
    each = world * dp // nodes
    first = node * each // world
    local = max(each // world, 1)
    of_a_rank = nodes // (dp // local)
    assert each <= machine
    inside = world // of_a_rank * (node % of_a_rank)
    return list(range(first * world + inside, first * world + inside + local * world // of_a_rank))


def _evaluated(text: str, node: int) -> int:
    """`$((NODE * 8))` as a shell has it."""
    return node * int(text.removeprefix("$((NODE * ").removesuffix("))"))


def check_sglang(version: str, flags: Mapping[str, str], nodes: int, gpus: int) -> None:
    """`check_server_args`, `_handle_context_parallelism`, `_handle_a2a_moe`, `_launch_scheduler_processes` (0.5.9)."""
    tp, pp, dp, ep = (number(flags, f"--{axis}-size") for axis in ("tp", "pp", "dp", "ep"))
    cp, moe_dp = number(flags, "--attn-cp-size"), number(flags, "--moe-dp-size")
    attention_dp = number(flags, "--attn-dp-size") if version == "0.5.23" else dp
    assert (attention_dp > 1) == ("--enable-dp-attention" in flags or "--attn-dp-size" in flags)
    assert tp % (attention_dp * cp) == 0
    assert (tp * pp) % nodes == 0
    assert number(flags, "--nnodes") == nodes
    # Ranks that are started: stages of a node times ranks of one, on every node.
    assert nodes * max(pp // nodes, 1) * (tp // max(nodes // pp, 1)) == tp * pp == nodes * gpus
    if cp > 1 and version == "0.5.9":
        assert (pp, tp, dp) == (1, 8, 1)
        assert "--enable-nsa-prefill-context-parallel" in flags
    elif cp > 1:
        assert {"--enable-prefill-cp", "--cp-strategy"} <= flags.keys()
    if moe_dp > 1:
        assert pp == 1 and ep * moe_dp <= tp and (ep == 1 or ep * moe_dp == tp)
    if flags.get("--moe-a2a-backend", "none") != "none":
        assert ep == tp
    assert flags.get("--moe-dense-tp-size", "1") == "1"
    if "--enable-two-batch-overlap" in flags:
        assert flags["--moe-a2a-backend"] == "deepep"
    if "--chunked-prefill-size" in flags:
        assert int(flags["--chunked-prefill-size"]) // attention_dp >= 1


def check_trtllm(version: str, flags: Mapping[str, str], nodes: int, gpus: int) -> None:
    """tensorrt_llm/mapping.py: world = tp × pp × cp, and ep divides tp."""
    tp, pp, ep = (number(flags, f"--{axis}_size") for axis in ("tp", "pp", "ep"))
    assert (nodes * gpus) % (tp * pp) == 0
    assert tp % ep == 0
    assert not {"--enable_attention_dp", "--cp_size", "--config"} & flags.keys()
    assert ("--gpus_per_node" in flags) == (nodes > 1)


CHECKS = {"vllm": check_vllm, "sglang": check_sglang, "trtllm": check_trtllm}
