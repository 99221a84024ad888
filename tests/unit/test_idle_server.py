"""TTFT where requests come and go: an idle server has one, called so everywhere, and simulated requests another."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

import dagc
from dagc.cli.main import main
from dagc.driver.check import check
from dagc.driver.outcome import Checked
from dagc.lower.handover import lower_transfer
from dagc.metrics import REQUIRABLE, TTFT
from dagc.ops.communication import Communication, Pattern
from dagc.results.summary import RequirementRecord, Summary
from dagc.results.values import verdict
from dagc.search.verdict import Judged
from dagc.source import Source

MODEL = """model tiny {
    layers 8    hidden 1024    vocab 32000    dtype bf16
    attention { heads 8    kv_heads 4    head_dim 128 }
    experts 8 { top 2    ffn 2048    shared 1 }
}
cluster h100-sxm x 8 { price 2 USD/h }
"""
SHARED, POOLS = "pp 2 < ep 2 >", "prefill < tp 2 > | decode < dp 2 < ep 2 > >"
STRATEGIES = (SHARED, POOLS, "dp 2 < ep 2 ; tp 2 >")
LOADS = ("concurrency 8", "concurrency 8    rate 1 requests/s")
LENGTHS = "prompt 128    output 16"
LIMITS = ("1 ns", "1 ms", "1 h")


@cache
def compiled(strategy: str, load: str, more: str = "") -> Checked:
    plan = dagc.compile(f"{MODEL}workload {{ {load}    {LENGTHS} }}\n{more}\nstrategy main = {strategy}\n")
    return plan["main"].checked


@cache
def summary(strategy: str, load: str, more: str = "") -> Summary:
    return dagc.Strategy(compiled(strategy, load, more)).summary


def ttft(strategy: str, load: str) -> float:
    phases = summary(strategy, load).phases
    assert phases is not None
    return phases.prefill.seconds


def limited(strategy: str, load: str, comparison: str, limit: str) -> RequirementRecord:
    (row,) = summary(strategy, load, f"require {{ ttft {comparison} {limit} }}").requirements
    return row


# What is decided


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("comparison", ["<", "<=", ">", ">=", "="])
@pytest.mark.parametrize("limit", LIMITS)
def test_what_an_idle_server_does_decides_nothing(strategy: str, load: str, comparison: str, limit: str) -> None:
    """The mean of simulated requests does, which none of them beats an idle server by."""
    scale = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "h": 3600}
    number, unit = limit.split()
    row, found = limited(strategy, load, comparison, limit), summary(strategy, load).load
    assert found is not None and found.ttft.mean_seconds is not None and row.actual_value == found.ttft.mean_seconds
    above = found.ttft.mean_seconds > float(number) * scale[unit]
    assert row.ok is {"<": not above, "<=": not above, ">": above, ">=": above, "=": False}[comparison]
    assert "simulated requests" in row.reason


@pytest.mark.parametrize("name", ["bubble", "communication"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("limit", [0.01, 20.0, 100.0])
def test_a_share_of_both_phases_is_that_of_decode_at_least(name: str, strategy: str, limit: float) -> None:
    """A limit has to hold in prefill too, of which a prompt on an idle server is all that is known."""
    (row,) = summary(strategy, LOADS[0], f"require {{ {name} <= {limit} % }}").requirements
    phases = summary(strategy, LOADS[0]).phases
    assert phases is not None
    path = phases.decode.critical_path
    share = path.bubble_share if name == "bubble" else path.communication_share
    assert row.ok is (False if share > limit / 100 else None)
    static = summary(strategy, "batch 8", f"require {{ {name} <= 100 % }}").requirements
    assert [one.ok for one in static] == [True]


UNITS = {"seconds": "s", "bytes": "GB", "tokens/s": "tokens/s", "requests/s": "requests/s", "share": "%", "count": ""}


def test_a_requirement_is_met_under_load_by_what_steps_and_simulated_requests_decide() -> None:
    """Each figure that may be required, with limits of which every plan meets one."""
    met: set[str] = set()
    for name, metric in REQUIRABLE.items():
        for comparison, number in (("<=", 100), (">=", 1)):
            limit = f"{number} {UNITS[metric.dimensions[-1]]}".rstrip()
            plan = compiled(SHARED, LOADS[0], f"require {{ {name} {comparison} {limit} }}")
            met |= {one.name for one in plan.priced.assessment.requirements if one.ok}
    assert met == {"tpot", "latency", "throughput", "memory", "gpus", "ttft", "itl", "e2e"}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("limit", "ok"), [("1 h", True), ("1 ns", False)])
def test_a_static_batch_is_decided_as_ever(strategy: str, limit: str, ok: bool) -> None:
    assert limited(strategy, "batch 8", "<=", limit).ok is ok


@pytest.mark.parametrize(
    ("claim", "ok"), [("< 1 h", True), ("1 h", False), ("> 1 ns", True), ("< 1 ns", False), ("1 ns", False)]
)
def test_claims_are_decided_alike(claim: str, ok: bool | None) -> None:
    assert [row.ok for row in summary(SHARED, LOADS[0], f"claims main {{ ttft {claim} }}").claims] == [ok]


def test_a_claim_of_an_idle_server_is_false_under_load() -> None:
    text = f"claims main {{ ttft {ttft(SHARED, LOADS[0]) * 1e6:.3g} us }}"
    assert [row.ok for row in summary(SHARED, LOADS[0], text).claims] == [False]
    own = f"claims main {{ ttft {ttft(SHARED, 'batch 8') * 1e6:.3g} us }}"
    assert [row.ok for row in summary(SHARED, "batch 8", own).claims] == [True]


@pytest.mark.parametrize(("limit", "codes"), [("1 h", []), ("1 us", ["R101"])])
def test_what_is_missed_under_load_is_an_error(limit: str, codes: list[str]) -> None:
    found = compiled(SHARED, LOADS[0], f"require {{ ttft <= {limit} }}").diagnostics
    assert [one.code.code for one in found if one.code.code in ("W128", "R101")] == codes


def test_a_figure_has_the_verdict_of_simulated_requests() -> None:
    verdicts = {
        limit: verdict(TTFT, compiled(SHARED, LOADS[0], f"require {{ ttft <= {limit} }}").priced.assessment)
        for limit in ("1 h", "1 us")
    }
    assert verdicts == {"1 h": True, "1 us": False}


# The transfer of the cache


def test_one_requests_cache_is_part_of_it_where_phases_have_their_own_gpus() -> None:
    """Without an engine no host's time comes beside: TTFT is prefill and transfer, whoever else is in flight."""
    found = {load: summary(POOLS, load).phases for load in ("concurrency 2", "concurrency 8", "batch 8")}
    for load in ("concurrency 2", "concurrency 8"):
        phases = found[load]
        assert phases is not None and phases.transfer_seconds
        assert phases.prefill.seconds == pytest.approx(phases.prefill.latency_seconds + phases.transfer_seconds)
    two, eight, static = found["concurrency 2"], found["concurrency 8"], found["batch 8"]
    assert two and eight and static and eight.handover_seconds and two.handover_seconds
    assert two.transfer_seconds == eight.transfer_seconds
    assert eight.handover_seconds > two.handover_seconds
    assert static.transfer_seconds is None and static.prefill.seconds == static.prefill.latency_seconds


def test_it_goes_from_the_ranks_that_have_a_sequence_to_those_that_take_it() -> None:
    """8 layers × (keys and values) × 4 heads × 128 × 2 bytes × 128 tokens = 2,097,152 bytes: half from each of tp 2,
    and all to one rank, because attention is dp 2 in each of two replicas there.
    """
    phase = lower_transfer(compiled(POOLS, "concurrency 8").plan)
    assert phase is not None
    cache = 8 * 2 * 4 * 128 * 2 * 128
    assert [team.ranks.tolist() for team in phase.teams] == [[0, 1], [2]]
    messages = [node.communication for node in phase.templates[0].nodes]
    assert {pattern: payload(messages, pattern) for pattern in (Pattern.SEND, Pattern.RECEIVE)} == {
        Pattern.SEND: cache / 2,
        Pattern.RECEIVE: cache,
    }


def payload(messages: list[Communication | None], pattern: Pattern) -> float:
    return sum(float(one.bytes.max()) for one in messages if one is not None and one.pattern is pattern)


def test_a_static_batch_and_shared_gpus_have_no_transfer_of_one() -> None:
    assert lower_transfer(compiled(POOLS, "batch 8").plan) is None
    assert lower_transfer(compiled(SHARED, "concurrency 8").plan) is None


# What a person reads, and a program

UNNAMED = re.compile(r"(?<!idle-server )TTFT(?! under load\b| p\d\d\b)")
"""TTFT that does not say of what. The one under load has its percentile."""

REQUIRE = "require { ttft <= 1 h    tpot <= 1 h }\n"


def files_of(tmp_path: Path, load: str) -> dict[str, str]:
    """What every command prints and writes about a plan, by name."""
    path = tmp_path / "plan.moe"
    strategies = f"strategy main = {SHARED}\nstrategy pools = {POOLS}\n"
    path.write_text(f"{MODEL}workload {{ {load}    {LENGTHS} }}\n{REQUIRE}{strategies}", encoding="utf-8")
    printed = {
        " ".join(words): CliRunner().invoke(main, [words[0], str(path), *words[1:]]).stdout
        for words in (
            ("check",), ("check", "--format", "json"), ("compile", "-o", str(tmp_path / "out")),
            ("compare",), ("compare", "--format", "json"), ("compare", "--page", str(tmp_path / "both.html")),
            ("search", "--gpus", "2", "--workers", "1", "-o", str(tmp_path / "out")),
            ("search", "--gpus", "2", "--workers", "1", "--format", "json"),
            ("whatif",), ("whatif", "--format", "json"), ("whatif", "--format", "svg"),
            ("whatif", "--over", "concurrency", "--against", "tp 2", "--strategy", "main", "--between", "1", "8"),
            ("export", "--format", "mermaid", "-o", str(tmp_path / "out")),
        )
    }  # fmt: skip
    printed["notebook"] = dagc.compile(path)._repr_html_()
    written = {str(file): file.read_bytes().decode(errors="replace") for file in tmp_path.rglob("*") if file.is_file()}
    return {name: text for name, text in (printed | written).items() if not name.endswith("plan.moe")}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return files_of(tmp_path_factory.mktemp("loaded"), LOADS[1])


@pytest.mark.slow
def test_it_is_called_so_wherever_it_is_read(loaded: dict[str, str]) -> None:
    assert {name: found for name, text in loaded.items() if (found := unnamed(text))} == {}


def unnamed(text: str) -> list[str]:
    return [text[max(0, one.start() - 40) : one.end() + 40] for one in UNNAMED.finditer(without_schema_words(text))]


def without_schema_words(text: str) -> str:
    """Less the sentences that say what it is that is not simulated, and a report's section of requests under load."""
    text = re.sub('<section id="load".*?</section>', "", text, flags=re.DOTALL)
    return text.replace("TTFT under load is not simulated", "")


@pytest.mark.slow
def test_each_of_these_outputs_names_it(loaded: dict[str, str]) -> None:
    """So that the test above looks at something."""
    named = [name for name, text in loaded.items() if "idle-server TTFT" in text]
    wanted = ["compile", "compare", "search", "whatif", "notebook", "deployment.svg", "stage.svg"]
    wanted += ["graph.svg", "rank.svg", "report.html", ".mmd", "both.html", "whatif --format svg", "--format json"]
    missing = [
        word for word in wanted if not any(re.match(rf"{word}( |$)", name) or name.endswith(word) for name in named)
    ]
    assert missing == []


@pytest.mark.slow
def test_a_static_batch_has_the_plain_name(tmp_path: Path) -> None:
    assert not [name for name, text in files_of(tmp_path, "batch 8").items() if "idle server" in text]


@pytest.mark.slow
def test_programs_read_which_it_is(loaded: dict[str, str]) -> None:
    summaries = [json.loads(text) for name, text in loaded.items() if name.endswith("summary.json")]
    assert [one["phases"]["ttft_definition"] for one in summaries] == ["idle server"] * 2
    found = next(json.loads(text) for name, text in loaded.items() if re.match(r"search .*json", name))
    assert found["ttft_definition"] == "idle server"
    static = summary(SHARED, "batch 8").phases
    assert static is not None and static.ttft_definition == "batch"


@pytest.mark.slow
def test_what_simulates_has_it_met(loaded: dict[str, str]) -> None:
    """`ok`, `requirements_met` and `miss` of whatever is about `ttft`, in each format; the limit is an hour. A search
    simulates what it recommends, which misses it by nothing.
    """
    documents = {name: json.loads(text) for name, text in loaded.items() if name.endswith(("json", "summary.json"))}
    judged = {name: set(verdicts(document)) for name, document in documents.items()}
    searched = {name: found for name, found in judged.items() if "search" in name}
    assert searched and set().union(*searched.values()) == {0.0}
    others = [found for name, found in judged.items() if name not in searched and found]
    assert len(others) >= 4 and all(True in found and False not in found for found in others)


def verdicts(document: object) -> list[object]:
    """What stands under the name of a verdict in each object that is about `ttft`, or about all requirements."""
    found: list[object] = []
    if isinstance(document, dict):
        about = document.get("name") == "ttft"
        found += [document[key] for key in ("ok", "miss", "after", "before") if about and key in document]
        found += [one["ok"] for one in document.get("values", ()) if about and isinstance(one, dict)]
        found += [document["requirements_met"]] if "requirements_met" in document else []
        found += [one for value in document.values() for one in verdicts(value)]
    elif isinstance(document, list):
        found += [one for value in document for one in verdicts(value)]
    return found


@pytest.mark.parametrize(("part", "ok"), [(1.1, None), (0.9, None), (0.51, None), (0.49, False)])
def test_a_prompt_on_each_of_two_ranks_takes_at_most_twice_as_long_as_one(part: float, ok: bool | None) -> None:
    """So a request may have its first token earlier than both, but not in less than half of the time."""

    def checked(require: str) -> Checked:
        text = f"{MODEL}workload {{ concurrency 8    {LENGTHS} }}\n{require}\nstrategy main = ep 2\n"
        return check(Source("plan.moe", text), sample=None).checked[0]

    metrics = checked("").priced.metrics
    assert metrics is not None
    limit = f"require {{ ttft <= {metrics.prefill.seconds * part * 1e6:.3f} us }}"
    (found,) = checked(limit).priced.assessment.requirements
    assert found.ok is ok


# Searches


@pytest.mark.slow
def test_a_search_keeps_what_is_undetermined_and_drops_what_is_missed(tmp_path: Path) -> None:
    """Under a limit that some plans exceed on an idle server, all others stay; those are not on the front."""
    path = tmp_path / "plan.moe"

    def searched(require: str) -> dict[str, float]:
        path.write_text(f"{MODEL}workload {{ concurrency 8    {LENGTHS} }}\n{require}strategy main = tp 1\n")
        words = ["search", str(path), "--gpus", "3", "--workers", "1", "--exhaustive", "--format", "json"]
        front = json.loads(CliRunner().invoke(main, words).stdout)["front"]
        return {one["strategy"]: one["figures"]["ttft"] for one in front}

    free = searched("")
    middle = sorted(free.values())[len(free) // 2] * 1.0001
    held = searched(f"require {{ ttft <= {middle * 1e6:.6f} us }}\n")
    assert held == {strategy: seconds for strategy, seconds in free.items() if seconds <= middle}
    assert 0 < len(held) < len(free)
    assert searched("require { ttft <= 1 h }\n") == free


@pytest.mark.parametrize(("miss", "is_missed"), [(None, False), (0.0, False), (0.5, True)])
def test_what_is_undetermined_is_not_missed(miss: float | None, is_missed: bool) -> None:
    assert Judged("ttft", None, miss).is_missed is is_missed


def test_two_definitions_side_by_side_are_both_named() -> None:
    titles = [
        TTFT.titled([compiled(SHARED, load).plan.facts.workload.ttft_definition]) for load in ("batch 8", LOADS[0])
    ]
    assert titles == ["TTFT", "idle-server TTFT"]
    assert TTFT.titled(["batch", "idle server", "batch"]) == "TTFT or idle-server TTFT"
