"""Layers over stages as each engine splits them where they do not divide.

vLLM: `get_pp_indices` of `vllm/distributed/utils.py`; SGLang: that of `sglang/srt/distributed/utils.py`; TensorRT-LLM:
`Mapping.pp_layers`. Megatron-Core refuses such a number; what is computed for it is only shown beside the refusal.
"""

from __future__ import annotations

from dagc.engines.profiles import LayerSplit


def split_layers(layers: int, stages: int, policy: LayerSplit) -> tuple[int, ...]:
    """Layers of each of `stages` (at least 1); sums to `layers`."""
    each, rest = divmod(layers, stages)
    match policy:
        case LayerSplit.LAST:
            return (each,) * (stages - rest) + (each + 1,) * rest
        case LayerSplit.BEFORE_LAST if rest:
            return (each,) * (stages - rest - 1) + (each + 1,) * rest + (each,)
        case _:
            return (each + 1,) * rest + (each,) * (stages - rest)
