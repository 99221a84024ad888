"""Counting of degrees and flags by engine. Expected numbers are the products of each engine's own rule, by hand."""

from __future__ import annotations

import pytest

from dagc.degrees import Degrees, Parallelism
from dagc.engines.registry import engine_names, get_engine


@pytest.mark.parametrize(
    ("engine", "world"),
    [("vllm", 8 * 8), ("sglang", 8), ("trtllm", 8), ("megatron", 8 * 8)],
)
def test_tp_8_dp_8_ep_8(engine: str, world: int) -> None:
    assert get_engine(engine).count({"tp": 8, "dp": 8, "ep": 8}).world == world


def test_ep_is_a_switch_in_vllm() -> None:
    found = get_engine("vllm").count({"tp": 8, "dp": 8, "ep": 8})
    assert found.sizes is not None
    assert found.sizes.experts == Degrees(ep=64)
    assert "ep 8 becomes tp × pcp × dp = 64" in found.steps[0]


FOLD = Parallelism(Degrees(tp=2, dp=8), Degrees(ep=16), stages=4)
"""`pp 4 < ep 16 ; tp 2 >`"""


@pytest.mark.parametrize(
    ("engine", "flags"),
    [
        ("vllm", "-tp 2 -dp 8 -pp 4 --enable-expert-parallel"),
        ("vllm", "--tensor_parallel_size=2 --data-parallel-size 8 --pipeline-parallel-size=4 --enable-expert-parallel"),
        ("sglang", "--tp-size 16 --dp-size 8 --enable-dp-attention --ep-size 16 --pp-size 4"),
        (
            "megatron",
            "--nnodes 8 --nproc-per-node 8 --tensor-model-parallel-size 2 --pipeline-model-parallel-size 4 "
            "--expert-model-parallel-size 16 --expert-tensor-parallel-size 1",
        ),
    ],
)
def test_the_same_sizes_in_three_engines(engine: str, flags: str) -> None:
    assert get_engine(engine).read(flags.split()).sizes == FOLD


def test_what_is_no_parallelism_flag_is_passed_over() -> None:
    flags = "serve some/model --port 8000 --enforce-eager -tp 4 --max-model-len=32768"
    found = get_engine("vllm").read(flags.split())
    assert found.sizes == Parallelism(Degrees(tp=4), Degrees(tp=4))


def test_sglang_without_dp_attention_makes_copies() -> None:
    found = get_engine("sglang").read(["--tp", "8", "--dp", "2"])
    assert found.sizes == Parallelism(Degrees(tp=8), Degrees(tp=8), replicas=2)
    assert found.world == 16


def test_sglang_backends_that_force_ep() -> None:
    found = get_engine("sglang").read(["--tp", "8", "--ep", "2", "--moe-a2a-backend", "deepep"])
    assert found.sizes is not None
    assert found.sizes.experts == Degrees(ep=8)


def test_trtllm_settings_file_beside_flags() -> None:
    found = get_engine("trtllm").read(["--tp_size", "8", "--ep_size", "4", "enable_attention_dp:", "true"])
    assert found.sizes == Parallelism(Degrees(dp=8), Degrees(tp=2, ep=4))


def test_a_switch_may_be_turned_off() -> None:
    assert get_engine("trtllm").read(["--tp_size", "8", "enable_attention_dp:", "false"]).sizes == Parallelism(
        Degrees(tp=8), Degrees(tp=8)
    )


@pytest.mark.parametrize(
    ("engine", "flags", "reason"),
    [
        ("sglang", "--tp 8 --ep 3", "must divide tp 8"),
        ("sglang", "--tp 8 --ep 16", "ep 16 is more than tp 8"),
        ("sglang", "--tp 8 --dp 3 --enable-dp-attention", "multiple of attention's dp 3"),
        ("sglang", "--tp 8 --moe-dp-size 2 --attn-cp-size 2 --pp-size 2", "no pipeline"),
        ("sglang", "--tp 8 --moe-dp-size 2 --attn-cp-size 2 --ep 2", "must be tp 8"),
        ("trtllm", "--tp_size 8 --ep_size 3", "moe_tp 2 × moe_ep 3"),
        ("trtllm", "--tp_size 8 --cp_size 2 --ep_size 8", "no context parallelism"),
        ("megatron", "--nproc-per-node 6 --tensor-model-parallel-size 4", "no multiple of tp 4"),
        ("megatron", "--nproc-per-node 8 --expert-model-parallel-size 16", "no multiple of the experts'"),
        ("vllm", "-tp eight", "`-tp` takes a count"),
        ("vllm", "-tp", "nothing was given"),
        ("vllm", "-tp 0", "`0` was given"),
    ],
)
def test_refusals(engine: str, flags: str, reason: str) -> None:
    found = get_engine(engine).read(flags.split())
    assert found.sizes is None
    assert found.world is None
    assert reason in (found.refusal or "")


@pytest.mark.parametrize("engine", engine_names())
def test_no_degree_below_one(engine: str) -> None:
    assert "at least 1: tp 0" in (get_engine(engine).count({"tp": 0}).refusal or "")


def test_trtllm_attention_is_all_tp_or_all_dp() -> None:
    assert "all tp or all dp" in (get_engine("trtllm").count({"tp": 2, "dp": 8, "ep": 16}).refusal or "")
