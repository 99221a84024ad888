"""`dagc search`: what is generated, that pruning loses nothing, who does the work, and what is written."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import jsonschema
import orjson
import pytest
from click.testing import CliRunner, Result

from dagc.cli.main import main
from dagc.degrees import Degrees
from dagc.driver.pricing import Judge, judge_of
from dagc.driver.search import SearchOptions, SearchOutcome, search
from dagc.export.records import json_bytes, schema_bytes, schema_file
from dagc.export.text.search import render_search
from dagc.plan.deployment import Phase
from dagc.results.search_result import FoundPlan
from dagc.search.candidate import Candidate, ServicePlan, ServiceShape, spell
from dagc.search.space import Families
from dagc.source import Source
from tests.harness.places import ROOT
from tests.harness.shell import RUN_DAGC
from tests.unit.search_plans import PLAN, STRATEGIES, facts, space

TEXT = PLAN + STRATEGIES


def _run(text: str = TEXT, wish: SearchOptions | None = None) -> SearchOutcome:
    """Of all sizes up to the cluster's, where nothing else is asked."""
    wish = wish or SearchOptions()
    return search(Source("plan", text), (), Path(), replace(wish, gpus=wish.gpus or _up_to(text)), lambda _: None)


def _up_to(text: str) -> tuple[int, int] | None:
    return (1, int(text.split("h100-sxm x ")[1].split()[0])) if "h100-sxm x " in text else None


@pytest.fixture(scope="module")
def pruned() -> SearchOutcome:
    return _run()


@pytest.fixture(scope="module")
def whole() -> SearchOutcome:
    return _run(wish=SearchOptions(is_exhaustive=True))


def _bytes(outcome: SearchOutcome) -> bytes:
    assert outcome.result is not None
    return json_bytes(outcome.result)


def test_two_gpus_have_the_strategies_counted_by_hand() -> None:
    """One GPU has one strategy. On two: `dp 2`; `pp 2` with 2 (the default), 1, 4 and 8 micro-batches of the 8
    sequences, 4; and one stage of two ranks, whose attention is tp, cp or dp 2 and whose experts are ep 2 (with and
    without overlap), tp 2 or whole: 3 · 4 = 12. In all 1 + 1 + 4 + 12 = 18.
    """
    of = facts()
    families = Families(space(of, gpus=2), judge_of(of).refusals, 8)
    texts = [
        spell(Candidate((ServicePlan(shape, options),), 8))
        for shape in families.shapes()
        for options in space(of, gpus=2).options(shape, Phase.BOTH, 8)
    ]
    assert len(texts) == len(set(texts)) == sum(map(families.size, families.families())) == 18
    assert {"tp 1", "dp 2", "pp 2 [micro 4]", "ep 2 [overlap 2]", "moe < tp 2 > ; cp 2", "ep 1 ; tp 2"} <= set(texts)


def test_a_degree_that_a_rule_refuses_is_counted_with_all_that_has_it() -> None:
    """8 heads are not cut in 3, nor 8 experts in 9: `D301` and `D203` fall on whole families, and none is built."""
    of = facts()
    families = Families(space(of, gpus=9), judge_of(of).refusals, 8)
    found = list(families.families())
    assert not [one for family in found for one in family.shapes if one.attention.tp == 3 or one.experts.ep == 9]
    refused = sum((family.refused for family in found), start=Counter[str]())
    assert refused["D301"] > 0 and refused["D203"] > 0


def test_each_rank_of_an_expert_group_is_given_an_expert() -> None:
    """8 experts on 9 ranks: 1 redundant expert, or 10, and none without, which no rank would hold; on 8 also 0."""
    of = facts()
    whole = space(of, frozenset({"redundant"}), gpus=9)
    tried = [
        {one.redundant for one in whole.stage_choices(ServiceShape(1, 1, Degrees(dp=ep), Degrees(ep=ep)), Phase.BOTH)}
        for ep in (9, 8)
    ]
    assert tried == [{1, 10}, {0, 8}]


def test_what_bounds_close_is_not_on_the_front(pruned: SearchOutcome, whole: SearchOutcome) -> None:
    """All that an exhaustive search finds, with fewer prices; every strategy of both is accounted for."""
    assert pruned.result and whole.result
    assert pruned.result.front == whole.result.front
    assert pruned.result.given == whole.result.given
    assert pruned.result.counts.priced < whole.result.counts.priced
    for result in (pruned.result, whole.result):
        assert result.is_complete and result.counts.decided == result.counts.generated


@pytest.mark.slow
@pytest.mark.parametrize("required", ["", "require { tpot <= 1.2 ms    ttft <= 3 ms }\n", "require { tpot <= 1 us }\n"])
def test_what_bounds_close_is_not_on_the_front_of_more_gpus(required: str) -> None:
    """The same on 7 GPUs of two nodes, where sequences, layers and experts are left over; and the nearest where none
    meets what is required, for which the proof is enough and no front is enumerated.
    """
    text = TEXT.replace("cluster h100-sxm x 4 {", "cluster h100-sxm x 7 { node 4   ")
    pruned, whole = (_run(text + required, SearchOptions(is_exhaustive=one)).result for one in (False, True))
    assert pruned and whole
    assert (pruned.front, pruned.nearest, pruned.given) == (whole.front, whole.nearest, whole.given)
    assert pruned.counts.priced < whole.counts.priced
    assert pruned.counts.decided == pruned.counts.generated == (whole.counts.decided if whole.front else 0)
    assert bool(whole.front) == ("us" not in required)


def test_pricing_leaves_nothing_to_a_collector() -> None:
    """A search runs without one: what refers to itself would pile up."""
    judge = Judge("collector", facts(TEXT))
    strategies = [(text, 8) for text in ("ep 4", "ep 4 ; tp 2", "pp 2 < ep 2 >", "dp 2 < ep 2 [overlap 2] >", "ep 3")]
    judge.verdicts(strategies)
    # What earlier tests left takes a second to look through.
    gc.freeze()
    gc.disable()
    try:
        judge.verdicts(strategies)
        assert gc.collect() == 0
    finally:
        gc.enable()
        gc.unfreeze()


def test_requirements_are_met_by_all_of_the_front(whole: SearchOutcome) -> None:
    """The front under requirements has every plan of the front without them that meets them."""
    found = _run(TEXT + "require { tpot <= 0.9 ms    gpus <= 3 }\n").result
    assert found and whole.result

    def meets(plan: FoundPlan) -> bool:
        return plan.gpus <= 3 and (plan.figures["tpot"] or 1) <= 0.9e-3

    assert all(map(meets, found.front))
    wanted = [plan.strategy for plan in whole.result.front if meets(plan)]
    assert [plan.strategy for plan in found.front] == wanted != []


def test_an_unsatisfiable_requirement_is_named_with_the_least_miss(whole: SearchOutcome) -> None:
    """No TPOT of 1 us: the nearest plan is that of the least TPOT of all, and the miss is its TPOT / 1 us - 1."""
    found = _run(TEXT + "require { tpot <= 1 us    ttft <= 1 h }\n")
    assert found.result and found.result.nearest and whole.result
    assert not found.result.front and found.plan is None
    least = min(plan.figures["tpot"] or 1 for plan in whole.result.front)
    assert found.result.nearest.figures["tpot"] == least
    assert found.result.nearest.requirements[0].miss == pytest.approx(least / 1e-6 - 1)
    assert "`tpot <= 1 us`" in found.result.reason
    assert found.result.counts.priced < whole.result.counts.priced


def test_processes_find_the_same_bytes(pruned: SearchOutcome) -> None:
    assert _bytes(pruned) == _bytes(_run(wish=SearchOptions(workers=2)))


def test_the_recommended_plan_compiles_to_the_figures_of_the_search(tmp_path: Path) -> None:
    """`search`, `compare` and `compile` say the same of it, and it meets what it was searched under."""
    text = TEXT + "require { ttft <= 1 s    tpot <= 5 ms }\n"
    outcome = _run(text, SearchOptions(gpus=(1, 2), batches=(4, 16)))
    assert outcome.result and outcome.plan
    path = tmp_path / "best.moe"
    path.write_text(outcome.plan, encoding="utf-8")
    other = tmp_path / "other.moe"
    other.write_text(text, encoding="utf-8")
    assert _invoke("compile", str(path), "-o", str(tmp_path / "out")).exit_code == 0
    summary = json.loads((tmp_path / "out" / "best" / "best" / "summary.json").read_bytes())
    compared = json.loads(_invoke("compare", str(path), str(other), "--format", "json").stdout)
    best = outcome.result.front[0]
    assert {one["name"]: one["values"][0]["value"] for one in compared["figures"]} == {
        name: value for name, value in best.figures.items() if value is not None
    }
    assert compared["plans"][0]["requirements_met"] is True
    assert summary["phases"]["prefill"]["seconds"] == best.figures["ttft"]
    assert summary["phases"]["decode"]["seconds"] == best.figures["tpot"]
    assert summary["throughput"]["output_tokens_per_second"] == best.figures["throughput"]
    assert summary["cost"]["usd_per_million_output_tokens"] == best.figures["cost_per_million_output_tokens"]
    assert summary["facts"]["workload"]["batch"] == best.batch
    assert _invoke("check", str(path)).exit_code == 0


def test_a_search_goes_on_from_its_record(tmp_path: Path, pruned: SearchOutcome) -> None:
    """Stopped after 20 prices and with a last line cut short, it ends as a search that never stopped."""
    record = tmp_path / "record"
    first = _run(wish=SearchOptions(most=20, resume=record))
    assert first.result and not first.result.is_complete
    record.write_bytes(record.read_bytes()[:-10])
    assert _bytes(_run(wish=SearchOptions(resume=record))) == _bytes(pruned)


def test_a_record_of_another_problem_or_none_is_refused(tmp_path: Path) -> None:
    record = tmp_path / "record"
    _run(wish=SearchOptions(most=1, resume=record))
    other = _run(TEXT.replace("prompt 128", "prompt 256"), SearchOptions(resume=record))
    assert [problem.code.code for problem in other.diagnostics] == ["X502"]
    record.write_text("no record\n", encoding="utf-8")
    assert [problem.code.code for problem in _run(wish=SearchOptions(resume=record)).diagnostics] == ["X501"]


def test_a_search_without_what_prices_need_says_what_is_missing() -> None:
    outcome = _run("model x { layers 8 }\ncluster h100-sxm\nstrategy a = tp 2\n")
    assert [problem.code.code for problem in outcome.diagnostics] == ["X503"]
    assert "cluster gpus" in outcome.diagnostics[0].message


def test_a_search_that_is_stopped_early_claims_nothing(tmp_path: Path) -> None:
    """Stopped while services are enumerated: only given and well-known strategies are compared, and no gap is claimed
    but one that the peak of the device allows.
    """

    def tell(what: str) -> None:
        if what.startswith("enumerating"):
            raise KeyboardInterrupt

    outcome = search(Source("plan", TEXT), (), tmp_path, SearchOptions(), tell)
    assert outcome.was_interrupted and outcome.result
    result, text = outcome.result, render_search(outcome.result)
    assert not result.counts.priced and not result.is_complete and not any(one.is_proven for one in result.proofs)
    known = {one.strategy for one in (*result.given, *result.well_known)}
    assert {one.strategy for one in result.front} <= known
    assert "of the plans that fit among the candidates decided so far" in text
    assert "no plan fits" not in text and "on the Pareto front\n" not in text and "optimal" not in text


def test_a_search_that_is_stopped_before_anything_fits_says_so(tmp_path: Path) -> None:
    """A device of 4 GB holds none of the given and well-known strategies whole on one GPU, and tp 3 divides nothing."""

    def tell(*_: object) -> None:
        raise KeyboardInterrupt

    text = TEXT.replace("h100-sxm x 4 {", "h100-sxm x 3 { device { memory 2.1 GB }   ").replace("ep 4", "tp 3")
    outcome = search(Source("plan", text), (), tmp_path, SearchOptions(), tell)
    assert outcome.result and not outcome.result.front
    assert "stopped before any plan that fits was priced" in render_search(outcome.result)


@pytest.mark.slow
def test_nothing_answers_where_there_is_no_scheduler() -> None:
    outcome = _run(wish=SearchOptions(dask="tcp://127.0.0.1:1"))
    assert [problem.code.code for problem in outcome.diagnostics] == ["X504"]


def test_files_are_written_and_data_is_as_published(tmp_path: Path) -> None:
    path = tmp_path / "plan.moe"
    path.write_text(TEXT, encoding="utf-8")
    result = _invoke("search", str(path), "-o", str(tmp_path), "--workers", "1", "--format", "json", "--most", "40")
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    jsonschema.Draft202012Validator(orjson.loads(schema_file("search").read_bytes())).validate(printed)
    assert sorted(one.name for one in (tmp_path / "plan" / "search").iterdir()) == [
        "best.moe",
        "front.svg",
        "manifest.json",
        "search.json",
    ]
    assert json.loads((tmp_path / "plan" / "search" / "search.json").read_bytes()) == printed


def test_the_published_schema_is_that_of_the_models() -> None:
    """When this fails, a model has changed: `python -m dagc.export.records` writes the schema anew."""
    assert schema_file("search").read_bytes() == schema_bytes("search")


def test_ctrl_c_ends_a_search_with_what_it_has(tmp_path: Path) -> None:
    """A signal once something is on record: status 130, a result that says it is not complete, no traceback."""
    path, record = tmp_path / "plan.moe", tmp_path / "record"
    path.write_text(TEXT.replace("x 4", "x 8"), encoding="utf-8")
    arguments = ["search", str(path), "-o", str(tmp_path), "--workers", "2", "--resume", str(record), "--exhaustive"]
    command = [sys.executable, "-c", RUN_DAGC, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        while run.poll() is None and not (record.exists() and record.read_text().count("\n") > 1):
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        output, errors = run.communicate(timeout=60)
    assert run.returncode == 130, errors
    assert "before the search was interrupted" in output
    assert "Traceback" not in errors
    assert not json.loads((tmp_path / "plan" / "search" / "search.json").read_bytes())["is_complete"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_that_loses_a_worker_finds_the_same_bytes() -> None:
    """A real local cluster of two workers; one is killed while it works, and nothing is lost nor counted twice."""
    distributed = pytest.importorskip("distributed")
    wanted = _bytes(_run(wish=SearchOptions(is_exhaustive=True)))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        assert _bytes(_run(wish=SearchOptions(is_exhaustive=True, dask=cluster.scheduler_address))) == wanted
        victim = cluster.workers[0].process.pid
        killed: list[int] = []

        def kill(what: str) -> None:
            if "pricing" in what and not killed:
                killed.append(victim)
                os.kill(victim, signal.SIGKILL)

        wish = SearchOptions(gpus=(1, 4), is_exhaustive=True, dask=cluster.scheduler_address)
        assert _bytes(search(Source("plan", TEXT), (), Path(), wish, kill)) == wanted
        assert killed


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_an_engine_refuses_what_it_cannot_express() -> None:
    """TensorRT-LLM has attention all tp or all dp: `ep 4 ; tp 2`, which is something between, is refused by a rule."""
    result = _run(PLAN + "engine trtllm\nstrategy mixed = ep 4 ; tp 2\n", SearchOptions(most=1)).result
    assert result and "trtllm" in (result.engine or "")
    assert [(one.status, one.reason.split(";")[0]) for one in result.given] == [("refused", "rule D401")]


@pytest.mark.parametrize(
    ("gpus", "change"),
    [
        (3, ("", "")),
        pytest.param(4, ("batch 8", "batch 7"), marks=pytest.mark.slow),
        pytest.param(4, ("batch 8", "concurrency 9"), marks=pytest.mark.slow),
        (3, ("batch 8", "batch 40000")),
        (4, ("strategy mine", "require { tpot <= 0.6 ms    ttft <= 1.4 ms }\nstrategy mine")),
        pytest.param(
            4,
            ("strategy mine", "require { tpot <= 1 us    ttft <= 1 h    throughput >= 1 tokens/s }\nstrategy mine"),
            marks=pytest.mark.slow,
        ),
        pytest.param(4, ("x 4 {", "x 4 { slow 2 by 30 %"), marks=pytest.mark.slow),
    ],
    ids=["plain", "remainder", "in flight", "memory", "limits", "unsatisfiable", "slowed"],
)
def test_pairs_that_are_never_made_are_not_on_the_front(gpus: int, change: tuple[str, str]) -> None:
    """Prefill beside decode: the same front, or the same nearest plan, as when every pair is made and priced; every
    pair is counted once, and takes the GPUs of both services.
    """
    text = TEXT.replace(*change) if change[0] else TEXT
    wish = SearchOptions(gpus=(1, gpus), over=frozenset({"phase-pools"}))
    pruned, whole = _run(text, wish).result, _run(text, replace(wish, is_exhaustive=True)).result
    assert pruned and whole and pruned.front == whole.front and pruned.nearest == whole.nearest
    if pruned.front:
        assert pruned.counts.decided == pruned.counts.generated == whole.counts.generated
    assert min(pruned.counts.too_large, pruned.counts.bound_dominated) >= 0
    pairs = [one for one in pruned.front if one.strategy.startswith("prefill")]
    assert all(2 <= one.gpus <= gpus for one in pairs)
    assert pairs or pruned.nearest or "40000" in change[1]


@pytest.mark.slow
@pytest.mark.parametrize("load", ["batch 8", "concurrency 9", "concurrency 3"])
def test_pairs_of_five_gpus_lose_nothing_either(load: str) -> None:
    """Of requests that come and go, a prefill service of more replicas takes in more at once, and may be slower."""
    wish = SearchOptions(gpus=(1, 5), over=frozenset({"phase-pools"}))
    text = TEXT.replace("x 4", "x 8").replace("batch 8", load)
    pruned, whole = _run(text, wish).result, _run(text, replace(wish, is_exhaustive=True)).result
    assert pruned and whole and pruned.front == whole.front
    assert pruned.counts.priced < whole.counts.priced / 3


def test_a_limit_on_evaluations_holds_for_pairs() -> None:
    """Sixty are not enough for the strategies of 4 GPUs: no more are asked for, and the result says so."""
    options = SearchOptions(gpus=(1, 4), over=frozenset({"phase-pools"}))
    result, whole = _run(wish=replace(options, most=60)).result, _run(wish=options).result
    assert result and whole and whole.is_complete and not result.is_complete
    assert (result.budget.ended_by, whole.budget.ended_by) == ("evaluations", "complete")
    assert result.budget.evaluations <= 60 < whole.budget.evaluations


@pytest.mark.slow
def test_too_many_pairs_are_refused_before_any_is_priced() -> None:
    """24 GPUs give each phase thousands of services, and pairs of them go into the millions."""
    wish = SearchOptions(over=frozenset({"phase-pools"}), is_exhaustive=True)
    outcome = _run(TEXT.replace("x 4", "x 24"), wish)
    assert [problem.code.code for problem in outcome.diagnostics] == ["X505"]
