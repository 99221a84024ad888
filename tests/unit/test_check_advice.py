"""Advice and house rules: at the limit they are quiet, past it they speak. The numbers are arithmetic by hand."""

from __future__ import annotations

import pytest

from dagc.diag.diagnostic import Diagnostic
from dagc.driver.check import check
from dagc.source import Source

MOE = "model m { layers 16    experts 16 { top 2 } }\n"
SHAPED = (
    "model m { layers 16    hidden 2048    vocab 32000    attention { heads 32    kv_heads 8    head_dim 64 }\n"
    "    experts 16 { top 2    ffn 6144 } }\n"
)
PHASES = "strategy main = prefill < tp 2 > | decode < tp 2 >\n"
SMALL = SHAPED.replace("6144", "2048")
FP8 = SHAPED.replace("layers 16", "layers 16    dtype fp8")
MXFP4 = SHAPED.replace("layers 16", "layers 16    expert_dtype mxfp4").replace("6144", "2880")


def cluster(gpus: int, more: str = "") -> str:
    return f"cluster h100-sxm x {gpus} {more}\n"


def batch(sequences: int, output: int = 128) -> str:
    return f"workload {{ batch {sequences}    prompt 1024    output {output} }}\n"


def lab(**changes: str) -> str:
    figures = {"memory": "80 GB", "bandwidth": "2 TB/s", "bf16": "400 TFLOP/s", "link": "450 GB/s", **changes}
    device = f"memory {figures['memory']}    bandwidth {figures['bandwidth']}    compute {{ bf16 {figures['bf16']} }}"
    return f"cluster lab {{ gpus 8    node 8    device {{ {device} }}    link {figures['link']}    network 50 GB/s }}\n"


# Blocks, a plan at the limit, one past it, the code, and a part of what it then says.
LIMITS = [
    # A node has 8 GPUs: ep 8 fills one, of 16 ranks half are elsewhere.
    (MOE + cluster(16), "dp 2 < ep 8 >", "ep 16", "W120", "50 % of the bytes a rank sends"),
    # Ranks of a group are 4 apart in `ep 4 < tp 4 >`: two on each node.
    (MOE + cluster(16), "dp 4 < ep 2 < tp 2 > >", "ep 4 < tp 4 >", "W120", "4 of 4 expert groups"),
    # 2048 / 8 = 256 columns, 2048 / 16 = 128.
    (SMALL, "tp 8", "tp 16", "W121", "shards of 128 columns"),
    # 8 sequences x 2 of 16 experts are one token each.
    (MOE, batch(8) + "tp 2", batch(7) + "tp 2", "W122", "0.875 tokens"),
    (MOE, batch(16) + "ep 4 ; tp 8", batch(15) + "ep 4 ; tp 8", "W122", "in 2 groups"),
    (MOE, "pp 4", "pp 5 [layers 4 3 3 3 3]", "W123", "3 layers"),
    (MOE, "pp 2 [layers 12 4]", "pp 2 [layers 13 3]", "W123", "1 of 2 stages"),
    (MOE, cluster(16) + "dp 2 < ep 8 >", cluster(16) + "ep 8", "W104", "`dp 2 < … >` would use 16"),
    (MOE, cluster(8) + "ep 8", cluster(8) + "ep 6", "W125", "8 = 1 × 6 + 2"),
    # 6144 / 16 = 384 = 3 x 128, and 192 is half a block more than one.
    (FP8, "tp 16", "tp 32", "W127", "192, no multiple of 128"),
    # 2880 / 2 = 1440 = 45 x 32; 2880 / 4 = 720 = 22.5 x 32.
    (MXFP4, "tp 2", "tp 4", "W127", "720, no multiple of 32"),
    (SHAPED, lab(memory="4 GB") + "tp 2", lab(memory="80 MB") + "tp 2", "W129", "`80 GB` meant"),
    (SHAPED, lab(bf16="1 TFLOP/s") + "tp 2", lab(bf16="400 GFLOP/s") + "tp 2", "W129", "`400 TFLOP/s` meant"),
    (SHAPED, lab(link="100 MB/s") + "tp 2", lab(link="450 KB/s") + "tp 2", "W129", "`450 MB/s` meant"),
    (MOE, "tp 2 [sp]", "tp 1 [sp]", "W130", "`tp` is 1"),
    (SHAPED, "ep 2 [overlap 2]", "ep 1 [overlap 2]", "W130", "no exchange"),
    (SHAPED, "ep 2 [exchange gather]", "ep 1 [exchange gather]", "W130", "no experts lie on other ranks"),
    (SHAPED.replace("6144", "6144    shared 1"), "ep 2 [shared replicated]", "", "W130", ""),
    (SHAPED, "ep 2", "ep 2 [shared replicated]", "W130", "no shared experts"),
    (SHAPED, "ep 2", "ep 2 [beside]", "W130", "no shared experts"),
    (MOE, "prefill < tp 2 > | decode < tp 2 >", "prefill < tp 2 [dcp 2] > | decode < tp 2 >", "W130", "decod"),
    (MOE, "pp 1 [micro 1]", "pp 1 [micro 2]", "W131", "read 2 times"),
    (MOE, "pp 4 [micro 4]", "pp 4 [micro 3]", "W132", "`micro 4` or more"),
    (MOE, batch(4) + "pp 4", batch(3) + "pp 4", "W132", "a replica has 3 sequences"),
    (MOE, batch(8) + "ep 8", batch(7) + "ep 8", "W133", "1 of the 8"),
    # 64 sequences in 4 micro-batches are 16 each.
    (MOE, batch(64) + "pp 4 < ep 16 >", batch(63) + "pp 4 [micro 5] < ep 16 >", "W133", "has 13"),
    (MOE + PHASES, batch(9, 2), batch(9, 1), "W135", "2 GPUs"),
    (MOE, cluster(16) + "dp 16", cluster(12) + "dp 12", "W136", "12 = 1 × 8 + 4"),
    (FP8, cluster(8) + "tp 8", "cluster a100-80gb-sxm x 8\ntp 8", "W138", "bf16 rate"),
    (MOE + cluster(8), "require { memory <= 80 GB }\nep 8", "require { memory <= 81 GB }\nep 8", "W139", "has 80 GB"),
    (MOE, "require { bubble <= 99 % }\nep 8", "require { bubble <= 100 % }\nep 8", "W139", "never more than 100 %"),
    (MOE, "require { ttft <= 1 s }\nep 8", "require { ttft <= 1 s    ttft <= 2 s }\nep 8", "W139", "is stricter"),
    (MOE, "rules { warn W201 }\nep 16", "rules { warn W201 }\nep 15", "W201", "2 experts of a layer, not one"),
    (MOE, "rules { warn W202 }\npp 2 < ep 8 ; tp 2 >", "rules { warn W202 }\ndp 2 < ep 8 >", "W202", "16 GPUs"),
    (MOE, "rules { warn W203 }\nep 8 ; tp 2", "rules { warn W203 }\nep 8 < tp 2 >", "W203", "8 × 2 = 16"),
    (MOE, "rules { warn W204 }\nprefill < cp 2 > | decode < tp 2 >", "rules { warn W204 }\ncp 2", "W204", "position"),
    (MOE, "rules { warn W205 }\npp 2 < ep 8 >", "rules { warn W205 }\npp 2 < tp 2 > | ep 4", "W205", "multiply to 16"),
    (MOE, "rules { warn W206 }\nep 4", "rules { warn W206 }\nep 6", "W206", "`ep 4` (4 GPUs) or `ep 8` (8 GPUs)"),
]  # fmt: skip


def found(text: str) -> list[Diagnostic]:
    return list(check(Source("plan.moe", text)).diagnostics)


def said(diagnostic: Diagnostic) -> str:
    return " ".join((diagnostic.message, diagnostic.label, *diagnostic.notes, *diagnostic.help))


@pytest.mark.parametrize(("blocks", "quiet", "loud", "code", "words"), LIMITS)
def test_limits(blocks: str, quiet: str, loud: str, code: str, words: str) -> None:
    assert code not in [d.code.code for d in found(blocks + quiet)]
    if loud:
        spoken = [said(d) for d in found(blocks + loud) if d.code.code == code]
        assert len(spoken) == 1
        assert words in spoken[0]


@pytest.mark.parametrize("code", ["W201", "W202", "W203", "W204", "W205", "W206"])
def test_house_rules_are_silent_until_asked(code: str) -> None:
    """Six degrees that break all of them: 2 x 6 x 2 GPUs, two stages' worth of copies, cp where tokens are decoded."""
    text = MOE + "dp 2 < ep 6 < tp 2 > ; cp 3 >"
    assert code not in [d.code.code for d in found(text)]
    assert code in [d.code.code for d in found(f"{text}\nrules {{ warn {code} }}")]


@pytest.mark.parametrize(
    ("limit", "value", "code", "strategy"),
    [
        ("stage_layers", "1", "W123", "pp 8"),
        ("expert_columns", "64", "W121", "tp 16"),
        ("expert_tokens", "0.5", "W122", "tp 2"),
    ],
)
def test_a_limit_of_the_plan_takes_the_place_of_the_default(limit: str, value: str, code: str, strategy: str) -> None:
    text = f"{SMALL}{batch(4)}{strategy}\n"
    assert code in [d.code.code for d in found(text)]
    assert code not in [d.code.code for d in found(f"{text}rules {{ {limit} {value} }}")]


def test_a_fact_is_spoken_of_once_for_all_strategies() -> None:
    text = f"{MOE}{cluster(12)}strategy a = dp 12\nstrategy b = dp 4 < ep 3 >"
    assert [d.code.code for d in found(text)].count("W136") == 1


@pytest.mark.parametrize(
    ("require", "codes"),
    [
        ("ttft <= 1 s    ttft >= 2 s", ["N137"]),
        ("gpus <= 8    gpus >= 8", []),
        ("gpus < 8    gpus >= 8", ["N137"]),
        ("latency <= 1 s    tpot > 2 s", ["N137"]),
        ("throughput >= 5 input tokens/s    throughput <= 4 output tokens/s", []),
        ("gpus = 4    gpus = 8", ["N137"]),
    ],
)
def test_requirements_that_exclude_each_other(require: str, codes: list[str]) -> None:
    errors = [d.code.code for d in found(f"{MOE}require {{ {require} }}\nep 8") if d.is_error]
    assert [code for code in errors if code == "N137"] == codes


@pytest.mark.parametrize(
    "blocks",
    [
        "workload { batch 1e9    prompt 1e8    output 1e8 }\n",
        lab(link="1 B/s"),
        lab(bandwidth="2 B/s", bf16="4 FLOP/s"),
    ],
)
def test_times_out_of_reach_are_said_and_not_scheduled(blocks: str) -> None:
    outcome = check(Source("plan.moe", f"{SHAPED}{blocks}tp 8"))
    assert [d.code.code for d in outcome.diagnostics].count("D108") == 1
    assert outcome.checked[0].priced.timelines is None


def test_waiting_at_half_load_is_half_of_the_service_time() -> None:
    """M/D/1: 0.5 / (2 x 0.5) = 0.5, so 1.5 times the TTFT; at a load of 80 %, 0.8 / (2 x 0.2) = 2, so 3 times."""
    plan = f"{SHAPED}{batch(64)}tp 2\n"
    (checked,) = check(Source("plan.moe", plan)).checked
    assert checked.priced.assessment.metrics is not None
    ttft = checked.priced.assessment.metrics.prefill.seconds * 1e3
    codes = {
        (factor, load): "W128"
        in [d.code.code for d in found(f"{plan}require {{ ttft <= {factor * ttft:.3f} ms }}{load}")]
        for factor in (1.45, 1.55, 2.95, 3.05)
        for load in ("", "\nrules { load 80 % }")
    }
    assert [codes[factor, ""] for factor in (1.45, 1.55, 2.95, 3.05)] == [True, False, False, False]
    assert [codes[factor, "\nrules { load 80 % }"] for factor in (1.45, 1.55, 2.95, 3.05)] == [True, True, True, False]
