"""The summary: what it holds, its published schema, its bytes, and its text."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import orjson
import pytest

from dagc.driver.check import check
from dagc.export.records import json_bytes, plain, schema_bytes, schema_file
from dagc.export.text.summary import render_text
from dagc.plan.deployment import Phase
from dagc.plan.plan import Plan
from dagc.results.assemble import summarize
from dagc.results.assess import assess
from dagc.results.facts import facts_of
from dagc.results.structure import structure
from dagc.results.summary import Summary
from dagc.source import Source
from tests.unit.results_plans import plan
from tests.unit.test_check_priced import memory
from tests.unit.test_results_metrics import timeline

TEXT = """workload { batch 32    prompt 1000    output 10 }
require { ttft <= 1 s    gpus <= 64    memory <= 64 GB }
claims main { gpus 64    ttft 2 s    throughput 17.3 tokens/s per gpu }"""


def subject() -> Plan:
    return plan(TEXT, naive=128)


def whole() -> Summary:
    timelines = (timeline(Phase.PREFILL, 2.0, 2.0), timeline(Phase.DECODE, 0.05, 0.04))
    return summarize(subject(), assess(subject(), memory(20e9, 10e9), timelines))


def bare() -> Summary:
    return summarize(subject(), assess(subject(), None, None))


def test_the_published_schema_is_that_of_the_models() -> None:
    """When this fails, a model has changed: `python -m dagc.export.records` writes the schema anew."""
    assert schema_file("summary").read_bytes() == schema_bytes("summary")


@pytest.mark.parametrize("summary", [whole(), bare()], ids=["priced", "without shapes"])
def test_a_summary_validates_against_the_schema(summary: Summary) -> None:
    jsonschema.Draft202012Validator(orjson.loads(schema_file("summary").read_bytes())).validate(
        json.loads(json_bytes(summary))
    )


def test_the_same_summary_gives_the_same_bytes() -> None:
    assert json_bytes(whole()) == json_bytes(whole())


def test_the_fields_up_to_domains_are_those_of_the_check() -> None:
    document = json.loads(json_bytes(whole()))
    own = plain(structure(subject().deployment))
    assert {key: document[key] for key in own} == own


def test_structure_of_a_nested_strategy() -> None:
    """`ep 16 < tp 4 >` is 64 GPUs: experts ep 16 × tp 4, attention tp 4 × an implied dp 16."""
    own = plain(structure(subject().deployment))
    assert (own["name"], own["strategy"], own["gpus"], own["naive_product"]) == ("main", "ep 16 < tp 4 >", 64, 128)
    assert own["domains"]["experts"] == {"tp": 4, "ep": 16, "dp": 1, "implied": {}}
    assert own["domains"]["attention"] == {"tp": 4, "cp": 1, "dp": 16, "implied": {"dp": 16}}
    assert [(pool["name"], pool["gpus"], pool["role"], pool["phase"]) for pool in own["pools"]] == [
        ("main", 64, "all", "both")
    ]


def test_comments_and_line_ends_are_no_part_of_a_strategy() -> None:
    own = plain(structure(plan(strategy="ep 16   # the experts\n    < tp 4 >").deployment))
    assert own["strategy"] == "ep 16 < tp 4 >"


def test_figures_stand_where_the_contract_says() -> None:
    """TTFT 2 s, TPOT 40 ms; 32 requests of 10 tokens in 2.37 s; 30 GB of 64 on the fullest rank."""
    document = json.loads(json_bytes(whole()))
    assert document["phases"]["prefill"]["seconds"] == 2.0
    assert document["phases"]["decode"]["seconds"] == pytest.approx(0.04)
    assert document["phases"]["decode"]["latency_seconds"] == pytest.approx(0.05)
    assert document["phases"]["prefill"]["critical_path"]["memory_share"] == 0.5
    assert document["phases"]["prefill"]["bound"] == "memory"
    assert document["throughput"]["output_tokens_per_second"] == pytest.approx(320 / 2.37)
    assert document["throughput"]["output_tokens_per_second_per_gpu"] == pytest.approx(320 / 2.37 / 64)
    assert document["memory"]["per_rank_max_bytes"] == 30e9
    assert document["memory"]["parts_bytes"] == {"weights": 20e9, "kv_cache": 10e9, "activations": 0.0}
    assert document["memory"]["fits"] is True


def test_requirements_and_claims_have_their_verdict() -> None:
    """A total of 1,010 × 32 tokens in 2.37 s over 64 GPUs is 213 tokens/s a GPU, not 17.3."""
    found = whole()
    assert [(r.name, r.required, r.ok) for r in found.requirements] == [
        ("ttft", "<= 1 s", False),
        ("gpus", "<= 64", True),
        ("memory", "<= 64 GB", True),
    ]
    assert [(c.name, c.basis, c.ok) for c in found.claims] == [
        ("gpus", "structure", True),
        ("gpus", "requirement", True),
        ("ttft", "model", True),
        ("ttft", "requirement", False),
        ("throughput", "model", False),
    ]


def test_what_is_undetermined_is_named_with_what_is_missing() -> None:
    found = bare()
    assert (found.memory, found.phases, found.throughput) == (None, None, None)
    assert [row.what for row in found.undetermined] == ["memory", "phases", "throughput"]
    assert "model hidden" in found.undetermined[0].missing
    assert [r.ok for r in found.requirements] == [None, True, None]


def test_the_text_answers_first() -> None:
    first, *rest = render_text(whole()).splitlines()
    assert first == "main: 64 GPUs, fits (30 GB of 64 GB), TTFT 2 s, TPOT 40 ms, 135 output tokens/s"
    assert any("not 128, the product of all degrees" in line for line in rest)
    assert any("✗ ttft <= 1 s: 2 s" in line for line in rest)
    assert any("✓ gpus <= 64" in line for line in rest)
    assert not any(line.endswith(" ") for line in rest)


def test_the_text_says_what_it_cannot_say() -> None:
    text = render_text(bare())
    assert text.splitlines()[0] == "main: 64 GPUs"
    assert "? ttft <= 1 s" in text
    assert "memory, phases, throughput: not stated: model hidden" in text


def test_a_check_does_not_load_pydantic() -> None:
    """Nor does any other command: only schemas need it."""
    program = (
        "import sys, dagc.results.assemble, dagc.results.search_result, dagc.results.whatif, dagc.check.priced; "
        "sys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_text_says_once_what_its_intervals_are_from() -> None:
    text = render_text(whole())
    assert text.count("measured runs), decode") == 1
    assert text.count("(80 %: ") == 2


def test_facts_say_how_far_apart_a_host_launches() -> None:
    """None where steps are launched whole; what the plan states otherwise."""
    graphs, eager = (
        facts_of(check(Source("p.moe", f"cluster h100-sxm x 8 {{ node 8 {launch} }}\nep 8\n")).checked[0].plan.facts)
        for launch in ("", "device { launch 8 us }")
    )
    assert graphs.cluster["device"]["launch_seconds"] == 0
    assert eager.cluster["device"]["launch_seconds"] == 8e-6
