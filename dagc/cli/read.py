"""`dagc read TEXT`: the strategies that a flat notation can mean, with their sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dagc.cli import completing
from dagc.cli.printing import exit_status, print_json, print_text, text_or_json
from dagc.diag.diagnostic import Diagnostic
from dagc.engines.registry import engine_names
from dagc.source import Source

if TYPE_CHECKING:
    from dagc.notation.readings import Reading, Readings

SCHEMA_VERSION = 1
_FACTS = ("model", "cluster")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, required=True, metavar="TEXT")
@click.option(
    "--engine",
    type=click.Choice(engine_names(), case_sensitive=False),
    help="Read TEXT as flags of this engine: --engine vllm.",
)
@click.option("--model", metavar="MODEL", shell_complete=completing.models,
              help="Check readings for a model: --model deepseek-v3, --model config.json.")  # fmt: skip
@click.option("--cluster", metavar="CLUSTER", shell_complete=completing.devices,
              help="Check readings for a cluster: --cluster 'h100-sxm x 64'.")  # fmt: skip
@click.option("--gpus", type=click.IntRange(min=1), help="Only readings of that many GPUs: --gpus 64.")
@text_or_json
def read(
    words: tuple[str, ...], engine: str | None, model: str | None, cluster: str | None, gpus: int | None, style: str
) -> None:
    """Show what TEXT, such as `TP2-EP4-PP2-DP2` or an engine's flags, can mean, and how many GPUs each reading has."""
    given = zip(_FACTS, (model, cluster), strict=True)
    blocks = tuple((name, Source(f"--{name}", text)) for name, text in given if text is not None)
    source = Source("TEXT", " ".join(words))
    from dagc.driver import read as driver

    found, diagnostics = driver.read(source, blocks, Path(), engine)
    _finish(found, diagnostics, gpus, style)


def _finish(found: Readings | None, diagnostics: tuple[Diagnostic, ...], gpus: int | None, style: str) -> NoReturn:
    shown = [] if found is None else [one for one in enumerate(found.readings, 1) if gpus in (None, one[1].gpus)]
    if style == "json":
        print_json(_document(found, shown, diagnostics))
    else:
        if found is not None:
            click.echo("\n".join(_text(found, shown, gpus)))
        print_text(diagnostics)
    raise SystemExit(exit_status(diagnostics))


def _text(found: Readings, shown: list[tuple[int, Reading]], gpus: int | None) -> Iterator[str]:
    count = len(found.readings)
    of_size = "" if gpus is None else f", {len(shown)} of them with {_gpus(gpus)}"
    yield f"{count} {'reading' if count == 1 else 'readings'}{of_size}"
    for number, reading in shown:
        yield ""
        yield from _reading(number, reading)
    yield ""
    yield "engines"
    yield from _engines(found)
    yield ""
    yield from _product(found)


def _reading(number: int, reading: Reading) -> Iterator[str]:
    yield f"{number}. {reading.strategy}   {_gpus(reading.gpus)}"
    rows = [("size", line) for line in reading.deployment.derivation]
    attention, experts = reading.sizes.attention, reading.sizes.experts
    rows.append(("attention", f"tp {attention.tp}, cp {attention.cp}, dp {attention.dp}"))
    if experts is not None:
        rows.append(("experts", f"tp {experts.tp}, ep {experts.ep}, dp {experts.dp}"))
    rows += [("assumes", sentence) for sentence in reading.assumes]
    rows += [("counted by", ", ".join(map(_title, reading.engines)))] if reading.engines else []
    rows += [(f"{problem.severity}", f"[{problem.code.code}] {problem.message}") for problem in reading.problems]
    yield from _table(rows)


def _table(rows: list[tuple[str, str]]) -> Iterator[str]:
    """Rows of a name and a line; a name that goes on is not repeated."""
    before = ""
    for name, line in rows:
        yield f"   {'' if name == before else name:11}{line}"
        before = name


def _engines(found: Readings) -> Iterator[str]:
    rows: list[tuple[str, str]] = []
    for engine, counted in found.counts.items():
        number = found.of_engine(engine)
        head = f"refuses: {counted.refusal}" if counted.world is None else _gpus(counted.world)
        rows.append((_title(engine), head if number is None else f"{head}, reading {number}"))
        rows += [("", f"  {step}") for step in counted.steps]
    width = max(len(name) for name, _ in rows)
    yield from (f"   {name:{width}}  {line}" for name, line in rows)


def _product(found: Readings) -> Iterator[str]:
    degrees = " × ".join(f"{degree.axis} {degree.value}" for degree in found.notation.degrees)
    yield f"multiplying every degree: {degrees} = {found.product}"
    engines = [_title(engine) for engine, counted in found.counts.items() if counted.world == found.product]
    same = [str(number) for number, reading in enumerate(found.readings, 1) if reading.gpus == found.product]
    by = f"{_listed(engines)} {_plural(engines, 'counts', 'count')} so" if engines else "no engine counts so"
    of_size = (
        f"of this size: {_plural(same, 'reading', 'readings')} {_listed(same)}" if same else "no reading has this size"
    )
    yield f"   {by}; {of_size}"


def _plural(names: list[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _gpus(count: int) -> str:
    return f"{count} GPU" if count == 1 else f"{count} GPUs"


def _title(engine: str) -> str:
    from dagc.engines.registry import get_engine

    return get_engine(engine).title


def _document(
    found: Readings | None, shown: list[tuple[int, Reading]], diagnostics: tuple[Diagnostic, ...]
) -> dict[str, Any]:
    from dagc.diag.jsonout import to_json

    head: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "diagnostics": [to_json(diagnostic) for diagnostic in diagnostics],
    }
    if found is None:
        return {**head, "degrees": {}, "readings": [], "engines": {}, "naive_product": None}
    return {
        **head,
        "degrees": {str(degree.axis): degree.value for degree in found.notation.degrees},
        "readings": [_reading_data(number, reading) for number, reading in shown],
        "engines": {engine: _engine_data(found, engine) for engine in found.counts},
        "naive_product": found.product,
    }


def _reading_data(number: int, reading: Reading) -> dict[str, Any]:
    from dagc.diag.jsonout import to_json
    from dagc.results.structure import structure

    shape = structure(reading.deployment)
    return {
        "number": number,
        "strategy": reading.strategy,
        **{name: getattr(shape, name) for name in ("gpus", "derivation", "replicas", "stages", "domains")},
        "assumes": reading.assumes,
        "engines": reading.engines,
        "diagnostics": [to_json(problem) for problem in reading.problems],
    }


def _engine_data(found: Readings, engine: str) -> dict[str, Any]:
    counted = found.counts[engine]
    return {
        "gpus": counted.world,
        "reading": found.of_engine(engine),
        "steps": counted.steps,
        "refusal": counted.refusal,
    }
