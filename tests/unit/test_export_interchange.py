"""GraphML, networkx, Mermaid and Python: what they hold is what `graph.json` holds, whatever names a plan has."""

from __future__ import annotations

import doctest
import html
import json
import re
import xml.etree.ElementTree as ET
from io import BytesIO
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagc
from dagc import api
from dagc.driver.export import FORMATS
from dagc.export import mermaid
from dagc.export.chakra.traces import chakra_files
from dagc.export.graph_json import to_node_link
from dagc.export.mermaid import escaped, mermaid_text
from dagc.export.strategy_graph import graphml_bytes, strategy_graph
from dagc.export.trace.tracks import Traced
from dagc.graph.graph import Graph
from dagc.plan.plan import Plan
from dagc.results.metrics import measure
from tests.harness import chakra, shell
from tests.harness.places import EXAMPLES
from tests.unit import export_graphs

HOSTILE = (
    "<script>alert(1)</script>", 'a"b\'c`d', "]]>", "<!-- -- -->", "&amp;&#60;", "#quot; #35;", "a|b{c}[d](e)>f;g",
    "style x:#60;", "classDef:a#b;", "end", "%%{init: {}}%%", "\\n\\l\\\\", "x" * 5000, "שלום עולם", "\u202eabc\u2066",
    "tab\tline\nfeed\r\x00\x1b[31m", "\ud800", "💥" * 300, "- item", "# heading", "1. one", "`code`", "**bold**", "",
)  # fmt: skip
names = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60), st.text(st.sampled_from("<>&\"'`#;:|[](){}\\/-%~*_")))
LINE = re.compile(
    r"%%\{init: [\w{}': ]+%%|"
    r'flowchart TB|subgraph s\d+(p\d+)?\["[^"]*"\]|direction (TB|LR)|end'
    r'|(about|s\w+)\["[^"]*"\](:::(critical|note))?'
    r'|style s\w+ stroke:#b3261e,stroke-width:4px|(about|s\w+) (-->(\|"[^"]*"\|)?|~~~) s\w+|classDef \w+ [\w:;,. -]+'
)
LABEL = re.compile(r'"([^"]*)"')
CODES = re.compile(r"#(\d+);")


def shown(label: str) -> str:
    """What Mermaid makes of a label: codes are characters, `<br/>` a new line."""
    return "\n".join(CODES.sub(lambda code: chr(int(code[1])), part) for part in label.split("<br/>"))


def chart(plan: Plan, graph: Graph) -> str:
    timelines = export_graphs.timelines(graph)
    return mermaid_text(plan, graph, timelines, measure(plan, timelines))


@given(names)
def test_a_hostile_name_is_text_in_mermaid(name: str) -> None:
    """Every line is of the few forms that are meant, and a label has no letter that could be markup."""
    plan, graph = export_graphs.plan(name), export_graphs.graph()
    text = chart(plan, graph)
    lines = [line.strip() for line in text.splitlines()]
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    for label in LABEL.findall(text):
        bare = CODES.sub("", label.replace("<br/>", ""))
        assert not re.search(r"[<>&\"'`#;|\[\](){}\\:]", bare)
    (about,) = (LABEL.findall(line)[0] for line in lines if line.startswith("about["))
    assert any(line.startswith("4 GPUs") for line in shown(about).split("\n")) or name == ""


@given(st.text(st.characters(exclude_categories=("C", "Z")), max_size=100))
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    assert shown(escaped(text)) == text


def test_long_text_is_cut_and_directions_cannot_turn() -> None:
    assert len(shown(escaped("x" * 5000))) == 160
    assert shown(escaped("a\u202eb\u2066c")) == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


@given(names)
def test_a_hostile_name_is_text_in_graphml(name: str) -> None:
    plan, graph = export_graphs.plan(name), export_graphs.graph()
    content = graphml_bytes(plan, graph, export_graphs.timelines(graph))
    root = ET.fromstring(content)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
        "graphml",
        "key",
        "graph",
        "node",
        "edge",
        "data",
    }
    read = nx.read_graphml(BytesIO(content))
    data = to_node_link(plan, graph, export_graphs.timelines(graph))
    assert set(read) == {node["id"] for node in data["nodes"]}
    clean = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", name)
    assert read.graph["strategy"] == clean


@given(names)
def test_a_hostile_name_harms_no_trace(name: str) -> None:
    """Names of a plan are in none of the Chakra files; those of operators are the compiler's own."""
    graph = export_graphs.graph()
    times = export_graphs.timelines(graph)
    made, plain = (
        {path: list(content) for path, content in chakra_files(Traced(plan, graph, times))[0].items()}
        for plan in (export_graphs.plan(name), export_graphs.plan())
    )
    assert made == plain
    assert len(chakra.read(made, "prefill").ranks) == 4


def test_graphml_holds_what_the_json_holds() -> None:
    """Numbers are numbers, what is nested has a dot, what is unknown is not there."""
    plan, graph = export_graphs.plan(), export_graphs.graph()
    times = export_graphs.timelines(graph)
    data, read = to_node_link(plan, graph, times), nx.read_graphml(BytesIO(graphml_bytes(plan, graph, times)))
    assert {(e["source"], e["target"], e["kind"]) for e in data["edges"]} == set(read.edges(data="kind"))
    for node in data["nodes"]:
        there = read.nodes[node["id"]]
        for key in ("seconds", "flops_total", "op", "ranks", "on_critical_path"):
            assert there[key] == node[key]
        assert there.get("layers.first") == node["layers"]["first"]
        assert there["layers.count"] == node["layers"]["count"]
    assert json.loads(read.graph["phases"])[0]["name"] == "prefill"


def test_the_networkx_graph_is_that_of_the_json() -> None:
    plan, graph = export_graphs.plan(), export_graphs.graph()
    times = export_graphs.timelines(graph)
    data = to_node_link(plan, graph, times)
    ours, theirs = strategy_graph(plan, graph, times), nx.node_link_graph(data, edges="edges")
    assert nx.utils.graphs_equal(ours, theirs)


def test_stages_and_layers_are_counted() -> None:
    """Stage 0 has two layers folded to one box; what each sends to the next is on the arrow: 2,048 bytes a GPU."""
    plan, graph = export_graphs.plan(), export_graphs.graph()
    text = chart(plan, graph)
    labels = [shown(label) for label in LABEL.findall(text)]
    assert any(label.startswith("MoE layers 0–1, ×2\n") for label in labels)
    assert "stage 1" in labels
    assert "pool main · 2 GPUs · ranks 2-3" in labels
    assert "per GPU\nprefill 2.05 KB\ndecode 2.05 KB" in labels


def test_a_flowchart_names_its_context_and_marks_the_slowest_stage_where_all_is_critical() -> None:
    """See `test_where_all_is_on_the_critical_path_the_slowest_stage_is_marked` for the stages."""
    text = dagc.compile(EXAMPLES / "01-deepseek-v3-64-gpus.moe")["main"].mermaid()
    about = shown(LABEL.findall(text)[0]).split("\n")
    assert about[4:6] == [
        "h100-sxm x 64 · batch 128, 1,024 tokens in, 256 out",
        "requirements: ✓ ttft <= 2 s · ✓ tpot <= 50 ms",
    ]
    assert about[-1].startswith("every part is on the critical path; marked instead: stages 1–2 ")
    assert ":::critical" not in text
    assert re.findall(r"style (\w+) stroke", text) == ["s0p1", "s0p2"]


@pytest.mark.parametrize("strategy", ["pp 3 < tp 2 > | ep 4", "prefill < dp 2 < tp 2 > > | decode < tp 2 | ep 3 >"])
def test_a_title_is_one_line_of_less_than_200_pixels(strategy: str) -> None:
    """At 16 px a letter is some 8 px wide. A longer title is broken, and what is past a line covers the first node,
    which is the one that holds pools and phases.
    """
    text = dagc.compile(strategy, model="mixtral-8x7b { layers 6 }", cluster="h100-sxm x 8")["main"].mermaid()
    titles = {name: shown(label) for name, label in re.findall(r'subgraph (\w+)\["(.*)"\]', text)}
    assert all(0 < len(title) <= 24 and "\n" not in title for title in titles.values())
    stages = [name for name in titles if "p" in name]
    assert stages and all(f"\n      {name}about ~~~ {name}n0\n" in text for name in stages)


def test_what_is_too_much_for_a_site_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one stage of one segment, the others are told: of stage 0 two layers and the send."""
    monkeypatch.setattr(mermaid, "MOST_STAGES", 1)
    monkeypatch.setattr(mermaid, "MOST_SEGMENTS", 1)
    plan, graph = export_graphs.plan(), export_graphs.graph()
    labels = LABEL.findall(chart(plan, graph))
    assert "1 more kinds of stages" in labels
    assert "3 more" in labels


@pytest.mark.parametrize("form", list(FORMATS))
def test_the_same_plan_gives_the_same_bytes(form: str, tmp_path: Path) -> None:
    """In two processes with other hashes."""
    for seed in ("1", "2"):
        arguments = ("export", str(EXAMPLES / "05-attention-ffn-pools.moe"), "--format", form, "-o", seed)
        outcome = shell.run_dagc(*arguments, cwd=tmp_path, PYTHONHASHSEED=seed)
        assert outcome.status == 0, outcome.output
    first, second = ({p.relative_to(tmp_path / s): p.read_bytes() for p in (tmp_path / s).rglob("*.*")
                      if p.is_file()} for s in ("1", "2"))  # fmt: skip
    assert first == second
    assert len(first) >= 2


def test_python_gives_the_same_graph() -> None:
    plan = dagc.compile("tp 2", model="mixtral-8x7b { layers 2 }", cluster="h100-sxm x 2")
    one = plan["main"]
    assert (one.name, one.gpus, one.summary.gpus) == ("main", 2, 2)
    graph = one.graph()
    assert graph.graph["gpus"] == 2
    assert set(nx.read_graphml(BytesIO(one.graphml().encode()))) == set(graph)
    assert one.mermaid().startswith("%%{init: ")
    with pytest.raises(KeyError):
        plan["other"]


def test_the_examples_of_the_library_run() -> None:
    tried = doctest.testmod(api)
    assert tried.attempted > 3
    assert tried.failed == 0


def test_python_reads_files_and_tells_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.moe"
    path.write_text("pp 2 < ep 2 ; tp 3 >\nstrategy b = ep 16 < pp 4 >\n", encoding="utf-8")
    plan = dagc.compile(path)
    assert "error[" in str(plan)
    sized = dagc.compile("model demo { experts 16 { top 2 } }\nstrategy a = ep 4")
    with pytest.raises(dagc.NothingToShow, match="X310"):
        sized["a"].graph()
    with pytest.raises(dagc.NothingToShow, match="model layers"):
        sized["a"].mermaid()


def test_a_strategy_without_times_is_refused_by_the_command(tmp_path: Path) -> None:
    outcome = shell.run_dagc(
        "export", "-e", "ep 4", "--model", "demo { experts 16 { top 2 } }", "--format", "mermaid", cwd=tmp_path
    )
    assert outcome.status == 2
    assert "error[X310]" in outcome.output
    assert not (tmp_path / "out").exists()


def test_options_of_traces_are_for_traces_and_refusals_reach_the_user(tmp_path: Path) -> None:
    small = ("export", "-e", "tp 2", "--model", "mixtral-8x7b { layers 2 }")
    assert shell.run_dagc(*small, "--format", "mermaid", "--ranks", "0", cwd=tmp_path).status == 2
    assert shell.run_dagc(*small, "--format", "chakra", "--ranks", "x", cwd=tmp_path).status == 2
    outcome = shell.run_dagc(*small, "--format", "chakra", "--memory-limit", "0", cwd=tmp_path)
    assert outcome.status == 2
    assert "error[X301]" in outcome.output
    outcome = shell.run_dagc(*small, "--format", "chakra", "--ranks", "1", cwd=tmp_path)
    assert outcome.status == 0
    written = sorted(p.name for p in (tmp_path / "out").rglob("*.*") if p.is_file())
    assert written == [*2 * ["groups.json"], "manifest.json", *2 * ["rank.1.et"]]


def test_names_are_unescaped_by_a_reader_once() -> None:
    """As a guard of the test's own reading: what HTML would make of a code is what `shown` makes of it."""
    assert html.unescape(escaped('<b>&"').replace("#", "&#")) == shown(escaped('<b>&"')) == '<b>&"'
