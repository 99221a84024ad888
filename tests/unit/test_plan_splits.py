"""Splits of whole things, against division by hand."""

from __future__ import annotations

import numpy as np

from dagc.plan.splits import (
    experts_per_rank,
    micro_batch_count,
    micro_batch_sequences,
    replica_sequences,
    sequences_per_rank,
    split,
    stage_layers,
)
from tests.unit.planning import deployment


def test_the_first_parts_have_one_more() -> None:
    assert split(61, 4) == (16, 15, 15, 15)  # 61 = 4 × 15 + 1
    assert split(2, 4) == (1, 1, 0, 0)


def test_layers_are_even_or_as_written() -> None:
    assert stage_layers(deployment("pp 4").services[0], 61) == (16, 15, 15, 15)
    assert stage_layers(deployment("pp 2 [layers 9 7]").services[0], 16) == (9, 7)


def test_experts_go_to_the_ranks_of_their_group() -> None:
    """16 experts over ep 6, held twice: 3 3 3 3 2 2, and again; with tp, both ranks of a group count the same."""
    (pool,) = deployment("ep 6 ; tp 4").services[0].pools
    assert pool.experts is not None
    assert experts_per_rank(pool.experts, 16).tolist() == [3, 3, 3, 3, 2, 2] * 2
    assert experts_per_rank(pool.experts, 16, redundant=2).tolist() == [3] * 12
    (nested,) = deployment("ep 2 < tp 2 >").services[0].pools
    assert nested.experts is not None
    assert experts_per_rank(nested.experts, 3).tolist() == [2, 2, 1, 1]


def test_sequences_over_replicas_micro_batches_and_ranks() -> None:
    placed = deployment("dp 3 < pp 2 < ep 4 ; tp 2 > >")
    service = placed.services[0]
    assert replica_sequences(placed, service, 128) == (43, 43, 42)  # 128 = 3 × 42 + 2
    assert micro_batch_sequences(service, 43) == (22, 21)  # one micro-batch a stage
    (pool,) = service.pools
    assert pool.attention is not None
    assert sequences_per_rank(pool.attention, 21).tolist() == [11, 11, 10, 10]  # dp 2 × tp 2


def test_no_micro_batch_is_empty() -> None:
    service = deployment("pp 8").services[0]
    assert micro_batch_count(service, 3) == 3
    assert micro_batch_count(service, 100) == 8
    assert micro_batch_count(deployment("pp 8 [micro 16]").services[0], 100) == 16


def test_splits_are_arrays_over_ranks() -> None:
    (pool,) = deployment("ep 16").services[0].pools
    assert pool.experts is not None
    assert experts_per_rank(pool.experts, 256).dtype == np.int64
