"""`dagc read` on recipes, settings files and claims: the answer is the first line; its numbers are counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import dagc
from dagc.cli.main import main
from dagc.diag.diagnostic import Diagnostic
from dagc.notation.claims import split_claims
from dagc.notation.recipes import read_recipes
from dagc.source import Source


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["read", *arguments])


def answer(*arguments: str) -> str:
    return run(*arguments).stdout.partition("\n")[0]


def document(*arguments: str) -> dict[str, Any]:
    return json.loads(run(*arguments, "--format", "json").stdout)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TEP8", "ep 8 ; tp 8   8 GPUs"),
        ("DEP16", "ep 16   16 GPUs"),
        ("DTP4", "moe < tp 4 > ; tp 1   4 GPUs"),
        ("PP2 TEP8", "pp 2 < ep 8 ; tp 8 >   16 GPUs"),
        ("TP8", "tp 8   8 GPUs"),
        # Two servers of tp 4 are 8 GPUs, one of 16 beside them: 24.
        ("ctx2_tp4_gen1_dep16_batch128_eplb0_mtp3", "prefill < dp 2 < tp 4 > > | decode < ep 16 >   24 GPUs"),
        ("ctx1_dep4_gen4_tep8.yaml", "prefill < ep 4 > | decode < dp 4 < ep 8 ; tp 8 > >   36 GPUs"),
        # A server has tp GPUs; ep 4 of 8 leaves each expert on two.
        ("{ tp: 8, ep: 8, dp-attn: true, conc-start: 4, conc-end: 64 }", "ep 8   8 GPUs"),
        ("{ tp: 8, ep: 8, conc-start: 4, conc-end: 64 }", "ep 8 ; tp 8   8 GPUs"),
        ("{ tp: 8, ep: 4, dp-attn: false, conc: 32 }", "ep 4 < tp 2 > ; tp 8   8 GPUs"),
        ("{ tp: 8, ep: 1, dp_attn: false, conc-list: [1, 2] }", "tp 8   8 GPUs"),
    ],
)
def test_the_first_line_of_a_recipe_is_its_strategy(text: str, expected: str) -> None:
    assert answer(text) == expected
    assert run(text).exit_code == 0


SWEEP = """
dsr1-fp4-gb200:
  model: deepseek-ai/DeepSeek-R1
  framework: sglang
  seq-len-configs:
  - isl: 1024
    osl: 8192
    search-space:
    - { tp: 8, conc-start: 4, conc-end: 64 }
    - conc-list: [ 1214 ]
      prefill: { num-worker: 3, tp: 4, ep: 4, dp-attn: true }
      decode: { num-worker: 1, tp: 16, ep: 16, dp-attn: true }
"""


def test_every_entry_of_a_sweep_is_read(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    found = document(str(tmp_path / "sweep.yaml"))
    assert [(one["strategy"], one["gpus"], one["states"]) for one in found["recipes"]] == [
        ("tp 8", 8, ["concurrency 4 to 64"]),
        ("prefill < dp 3 < ep 4 > > | decode < ep 16 >", 3 * 4 + 16, ["concurrency 1214"]),
    ]
    assert {one["title"] for one in found["recipes"]} == {"dsr1-fp4-gb200, 1024/8192"}
    assert found["recipes"][1]["servers"][0] == {"phase": "prefill", "count": 3, "gpus": 4}
    assert "SGLang, prefill         --tp-size 4 --attn-dp-size 4" in run(str(tmp_path / "sweep.yaml")).stdout
    assert [row["gpus"] for row in dagc.read(SWEEP).rows] == [8, 28]


def test_servers_whose_cut_is_open_are_said_to_be() -> None:
    """Cut as decode's, two prefill servers of 16 GPUs make 48 in all."""
    result = run("ctx2_gen1_dep16_batch128")
    assert result.exit_code == 0
    assert result.stdout.startswith("prefill < … > | decode < ep 16 >   16 GPUs and those")
    assert "warning[W148]" in result.stderr
    assert "`prefill < dp 2 < ep 16 > > | decode < ep 16 >`: 48 GPUs" in result.stderr
    assert document("ctx2_gen1_dep16")["recipes"][0]["gpus"] is None


def test_a_model_judges_a_recipe() -> None:
    """Mixtral has 8 experts."""
    problems = document("DEP16", "--model", "mixtral-8x7b")["recipes"][0]["diagnostics"]
    assert [one["code"] for one in problems] == ["D203"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{ tp: 8, ep: 3, dp-attn: true }", "`ep: 3` does not divide `tp: 8`"),
        ("{ tp: 0, dp-attn: true }", "`tp: 0` is not a whole number"),
        ("{ tp: 8, dp-attn: true", "the recipe is not YAML"),
    ],
)
def test_a_wrong_entry_is_n145(text: str, part: str) -> None:
    result = run(text)
    assert result.exit_code == 1
    assert "error[N145]" in result.stderr
    assert part in result.stderr


def test_a_settings_file_belongs_to_its_command(tmp_path: Path) -> None:
    """With `enable_attention_dp` tp 16 is attention's dp; the file wins over the flag of ep."""
    file = tmp_path / "extra.yml"
    file.write_text("enable_attention_dp: true\nmoe_config:\n  backend: WIDEEP\nmoe_expert_parallel_size: 16\n")
    command = ["trtllm-serve", "m", "--tp_size", "16", "--ep_size", "4"]
    assert answer(*command, "--extra_llm_api_options", str(file)) == "ep 16   16 GPUs, as TensorRT-LLM counts"
    assert answer(*command).startswith("ep 4 < tp 4 > ; tp 16")
    script = f"cat > x.yml <<EOF\n{file.read_text()}EOF\n{' '.join(command)} --config x.yml"
    assert answer(script).startswith("ep")


@pytest.mark.parametrize("content", [None, b"- a\n- b\n", b"a: [", b"\xff\xfe"])
def test_a_settings_file_that_cannot_be_read_is_n147(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "extra.yml"
    if content is not None:
        file.write_bytes(content)
    result = run("trtllm-serve", "m", "--tp_size", "8", "--config", str(file))
    assert result.exit_code == 1
    assert "error[N147]" in result.stderr


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("PP=4, EP=16, TP=2 → 128 GPUs; 640 tokens/ms", ["gpus 128", "throughput = 640 tokens/ms"]),
        ("EP64-TP8-PP2-DP2 requiring 2048 GPUs", ["gpus 2048"]),
        ("ep: 16 # Expert\ntp: 2\ntotal_gpus: 32   # half", ["gpus 32"]),
        ("tp 8 -> 1,024", ["gpus 1024"]),
        ("tp 8, 12.5K output tokens per second per GPU", ["throughput = 12500 output tokens/s per gpu"]),
        ("tp 8, TTFT <= 10 s, tpot < 35 ms, 33 GB/GPU", ["ttft <= 10 s", "tpot < 35 ms", "memory = 33 GB"]),
        ("tp 8 = 8", []),
        ("tp 8, dp 8, ep 8", []),
    ],
)
def test_claims_are_taken_off_a_notation(text: str, entries: list[str]) -> None:
    left, claims = split_claims(Source("TEXT", text))
    assert [claim.entry for claim in claims] == entries
    assert len(left) == len(text)


@pytest.mark.parametrize(
    ("text", "strategy", "gpus", "verdict", "code"),
    [
        # lcm(16, 2) = 16 GPUs a stage: 64; 128 is the product, which is tp inside ep.
        ("PP=4, EP=16, TP=2 → 128 GPUs", "pp 4 < ep 16 ; tp 2 >", 64, False, "W147"),
        # Two copies of that are 128.
        ("ep: 16, pp: 4, tp: 2, dp: 2, total_gpus: 128", "dp 2 < pp 4 < ep 16 ; tp 2 > >", 128, True, None),
        # 2 stages × lcm(4, 2) = 8: the documented 8, not the product 32.
        ("TP2-EP4-PP2-DP2 with 8 GPUs", "pp 2 < ep 4 ; tp 2 >", 8, True, None),
        ("EP-16 × TP-4 × PP-1, 64 GPUs", "ep 16 ; tp 4", 16, False, "W147"),
        # 256 experts a layer over 256 GPUs in each of 16 stages; 16 a stage would be 256.
        ("EP=256, PP=16, 256 GPUs", "pp 16 < ep 256 >", 4096, False, "C101"),
    ],
)
def test_a_claimed_size_is_judged(text: str, strategy: str, gpus: int, verdict: bool, code: str | None) -> None:
    found = document(text)
    assert found["answer"] == {"strategy": strategy, "gpus": gpus}
    assert [one["ok"] for one in found["claims"]] == [verdict]
    assert [one["code"] for one in found["diagnostics"]] == ([code] if code else [])
    words = "true" if verdict else "false"
    assert answer(text).startswith(f"{strategy}   {gpus} GPUs")
    assert answer(text).endswith(f"claimed: {words}")
    assert run(text).exit_code == (1 if code == "C101" else 0)


def test_an_ep_that_counts_all_stages_is_noticed() -> None:
    assert "a stage has ep 16: `pp 16 < ep 16 >`" in run("EP=256, PP=16, 256 GPUs").stderr


def test_a_claimed_rate_is_divided_and_judged_where_facts_are_named() -> None:
    """640 tokens/ms over 64 GPUs are 10 a GPU, over 128 they are 5. Eight H100 with Mixtral make far fewer."""
    claims = document("PP=4, EP=16, TP=2 → 128 GPUs; 640 tokens/ms")["claims"]
    assert claims[1]["ok"] is None
    assert "10 tokens/ms a GPU over 64, 5 tokens/ms a GPU over 128" in claims[1]["found"]
    (judged,) = document("EP8, 640 tokens/ms", "--model", "mixtral-8x7b", "--cluster", "h100-sxm x 8")["claims"]
    assert judged["ok"] is False
    (refused,) = document("EP16, 640 tokens/ms", "--model", "mixtral-8x7b", "--cluster", "h100-sxm x 16")["claims"]
    assert refused["ok"] is None


PIECES = (
    "ctx2", "gen1", "DEP8", "tp4", "tep0", "{", "}", "dp-attn:", "true", "tp: 8,", "&a", "*a", "prefill:", "128 GPUs",
    "5 tokens/s", "\n  ",
)  # fmt: skip
LETTERS = st.text(alphabet="ctxgendepTEP_0123456789 -{}:,[]#→GPUs/\n&*!", max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.one_of(LETTERS, st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join)))
def test_no_text_breaks_the_reading_of_recipes_and_claims(text: str) -> None:
    source = Source("TEXT", text)
    left, claims = split_claims(source)
    assert len(left) == len(text)
    assert all(0 <= claim.span.start <= claim.span.end <= len(text) for claim in claims)
    found = read_recipes(source)
    assert found is None or isinstance(found, Diagnostic) or all(recipe.servers for recipe in found)
