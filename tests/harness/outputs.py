"""Every output of a plan's strategies, and what each must show: commands are run as a user runs them, in this process.

Turns a plan file into `Output`s: the figures that one output shows of one strategy, with the summary to hold them
against. Which figures an output has, and in which words, is in the tables here and nowhere else.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import dagc
from dagc.cli.main import main
from dagc.export import records
from dagc.results.summary import Summary
from tests.harness.figures import (
    BYTES,
    COUNT,
    MONEY,
    SHARE,
    TIME,
    TPOT,
    TTFT,
    Place,
    Shown,
    Value,
    complaints,
    in_table,
    in_text,
    plain,
)
from tests.harness.records import read_record
from tests.harness.shell import PROGRESS

HEADLINE = Place(
    rf"(?P<gpus>{COUNT}) GPUs?, (?:fits|does not fit) \((?P<memory>{BYTES}) of (?P<capacity>{BYTES})\), "
    rf"{TTFT} (?P<ttft>{TIME})[^,\n]*, {TPOT} (?P<tpot>{TIME}), (?P<throughput>{COUNT}) output tokens/s",
    when="tpot",
)
_NAMES = ("compute", "memory", "communication", "bubble")


def _shares(phase: str) -> str:
    """`compute 27.7 %, memory 9.11 %, …`."""
    return ", ".join(rf"{name} (?P<{phase}_{name}>{SHARE})" for name in _NAMES)


def _bar(phase: str) -> str:
    """Lines `27.7 % compute`, without those of no share."""
    return rf"(?={SHARE}\s)" + "".join(rf"(?:(?P<{phase}_{name}>{SHARE})\s+{name}\n)?" for name in _NAMES)


_MOST = Place(rf"largest memory use: (?P<most_memory>{BYTES})", when="not_fullest")
COMMAND_LINE = (
    HEADLINE,
    Place(rf"^  memory +(?P<memory>{BYTES}) of (?P<capacity>{BYTES}) \(", when="memory"),
    _MOST,
    Place(rf"^  prefill +(?P<ttft>{TIME})[^\n]*TTFT[^\n]*\n +[\w -]+: {_shares('prefill')}", when="ttft"),
    Place(rf"^  KV transfer +(?P<handover>{TIME})", when="handover"),
    Place(
        rf"^  decode +(?P<tpot>{TIME})[^\n]* TPOT; single-step latency (?P<latency>{TIME})\n"
        rf" +(?:decode step )?[\w -]+: {_shares('decode')}",
        when="tpot",
    ),
    Place(
        rf"^  throughput +(?P<throughput>{COUNT}) output tokens/s \((?P<throughput_per_gpu>{COUNT}) tokens/s",
        when="throughput",
    ),
    Place(rf"TTFT under load (?P<ttft_p50>{TIME}) \(p50\), (?P<ttft_p99>{TIME}) \(p99\)", when="ttft_p99"),
    Place(rf"TPOT under load (?P<tpot_p50>{TIME}) \(p50\), (?P<tpot_p99>{TIME}) \(p99\)", when="tpot_p99"),
    Place(
        rf"^  cost +(?P<cost_per_hour>{MONEY}) per hour, (?P<cost_per_million_output_tokens>{MONEY}) per million",
        when="cost_per_million_output_tokens",
    ),
)
_STEP = Place(rf"step time (?P<step>{TIME})", when="beside_step")
_HEAD = rf"(?P<gpus>{COUNT}) GPUs? · model [^·\n]+(?: ·|\n)(?:.* replicas, .*\n)? ?{TTFT} (?P<ttft>{TIME})"
HEAD = Place(rf"{_HEAD}[^·\n]* · {TPOT} (?P<tpot>{TIME})", when="tpot")
"""The line under the title of a picture."""
_DRAWN = Place(rf"(?:{TPOT} (?P<tpot>{TIME}) = |TPOT is )\(?decode step (?P<drawn_step>{TIME})", when="beside_step")
VIEW = (HEAD, _DRAWN)
_FIT = rf"fits, (?P<memory>{BYTES}) of (?P<capacity>{BYTES}) on the fullest GPU"
MEMORY = (
    Place(rf": (?:does not )?{_FIT.replace('fits', 'fits?')}", when="memory"),
    Place(rf"largest batch:? (?P<most_sequences>{COUNT}) sequences", when="most_sequences"),
    Place(rf"longest context(?: at the given batch:)? (?P<longest_context>{COUNT}) tokens", when="longest_context"),
)
PAGE = (
    Place(rf"^GPUs\n(?P<gpus>{COUNT})$", when="gpus"),
    Place(rf"^(?P<memory>{BYTES}) of (?P<capacity>{BYTES}), {SHARE} of the fullest GPU$", when="memory"),
    _MOST,
    Place(rf"^{TTFT}\n(?P<ttft>{TIME})", when="ttft"),
    Place(rf"^{TPOT}\n(?P<tpot>{TIME})", when="tpot"),
    Place(
        rf"^output tokens/s\n(?P<throughput>{COUNT})\n(?P<throughput_per_gpu>{COUNT}) tokens/s/GPU", when="throughput"
    ),
    Place(rf"^cost per hour\n(?P<cost_per_hour>{MONEY})", when="cost_per_hour"),
    Place(rf"^(?P<cost_per_million_output_tokens>{MONEY}) per million", when="cost_per_million_output_tokens"),
    Place(rf"single-step latency (?P<latency>{TIME})$", when="latency"),
    Place(rf"^KV-cache transfer: (?P<handover>{TIME}) for", when="handover"),
    Place(rf"largest batch (?P<most_sequences>{COUNT}) sequences", when="most_sequences"),
    Place(rf"longest context (?P<longest_context>{COUNT}) tokens", when="longest_context"),
    Place(rf"^Prefill of [^:\n]*: (?P<drawn_prefill>{TIME}) on the GPUs", when="ttft"),
    Place(rf"^One decode step[^:\n]*: (?P<drawn_decode>{TIME}) on the GPUs", when="tpot"),
    Place(rf"^prefill\n{_bar('prefill')}", when="ttft"),
    Place(rf"^decode step\n{_bar('decode')}", when="tpot"),
    _STEP,
    replace(HEAD, times=4),
)
ANSWER = tuple(one for one in PAGE if "drawn" not in one.pattern and one.pattern != HEAD.pattern)
"""The page without its pictures and timelines, which a notebook shows too."""
UNIT = r"(?:s|ms|us|ns|K|M|G|USD)"
"""What is beside a number of a card, in smaller letters."""
CARD = (
    Place(rf"^GPUs\n(?P<gpus>{COUNT})$", when="gpus"),
    Place(rf"^(?P<memory>{BYTES}) of (?P<capacity>{BYTES}),", when="memory"),
    Place(rf"^{TTFT}\n(?P<ttft>{TIME})", when="ttft"),
    Place(rf"^{TPOT}\n(?P<tpot>{TIME})", when="tpot"),
    Place(rf"^output tokens/s\n(?P<throughput>{COUNT})", when="throughput"),
    Place(rf"^cost per hour\n(?P<cost_per_hour>{MONEY})", when="cost_per_hour"),
)
"""The picture of the answer."""
COMPARED = (
    "gpus", "most_memory", "ttft", "ttft_p99", "tpot", "throughput", "throughput_per_gpu", "prefill_communication",
    "decode_communication", "prefill_bubble", "decode_bubble", "prefill_load_balance", "decode_load_balance",
    "cost_per_hour", "cost_per_million_output_tokens",
)  # fmt: skip
SEARCHED = tuple(name for name in COMPARED if name != "ttft_p99")
TABLE = ("gpus", "most_memory", "ttft", "tpot", "throughput", "throughput_per_gpu", "cost_per_million_output_tokens")
CHANGED = ("ttft", "ttft_p99", "tpot", "throughput_per_gpu", "most_memory", "cost_per_million_output_tokens")
"""Figures of a comparison, of a search, which simulates no requests, of its table, and of what parameters do."""

VIEWS = ("deployment", "stage", "graph", "rank")
JUDGED = {"ttft": "ttft", "tpot": "tpot", "latency": "tpot", "gpus": "gpus", "memory": "most_memory"}
"""Requirements and claims that are on a figure of the table, without further terms."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output of one strategy: what it shows, or lacks."""

    name: str
    summary: Summary
    found: list[Shown | str]

    def complaints(self) -> list[str]:
        return [f"{self.summary.strategy}, {self.name}: {said}" for said in complaints(self.found, self.summary)]


@dataclass(frozen=True, slots=True)
class Subject:
    """A plan file with a directory for what is written, its strategies' summaries and what `dagc compile` printed."""

    plan: Path
    directory: Path
    printed: str
    summaries: tuple[Summary, ...]

    def file(self, summary: Summary, name: str) -> str:
        return (self.directory / self.plan.stem / summary.name / name).read_text(encoding="utf-8")


def run(*arguments: str) -> str:
    """What a command prints on both streams, but for lines of progress. Raises what escapes it."""
    done = CliRunner().invoke(main, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return PROGRESS.sub("", done.output)


def compiled(plan: Path, directory: Path) -> Subject:
    """`dagc compile` of a plan. Raises FileNotFoundError where it writes nothing."""
    printed = run("compile", str(plan), "-o", str(directory))
    files = sorted((directory / plan.stem).glob("*/summary.json"))
    found = tuple(read_record(Summary, one.read_bytes()) for one in files)
    if not found:
        raise FileNotFoundError(printed)
    return Subject(plan, directory, printed, found)


def of_compile(subject: Subject) -> Iterator[Output]:
    """Text, page, pictures and graph."""
    for one in subject.summaries:
        text, file = partial(_text, one), partial(subject.file, one)
        block = re.search(rf"^{one.name}: .*?^written to", subject.printed, re.MULTILINE | re.DOTALL)
        yield text("dagc compile", block[0] if block else "", (*COMMAND_LINE, _STEP))
        yield Output("verdicts", one, list(_judged(one, subject.printed, plain(file("report.html")))))
        yield text("memory.svg", plain(file("memory.svg")), MEMORY)
        card = re.sub(rf"\n(?={UNIT}\n)", " ", plain(file("answer.svg")))
        yield text("answer.svg", card, CARD)
        if one.phases is None:
            continue
        # The axes of the pictures of simulated requests have times that are no figures.
        page = re.sub('<section id="load".*?</section>', "", file("report.html"), flags=re.DOTALL)
        yield text("report.html", plain(re.sub("</?small>", "", page)), PAGE)
        for view in VIEWS:
            yield text(f"{view}.svg", plain(file(f"{view}.svg")), VIEW)
            yield text(f"{view}.dot", plain(file(f"{view}.dot")), VIEW)
        yield Output("cards", one, [_fullest_card(plain(file("deployment.svg")))])
        yield Output("graph.json", one, list(_of_graph(json.loads(file("graph.json"))["graph"], one)))


def of_export(subject: Subject) -> Iterator[Output]:
    """The flowchart, which the Python API makes too."""
    plan = dagc.compile(subject.plan)
    run("export", str(subject.plan), "--format", "mermaid", "-o", str(subject.directory))
    for one in subject.summaries:
        written = subject.file(one, "graph.mmd")
        yield _text(one, "Mermaid", plain(written), VIEW)
        made = plan[one.name].mermaid()
        yield Output("Strategy.mermaid", one, [] if made == written else ["graph.mmd is another"])


def of_check(subject: Subject) -> Iterator[Output]:
    """The structure, as text and as a document."""
    text, document = (run("check", str(subject.plan), "--format", style) for style in ("text", "json"))
    for one, entry in _paired(subject, _document(document)["strategies"]):
        yield _text(one, "dagc check", text, [Place(rf"^{one.name}: .*\b(?P<gpus>{COUNT}) GPUs?$")])
        yield Output("dagc check --format json", one, list(in_table(entry, ["gpus"], one)))


def of_memory(subject: Subject) -> Iterator[Output]:
    """The table and the document of memory."""
    text, document = (run("memory", str(subject.plan), "--format", style) for style in ("text", "json"))
    parts = {part.partition(":")[0]: part for part in re.split(r"^(?=\w+: )", text, flags=re.MULTILINE)}
    for one, entry in _paired(subject, _document(document)["strategies"]):
        yield _text(one, "dagc memory", parts.get(one.name, ""), MEMORY)
        yield Output("dagc memory --format json", one, _alike(entry["memory"], one, "memory"))


def of_compare(subject: Subject) -> Iterator[Output]:
    """Text, document and page of a comparison of the plan's strategies."""
    page = subject.directory / "comparison.html"
    text = run("compare", str(subject.plan), "--page", str(page))
    document = _document(run("compare", str(subject.plan), "--format", "json"))
    lines = [re.split(r" {2,}", _bare(line)) for line in text.split("\n\n")[1].splitlines()[1:]]
    rows = re.findall(r"<tr data-figure=[^>]+><th[^>]*>([^<]+)</th>(.*?)</tr>", page.read_text(encoding="utf-8"))
    cells = [[title, *map(_bare, re.findall(r"<td[^>]*>(.*?)</td>", row))] for title, row in rows]
    for index, plan in enumerate(document["plans"]):
        (one,) = (summary for summary in subject.summaries if summary.name == plan["name"])
        shown: dict[str, dict[str, Value]] = {
            "dagc compare": {line[0].strip(): line[1 + index] for line in lines},
            "page of dagc compare": {cell[0]: cell[1 + index] for cell in cells},
            "dagc compare --format json": {f["name"]: f["values"][index]["value"] for f in document["figures"]},
            "texts in dagc compare --format json": {f["name"]: f["values"][index]["text"] for f in document["figures"]},
        }
        for name, table in shown.items():
            yield Output(name, one, list(in_table(table, COMPARED, one)))
        yield Output("verdict of dagc compare", one, _fits(plan["fits"], one))


def of_python(subject: Subject) -> Iterator[Output]:
    """The Python API: its summary, files and what a notebook shows."""
    plan = dagc.compile(subject.plan)
    for one in subject.summaries:
        strategy = plan[one.name]
        notebook = strategy._repr_html_()  # pyright: ignore[reportPrivateUsage]
        images = [b64decode(image).decode() for image in re.findall(r"base64,([\w+/=]+)", notebook)]
        yield _text(
            one, "notebook", plain(re.sub(r"</?small>|<style>.*?</style>", "", notebook, flags=re.DOTALL)), ANSWER
        )
        yield Output("Strategy.gpus", one, [Shown("gpus", strategy.gpus, "gpus")])
        found = _alike(records.plain(strategy.summary), one, None)
        if one.phases is not None:
            drawn = subject.file(one, "deployment.svg")
            files = {"graph.svg": strategy.svg(), "report.html": strategy.report()}
            found += [f"{name} is another" for name, text in files.items() if text != subject.file(one, name)]
            found += [] if drawn in images else ["the picture of the notebook is not deployment.svg"]
        yield Output("Python API", one, found)


def of_search(subject: Subject) -> Iterator[Output]:
    """A short search: the rows of the plan's own strategies, and the best plan that it found, compiled by itself."""
    sizes = [summary.gpus for summary in subject.summaries]
    least = ("--gpus", f"{min(sizes)}..{max(sizes)}", "--most", "1", "--workers", "1", "--over", "none")
    least = (*least, "-o", str(subject.directory))
    document = _document(run("search", str(subject.plan), *least, "--format", "json"))
    text = run("search", str(subject.plan), *least)
    for row in document["given"]:
        (one,) = (summary for summary in subject.summaries if summary.name == row["name"])
        yield Output("given rows of dagc search", one, list(in_table(_known(row["figures"]), SEARCHED, one)))
    best = (document["front"] or [document["nearest"]])[0]
    own = re.sub(r"^strategy .*\n", "", subject.plan.read_text(encoding="utf-8"), flags=re.MULTILINE)
    again = dagc.compile(f"{own}strategy found = {best['strategy']}\n")["found"].summary
    yield Output("best plan of dagc search", again, list(in_table(_known(best["figures"]), SEARCHED, again)))
    if document["front"]:
        table = text.partition("\nPareto front: ")[2].splitlines()[1:3]
        titles, values = (re.split(r" {2,}", line.strip()) for line in table)
        rows = dict(zip(titles, values, strict=True))
        yield Output("table of dagc search", again, list(in_table(rows, TABLE, again)))


def _known(figures: dict[str, Value | None]) -> dict[str, Value]:
    """Those that a search has."""
    return {name: value for name, value in figures.items() if value is not None}


def of_whatif(subject: Subject) -> Iterator[Output]:
    """What every change is measured by."""
    asked = ("whatif", str(subject.plan), "--only", "strategy")
    text, document = run(*asked), run(*asked, "--format", "json")
    for one, entry in _paired(subject, _document(document)["strategies"]):
        shown: dict[str, dict[str, Value]] = {
            "dagc whatif --format json": {metric["name"]: metric["value"] for metric in entry["metrics"]},
            "texts in dagc whatif --format json": {metric["name"]: metric["text"] for metric in entry["metrics"]},
        }
        for name, table in shown.items():
            yield Output(name, one, list(in_table(table, CHANGED, one)))
        yield Output("verdict of dagc whatif", one, _fits(entry["fits"], one))
        block = text.partition(f"{one.name}: ")[2]
        row = Place(rf"^baseline +(?P<ttft>{TIME})(?: +(?P<ttft_p99>{TIME}))? +(?P<tpot>{TIME}) ", when="tpot")
        first = "\n".join(block.splitlines()[:5])
        yield _text(one, "dagc whatif", first, [row, Place(rf"(?P<gpus>{COUNT}) GPUs?")])


ALL: Sequence[Callable[[Subject], Iterator[Output]]] = (
    of_compile, of_export, of_check, of_memory, of_compare, of_python
)  # fmt: skip
"""What each plan is asked for; searches and changes take longer."""


def _text(summary: Summary, name: str, text: str, places: Sequence[Place]) -> Output:
    return Output(name, summary, list(in_text(text, places, summary)))


def _document(printed: str) -> Any:
    return json.JSONDecoder().raw_decode(printed[printed.index("{") :])[0]


def _paired(subject: Subject, entries: Sequence[Any]) -> Iterator[tuple[Summary, Any]]:
    by_name = {entry["name"]: entry for entry in entries}
    yield from ((one, by_name[one.name]) for one in subject.summaries)


def _bare(row: str) -> str:
    """A row of a comparison without marks and changes."""
    return re.sub(r" [✓✗]|\([^)]*\)", "", row.replace("* ", "  ")).strip()


def _alike(document: Any, summary: Summary, part: str | None) -> list[Shown | str]:
    """Every key of a document that has not the value that the summary has."""
    own = records.plain(summary)
    expected = own if part is None else own[part]
    return [f"{key}: {document.get(key)}, not {value}" for key, value in expected.items() if document.get(key) != value]


def _fits(said: bool | None, summary: Summary) -> list[Shown | str]:
    expected = summary.memory.fits if summary.memory else None
    return [] if said is expected else [f"fits: {said}, not {expected}"]


def _of_graph(graph: Any, summary: Summary) -> Iterator[Shown | str]:
    yield Shown("gpus", graph["gpus"], "gpus")
    phases = {phase["name"]: phase for phase in graph["phases"]}
    yield Shown("drawn_prefill", phases["prefill"]["seconds"], "seconds of prefill")
    yield Shown("drawn_decode", phases["decode"]["seconds"], "seconds of decode")
    yield Shown("drawn_step", phases["decode"]["interval_seconds"], "interval_seconds of decode")


def _fullest_card(text: str) -> Shown | str:
    """What the card says whose memory is the fullest."""
    cards = re.findall(rf"memory ({BYTES}) of {BYTES}, ([\d.]+) %", text)
    if not cards:
        return "no card says its memory"
    fullest = max(cards, key=lambda card: float(card[1]))
    return Shown("memory", fullest[0], " of ".join(fullest))


def _judged(summary: Summary, printed: str, page: str) -> Iterator[Shown | str]:
    """Requirements and claims: the value that is judged, and its text wherever the verdict is."""
    for row in [*summary.requirements, *(claim for claim in summary.claims if claim.basis == "model")]:
        figure = JUDGED.get(row.name)
        if figure == "ttft" and summary.load:
            figure = "ttft_mean"
        if figure is None or row.actual_value is None or row.unit == "share":
            continue
        yield Shown(figure, row.actual_value, f"verdict on {row.name}")
        shown = rf"{re.escape(str(row.actual))}(?:, \w+ within error)?"
        if not re.search(rf": {shown} \(", printed) or not re.search(rf"\n{shown}\n", page):
            yield f"the verdict on {row.name} is not {row.actual} everywhere"
