"""Deployments that people reach for first, as strategies for a number of GPUs: a search says what became of each."""

from __future__ import annotations


def well_known(gpus: int, node: int, *, has_experts: bool) -> tuple[tuple[str, str], ...]:
    """Names and strategies that take all the GPUs, in nodes of so many."""
    nodes = gpus // node
    found = {"tensor parallelism on all GPUs": f"tp {gpus}"}
    if has_experts:
        found["expert parallelism on all GPUs"] = f"ep {gpus}"
        if gpus % 4 == 0:
            found["expert parallelism on all GPUs, attention tp 4"] = f"ep {gpus} ; tp 4"
    if nodes > 1 and nodes * node == gpus:
        found["tp within a node, pp across nodes"] = f"pp {nodes} < tp {node} >"
        found["tp within a node, dp across nodes"] = f"dp {nodes} < tp {node} >"
        if has_experts:
            found["ep within a node, pp across nodes"] = f"pp {nodes} < ep {node} >"
            found["ep within a node, dp across nodes"] = f"dp {nodes} < ep {node} >"
    return tuple(found.items())
