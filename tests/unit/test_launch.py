"""`dagc launch`. The flags of the vectors are those of each engine's own guide, written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dagc.cli.launch import launch
from dagc.engines.registry import engine_names, get_engine

FOLD = "pp 4 < ep 16 ; tp 2 >"
DEEPSEEK = ("--model", "deepseek-v3", "--cluster", "h100-sxm x 64")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(launch, arguments)


@pytest.mark.parametrize(
    ("engine", "flags"),
    [
        (
            "vllm",
            "--tensor-parallel-size 2 --data-parallel-size 8 --pipeline-parallel-size 4 --enable-expert-parallel",
        ),
        ("sglang", "--tp-size 16 --attn-dp-size 8 --ep-size 16 --pp-size 4"),
        ("sglang@0.5.9", "--tp-size 16 --dp-size 8 --enable-dp-attention --ep-size 16 --pp-size 4"),
    ],
)
def test_the_flags_of_a_fold(engine: str, flags: str) -> None:
    result = run("-e", FOLD, *DEEPSEEK, "--engine", engine, "--format", "json")
    assert result.exit_code == 0
    (found,) = json.loads(result.stdout)["launches"]
    assert found["expressible"]
    assert " ".join(found["services"][0]["flags"]) == flags
    assert "deepseek-ai/DeepSeek-V3" in found["services"][0]["command"]


def test_what_is_not_expressible_has_a_reason_and_the_nearest() -> None:
    result = run("-e", FOLD, *DEEPSEEK, "--engine", "trtllm")
    assert result.exit_code == 1
    assert "not expressible: attention is all tp or all dp, and tp 2 × dp 8 is something between" in result.stdout
    assert "the nearest that TensorRT-LLM has is `pp 4 < ep 16 >`" in result.stdout


def test_vllm_has_no_ep_2_on_tp_8() -> None:
    result = run("-e", "ep 2 < tp 4 > ; tp 8", "--engine", "vllm")
    assert result.exit_code == 1
    assert "`tp 8`" in result.stdout


def test_without_an_engine_all_servers_are_shown_and_nothing_fails() -> None:
    result = run("-e", FOLD, *DEEPSEEK, "--format", "json")
    assert result.exit_code == 0
    found = {one["engine"]["name"]: one["expressible"] for one in json.loads(result.stdout)["launches"]}
    assert list(found) == [name for name in engine_names() if get_engine(name).is_server]
    assert {name: found[name] for name in ("vllm", "sglang", "trtllm")} == {
        "vllm": True, "sglang": True, "trtllm": False,
    }  # fmt: skip


def test_a_library_is_given_arguments_and_no_checkpoint() -> None:
    result = run("-e", "pp 2 [layers 30 31] < ep 8 ; tp 8 >", *DEEPSEEK, "--engine", "megatron")
    assert "arguments of 1 instance of 16 GPUs" in result.stdout
    assert '--nproc-per-node 8 --node-rank "$NODE" --master-addr "$HEAD" "$SCRIPT" --tensor' in result.stdout
    assert "DeepSeek-V3" not in result.stdout.partition("\n")[2]


def test_phases_have_their_own_commands_and_counts() -> None:
    text = "prefill < dp 3 < ep 8 ; tp 4 > > | decode < ep 32 [redundant 32] >"
    result = run("-e", text, "--model", "deepseek-v3", "--engine", "sglang", "--format", "json")
    services = json.loads(result.stdout)["launches"][0]["services"]
    assert [(s["phase"], s["instances"], s["gpus_per_instance"]) for s in services] == [
        ("prefill", 3, 8),
        ("decode", 1, 32),
    ]
    assert "--disaggregation-mode prefill" in services[0]["command"]
    assert "--ep-num-redundant-experts 32" in services[1]["command"]
    assert services[1]["nodes_per_instance"] == 4


def test_written_layers_become_what_each_engine_takes() -> None:
    text = "pp 4 [layers 16 15 15 15] < ep 8 ; tp 8 [sp] >"
    lines = {
        engine: json.loads(run("-e", text, "--model", "deepseek-v3", "--engine", engine, "--format", "json").stdout)
        for engine in ("vllm", "sglang", "megatron")
    }
    commands = {engine: found["launches"][0]["services"][0]["command"] for engine, found in lines.items()}
    assert commands["vllm"].startswith("VLLM_PP_LAYER_PARTITION=16,15,15,15 vllm serve")
    assert commands["sglang"].startswith("SGLANG_PP_LAYER_PARTITION=16,15,15,15 ")
    assert "--decoder-first-pipeline-num-layers 16 --decoder-last-pipeline-num-layers 15" in commands["megatron"]
    assert "--sequence-parallel" in commands["megatron"]


def test_redundant_experts_stand_in_tensorrts_settings_file() -> None:
    result = run("-e", "ep 32 [redundant 32]", "--model", "deepseek-v3", "--engine", "trtllm", "--format", "json")
    service = json.loads(result.stdout)["launches"][0]["services"][0]
    assert service["settings_file"]["moe_config"]["load_balancer"]["num_slots"] == 256 + 32
    assert service["settings_file"]["enable_attention_dp"] is True
    written, _, command = service["command"].partition(" > settings.yaml && ")
    assert json.loads(written.removeprefix("printf '%s\\n' ").strip("'")) == service["settings_file"]
    assert command.startswith("mpirun -n 32 --npernode 8 trtllm-llmapi-launch trtllm-serve ")
    assert "--extra_llm_api_options settings.yaml" in service["command"]
    assert not {"--enable_attention_dp", "--config"} & set(service["tokens"])


def test_a_version_and_its_sources() -> None:
    result = run("-e", "tp 8", "--engine", "vllm@0.11.0", "--format", "json")
    engine = json.loads(result.stdout)["launches"][0]["engine"]
    assert engine["version"] == "0.11.0"
    assert all(url.startswith("https://github.com/vllm-project/vllm/blob/") for url in engine["sources"])


def test_one_strategy_of_a_plan() -> None:
    text = "strategy a = tp 8\nstrategy b = ep 8\n"
    found = CliRunner().invoke(launch, ["-", "--engine", "vllm", "--strategy", "b"], input=text)
    assert found.stdout.startswith("b: ep 8, 8 GPUs, vLLM")
    missing = CliRunner().invoke(launch, ["-", "--engine", "vllm", "--strategy", "c"], input=text)
    assert missing.exit_code == 2


def test_a_plan_with_errors_has_no_flags() -> None:
    result = run("-e", "tp 2 < ep 4 >", "--engine", "vllm")
    assert result.exit_code == 1
    assert result.stdout == ""


def test_a_wrong_degree_is_no_matter_of_engines() -> None:
    """Llama 3.1 70B has 64 heads."""
    result = run("-e", "tp 48", "--model", "llama-3.1-70b", "--engine", "vllm")
    assert result.exit_code == 1
    assert "D301" in result.stderr


def test_a_model_that_nobody_publishes_is_left_open() -> None:
    result = run("-e", "ep 8", "--model", "m { experts 16 { top 2 } }", "--engine", "vllm")
    assert 'vllm serve "$MODEL"' in result.stdout


@pytest.mark.parametrize(
    ("engine", "written", "flags"),
    [
        ("vllm", "deepep", "--all2all-backend deepep_high_throughput"),
        ("vllm", "gather", "--all2all-backend allgather_reducescatter"),
        ("sglang", "deepep", "--moe-a2a-backend deepep"),
        ("sglang", "gather", ""),
    ],
)
def test_a_written_exchange_has_its_flag(engine: str, written: str, flags: str) -> None:
    result = run("-e", f"ep 8 [exchange {written}]", "--model", "deepseek-v3", "--engine", engine)
    assert result.exit_code == 0
    assert flags in result.stdout
    assert flags or "a2a" not in result.stdout


def test_attention_dp_of_tensorrt_llm_waits_for_all_ranks_unless_told_not_to() -> None:
    for engine, word in (("trtllm", "true"), ("trtllm { enable_balance no }", "false")):
        result = run("-e", "ep 8", "--model", "deepseek-v3", "--engine", engine)
        assert f'"enable_balance": {word}' in result.stdout
    assert "enable_balance" not in run("-e", "tp 8", "--model", "deepseek-v3", "--engine", "trtllm").stdout


def test_tensorrt_llm_chooses_its_exchange_itself() -> None:
    result = run("-e", "ep 8 [exchange gather]", "--model", "deepseek-v3", "--engine", "trtllm")
    assert "`[exchange]`" in result.stdout + result.stderr


def test_overlap_brings_its_kernels() -> None:
    """Both engines refuse it on their default all-to-all."""
    for engine, flags in (
        ("vllm", "--enable-dbo --all2all-backend deepep_high_throughput"),
        ("sglang", "--enable-two-batch-overlap --moe-a2a-backend deepep --deepep-mode auto"),
    ):
        result = run("-e", "ep 8 [overlap 2]", "--model", "deepseek-v3", "--engine", engine)
        assert flags in result.stdout


NODES = ("--model", "deepseek-v3", "--cluster", "h100-sxm x 64", "--format", "json")


def service_of(*arguments: str) -> dict[str, Any]:
    return json.loads(run(*arguments, *NODES).stdout)["launches"][0]["services"][0]


@pytest.mark.parametrize("version", ["0.11.0", "0.12.0", "0.33.0"])
def test_ranks_of_dp_are_dealt_out_to_nodes(version: str) -> None:
    """8 ranks of dp with 4 × 2 GPUs on 8 nodes: one a node. Without the local size vLLM wants all on the first."""
    found = service_of("-e", FOLD, "--engine", f"vllm@{version}")
    assert "--data-parallel-size-local 1 --data-parallel-address $HEAD" in " ".join(found["tokens"])
    assert found["worker_tokens"][-3:] == ["--headless", "--data-parallel-start-rank", "$((NODE * 1))"]
    found = service_of("-e", "ep 64 ; tp 2", "--engine", f"vllm@{version}")
    assert "--data-parallel-size-local 4" in " ".join(found["tokens"])
    assert found["worker_tokens"][-1] == "$((NODE * 4))"


@pytest.mark.parametrize("version", ["0.12.0", "0.33.0"])
def test_a_rank_of_dp_over_several_nodes_names_them_all(version: str) -> None:
    found = service_of("-e", "pp 4 < ep 16 ; dp 2 < tp 8 > >", "--engine", f"vllm@{version}")
    assert "--nnodes 8 --node-rank $NODE --master-addr $HEAD" in " ".join(found["tokens"])
    assert found["worker_tokens"] == [*found["tokens"], "--headless"]


def test_an_older_vllm_takes_ray_for_one_rank_of_dp_and_refuses_several() -> None:
    one = service_of("-e", "pp 4 < tp 8 >", "--engine", "vllm@0.11.0")
    assert one["worker_tokens"] == ["ray", "start", "--address", "$HEAD:6379", "--num-gpus", "8", "--block"]
    assert one["command"].startswith("ray start --head --port 6379 --num-gpus 8 && vllm serve")
    several = run("-e", "pp 4 < ep 16 ; dp 2 < tp 8 > >", *DEEPSEEK, "--engine", "vllm@0.11.0")
    assert several.exit_code == 1
    assert "keeps each rank of dp on one node: pp × tp = 32 GPUs" in several.stdout


def test_ray_is_given_the_gpus_of_a_node_that_are_used() -> None:
    """12 ranks are 6 on each of two nodes of 8; a placement group that packs would put 8 and 4 on them."""
    one = service_of("-e", "pp 3 < tp 4 >", "--model", "qwen3-30b-a3b", "--engine", "vllm@0.11.0")
    assert (one["nodes_per_instance"], one["gpus_per_node"]) == (2, 6)
    assert one["command"].startswith("ray start --head --port 6379 --num-gpus 6 && vllm serve")
    assert one["worker_tokens"][-3:] == ["--num-gpus", "6", "--block"]


@pytest.mark.parametrize(("engine", "flag"), [("vllm", "--data-parallel-size-local 4"), ("sglang", "--nnodes 4"),
                                              ("trtllm", "--gpus_per_node 4")])  # fmt: skip
def test_a_machine_of_an_nvlink_domain_starts_its_own_gpus(engine: str, flag: str) -> None:
    """A rack of GB200 NVL72 is one NVLink domain of 18 machines with 4 GPUs each."""
    words = ("-e", "ep 16", "--model", "deepseek-v3", "--cluster", "gb200-nvl72 x 72", "--engine", engine)
    (service,) = json.loads(run(*words, "--format", "json").stdout)["launches"][0]["services"]
    assert (service["nodes_per_instance"], service["gpus_per_node"]) == (4, 4)
    assert flag in " ".join(service["tokens"])


def test_stages_come_out_even_on_nodes_and_all_ranks_start() -> None:
    """SGLang 0.5.9, `_launch_scheduler_processes`: a node starts pp_size // nnodes stages, each of tp_size ranks."""
    result = json.loads(
        run("-e", "pp 5 < ep 4 >", "--model", "qwen3-30b-a3b", "--cluster", "h100-sxm x 24", "--engine", "sglang@0.5.9",
            "--format", "json").stdout
    )["launches"][0]  # fmt: skip
    (service,) = result["services"]
    nodes = service["nodes_per_instance"]
    assert nodes * max(5 // nodes, 1) * (4 // max(nodes // 5, 1)) == service["gpus_per_instance"] == 20
    assert [one["code"] for one in result["warnings"]] == ["W143"]


@pytest.mark.parametrize(
    ("engine", "router"),
    [
        (
            "vllm",
            'vllm-router --vllm-pd-disaggregation --prefill "$PREFILL_0" --prefill "$PREFILL_1" --decode "$DECODE_0"',
        ),
        (
            "sglang",
            'launch_router --pd-disaggregation --prefill "$PREFILL_0" 8998 --prefill "$PREFILL_1" 8998 --decode',
        ),
        (
            "trtllm",
            '\\"num_instances\\": 1, \\"urls\\": [\\"$DECODE_0\\"]}}" > router.yaml && trtllm-serve',
        ),
    ],
)
def test_two_pools_have_a_router(engine: str, router: str) -> None:
    text = "prefill < dp 2 < ep 8 > > | decode < ep 16 >"
    result = run("-e", text, "--model", "deepseek-v3", "--engine", engine)
    assert router in result.stdout.partition("router:")[2]
    assert "router" not in run("-e", "ep 8", "--engine", engine).stdout


def test_what_a_workload_fixes_is_printed() -> None:
    """4,096 sequences over 32 ranks of attention dp: 128 on each."""
    load = ("--workload", "{ batch 4096 prompt 4000 output 1000 chunk 4096 draft 1 accept 80 % }")
    lines = {
        engine: " ".join(service_of("-e", "ep 32", *load, "--engine", engine)["tokens"])
        for engine in ("vllm", "sglang", "trtllm")
    }
    for flag in ("--max-model-len 5000", "--max-num-seqs 128", "--max-num-batched-tokens 4096",
                 "--gpu-memory-utilization 0.92", "--kv-cache-dtype bfloat16", "--disable-prefix-caching",
                 '--speculative-config {"method":"mtp","num_speculative_tokens":1}',
                 "--all2all-backend allgather_reducescatter"):  # fmt: skip
        assert flag in lines["vllm"]
    for flag in ("--context-length 5000", "--max-running-requests 4096", f"--chunked-prefill-size {4096 * 32}",
                 "--mem-fraction-static 0.88", "--kv-cache-dtype bf16", "--disable-radix-cache",
                 "--speculative-num-steps 1 --speculative-eagle-topk 1 --speculative-num-draft-tokens 2",
                 "--moe-a2a-backend deepep --deepep-mode auto", "--moe-dense-tp-size 1"):  # fmt: skip
        assert flag in lines["sglang"]
    for flag in ("--max_seq_len 5000", "--max_batch_size 128", "--max_num_tokens 4096",
                 "--kv_cache_free_gpu_memory_fraction 0.9"):  # fmt: skip
        assert flag in lines["trtllm"]


def test_room_for_the_tokens_of_a_step_is_asked_of_deepep() -> None:
    """8,192 sequences over 32 ranks, each with a draft: 512 tokens, and buffers have room for 128 by default."""
    load = ("--workload", "{ batch 8192 prompt 100 output 10 draft 1 accept 80 % }")
    found = service_of("-e", "ep 32", *load, "--engine", "sglang")
    assert found["environment"] == {"SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK": "512"}
    pools = ("-e", "prefill < ep 32 > | decode < ep 32 >", *load, *NODES)
    older = json.loads(run(*pools, "--engine", "vllm@0.12.0").stdout)["launches"][0]["services"][1]
    assert older["environment"]["VLLM_MOE_DP_CHUNK_SIZE"] == "512"
    newer = json.loads(run(*pools, "--engine", "vllm").stdout)["launches"][0]["services"][1]
    assert "--max-num-batched-tokens 512" in " ".join(newer["tokens"])


def test_long_prompts_come_in_parts_where_they_would_be_refused() -> None:
    load = ("--workload", "{ batch 64 prompt 9000 output 10 chunk 4096 }")
    assert service_of("-e", "ep 32", *load, "--engine", "trtllm")["settings_file"]["enable_chunked_prefill"] is True
    load = ("--workload", "{ batch 64 prompt 4096 output 10 chunk 4096 }")
    assert "enable_chunked_prefill" not in service_of("-e", "ep 32", *load, "--engine", "trtllm")["settings_file"]


def test_a_prompt_has_room_in_a_step_beside_what_decodes() -> None:
    """2 sequences on each of 32 ranks, and a prompt of 8,191 tokens in a step: 8,193."""
    load = ("--workload", "{ batch 64 prompt 8191 output 10 }")
    assert "--max_num_tokens 8193" in " ".join(service_of("-e", "ep 32", *load, "--engine", "trtllm")["tokens"])


def test_vllm_without_chunks_has_a_budget_of_a_whole_context(tmp_path: Path) -> None:
    """A prompt, its output and 2 sequences; fewer than a context are refused: `verify_max_model_len`, vllm/config."""
    plan = tmp_path / "plan.moe"
    plan.write_text(
        "model deepseek-v3\ncluster h200-sxm x 32\nengine vllm { enable_chunked_prefill no }\n"
        "workload { batch 64 prompt 9000 output 10 }\nep 32\n"
    )
    assert "--max-num-batched-tokens 9012 " in run(str(plan)).stdout


def test_weights_of_another_type_are_no_published_checkpoint() -> None:
    """bf16 becomes fp8 as vLLM loads it; what nobody loads so is a checkpoint that the plan does not name."""
    line = run("-e", "tp 4", "--model", "qwen3-30b-a3b { dtype fp8 }", "--engine", "vllm").stdout
    assert "vllm serve Qwen/Qwen3-30B-A3B " in line
    assert "--quantization fp8" in line
    other = run("-e", "tp 4", "--model", "qwen3-30b-a3b { dtype int4 }", "--engine", "vllm").stdout
    assert 'vllm serve "$MODEL" ' in other
    assert "--quantization" not in other
