"""A hostile plan is shown as text by everything that shows it.

What a reader looks at (terminal, SVG, HTML, DOT, Mermaid) holds no character that moves a cursor or turns the
direction of what follows, and no element that the plan brought along. What a program reads (JSON, GraphML) holds the
names exactly as they were written.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import html5lib
import networkx as nx
import pytest
from click.testing import CliRunner, Result

from dagc.cli.main import main
from tests.harness import hostile

SVG = "{http://www.w3.org/2000/svg}"
HTML = "{http://www.w3.org/1999/xhtml}"

TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066\u2067]")
MOVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

SHOWN_MODEL = hostile.MODEL.removesuffix(".json").replace(hostile.OVERRIDE, "\\u202e")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the only strategy's files; the claim and the requirement are missed, hence status 1."""
    directory = tmp_path_factory.mktemp("hostile")
    plan = hostile.write(directory)
    outcome = dagc("compile", str(plan), "-o", str(directory / "out"))
    assert outcome.exit_code == 1, outcome.output
    assert_tame(outcome.output)
    (files,) = (directory / "out").glob("*/*")
    return files


def dagc(*arguments: str) -> Result:
    """The command in this process."""
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def assert_tame(text: str) -> None:
    assert not MOVING.search(text)
    assert not TURNING.search(text)
    isolated = text.count("\N{FIRST STRONG ISOLATE}")
    assert isolated == text.count("\N{POP DIRECTIONAL ISOLATE}"), "what is isolated ends"


def assert_inert(root: ElementTree.Element) -> None:
    """No element that runs or loads, and no handler, whatever the namespace."""
    for element in root.iter():
        name = str(element.tag).rpartition("}")[2].lower()
        assert name not in {"img", "iframe", "object", "embed", "foreignobject", "link"}, name
        handlers = [key for key in element.attrib if key.rpartition("}")[2].lower().startswith("on")]
        assert handlers == [] or name in {"details"}, (name, handlers)


def text_of(root: ElementTree.Element) -> str:
    return " ".join(root.itertext())


@pytest.mark.parametrize("name", ["graph.svg", "memory.svg"])
def test_pictures(made: Path, name: str) -> None:
    text = (made / name).read_text(encoding="utf-8")
    assert_tame(text)
    root = ElementTree.fromstring(text)
    assert_inert(root)
    assert not list(root.iter(f"{SVG}script"))
    assert hostile.RIGHT_TO_LEFT in text_of(root)


def test_the_picture_names_the_model_as_text(made: Path) -> None:
    words = text_of(ElementTree.parse(made / "graph.svg").getroot()).replace("\N{NO-BREAK SPACE}", " ")
    assert SHOWN_MODEL in words


def test_dot(made: Path) -> None:
    text = (made / "graph.dot").read_text(encoding="utf-8")
    assert_tame(text)
    assert "<svg" not in text, "markup in a label is escaped for the tooltips of HTML readers"


def test_the_report(made: Path) -> None:
    text = (made / "report.html").read_text(encoding="utf-8")
    assert_tame(text)
    root = html5lib.HTMLParser(strict=True).parse(text)
    assert_inert(root)
    scripts = list(root.iter(f"{HTML}script"))
    assert len(scripts) == 1, "its own"
    assert "alert" not in "".join(scripts[0].itertext())
    words = "".join(root.itertext())
    for shown in (hostile.STRATEGY, SHOWN_MODEL, *hostile.PLAN.replace(hostile.OVERRIDE, "\\u202e").splitlines()):
        assert shown in words, shown


def test_json(made: Path) -> None:
    """Programs get the names as they are."""
    summary = json.loads((made / "summary.json").read_bytes())
    assert summary["name"] == hostile.STRATEGY
    assert summary["facts"]["cluster"]["name"] == hostile.CLUSTER
    assert summary["facts"]["model"]["name"] == hostile.MODEL.removesuffix(".json")
    graph = json.loads((made / "graph.json").read_bytes())
    assert nx.node_link_graph(graph, edges="edges").graph["strategy"] == hostile.STRATEGY
    assert json.loads((made / "trace.json").read_bytes())["traceEvents"]


@pytest.mark.parametrize("form", ["mermaid", "graphml"])
def test_other_programs(made: Path, form: str, tmp_path: Path) -> None:
    plan = hostile.write(tmp_path)
    outcome = dagc("export", str(plan), "--format", form, "-o", str(tmp_path / "out"))
    assert_tame(outcome.output)
    found = [path for path in (tmp_path / "out").glob("*/*/*") if path.is_file()]
    (written,) = [path for path in found if path.name != "manifest.json"]
    text = written.read_text(encoding="utf-8")
    assert not MOVING.search(text)
    if form == "graphml":
        assert nx.read_graphml(written).graph["strategy"] == hostile.STRATEGY
    else:
        assert not TURNING.search(text)
        assert "<svg" not in text


@pytest.mark.parametrize("form", ["text", "concise", "github"])
@pytest.mark.parametrize("text", [hostile.PLAN, hostile.REFUSED], ids=["compiles", "refused"])
def test_a_terminal(form: str, text: str, tmp_path: Path) -> None:
    plan = hostile.write(tmp_path, text)
    outcome = dagc("check", str(plan), "--format", form)
    assert outcome.exit_code == 1
    assert_tame(outcome.output)


@pytest.mark.parametrize("command", [("memory",), ("fmt", "--check"), ("launch", "--engine", "vllm")])
def test_other_commands(command: tuple[str, ...], tmp_path: Path) -> None:
    plan = hostile.write(tmp_path)
    assert_tame(dagc(command[0], str(plan), *command[1:]).output)


def test_a_comparison(tmp_path: Path) -> None:
    two = hostile.PLAN + "strategy other = pp 3 < ep 8 >\n"
    plan = hostile.write(tmp_path, two)
    outcome = dagc("compare", str(plan), "--page", str(tmp_path / "page.html"))
    assert_tame(outcome.output)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert_tame(text)
    root = html5lib.HTMLParser().parse(text)
    assert_inert(root)
    assert not list(root.iter(f"{HTML}script"))


def test_a_long_name_has_a_directory_of_its_own(tmp_path: Path) -> None:
    """Two names of 300 letters that differ in the last one: file systems take 255 bytes."""
    names = [f"{'x' * 299}{last}" for last in "ab"]
    plan = tmp_path / "long.moe"
    plan.write_text("".join(f"strategy {name} = ep 8\n" for name in names), encoding="utf-8")
    dagc("compile", str(plan), "-o", str(tmp_path / "out"), "--model", "qwen3-30b-a3b")
    found = {json.loads(path.read_bytes())["name"] for path in (tmp_path / "out").glob("long/*/summary.json")}
    assert found == set(names)
