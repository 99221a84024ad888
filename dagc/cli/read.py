"""`dagc read TEXT`: the strategies that a flat notation can mean, with their sizes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dagc.cli import completing
from dagc.cli.printing import exit_status, print_json, print_text, text_or_json
from dagc.diag.diagnostic import Diagnostic
from dagc.engines.registry import engine_names
from dagc.source import Source

if TYPE_CHECKING:
    from dagc.driver.recipes import RecipeReading
    from dagc.notation.readings import Reading, Readings
    from dagc.notation.recipes import Server

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
    """Show what TEXT can mean as strategies, and how many GPUs each has.

    TEXT is a notation such as `TP2-EP4-PP2-DP2`, flags of an engine, an entry or a name of a benchmark recipe, with
    claims behind it (`→ 128 GPUs`); or a file with it, or `-`.
    """
    given = zip(_FACTS, (model, cluster), strict=True)
    blocks = tuple((name, Source(f"--{name}", text)) for name, text in given if text is not None)
    source = _source(words)
    from dagc.driver import read as driver
    from dagc.driver.recipes import read_recipes

    recipes = None if engine else read_recipes(source, blocks)
    if recipes is not None:
        _finish_recipes(*recipes, gpus, style)
    found, diagnostics = driver.read(source, blocks, Path(), engine)
    _finish(found, diagnostics, gpus, style)


def _source(words: tuple[str, ...]) -> Source:
    """The words as one text; a single word may be the name of a file, or `-`."""
    text = " ".join(words)
    if len(words) > 1 or not (text == "-" or (Path(text).suffix and Path(text).is_file())):
        return Source("TEXT", text)
    from dagc.cli.inputs import required_input

    return required_input(text, None, {}).source


def _finish(found: Readings | None, diagnostics: tuple[Diagnostic, ...], gpus: int | None, style: str) -> NoReturn:
    shown = [] if found is None else [one for one in enumerate(found.readings, 1) if gpus in (None, one[1].gpus)]
    if style == "json":
        print_json(_document(found, shown, diagnostics))
    else:
        if found is not None:
            from dagc.export.text.readings import readings_text

            _print(readings_text(found, shown, gpus))
        print_text(diagnostics)
    raise SystemExit(exit_status(diagnostics))


def _finish_recipes(
    found: tuple[RecipeReading, ...], diagnostics: tuple[Diagnostic, ...], gpus: int | None, style: str
) -> NoReturn:
    shown = [one for one in found if gpus in (None, one.gpus)]
    if style == "json":
        print_json({**_document(None, [], diagnostics), "recipes": [_recipe_data(one) for one in shown]})
    else:
        from dagc.export.text.readings import recipe_text

        for number, one in enumerate(shown):
            answer = (one.strategy, one.gpus, not one.open)
            _print([*([""] if number else []), *recipe_text(one.recipe, answer, one.engines, one.problems)])
        print_text(diagnostics)
    raise SystemExit(exit_status(diagnostics))


def _print(lines: Iterable[str]) -> None:
    from dagc.diag.text import escape

    click.echo("\n".join(map(escape, lines)))


def _document(
    found: Readings | None, shown: list[tuple[int, Reading]], diagnostics: tuple[Diagnostic, ...]
) -> dict[str, Any]:
    from dagc.diag.jsonout import to_json

    head: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "diagnostics": [to_json(diagnostic) for diagnostic in diagnostics],
    }
    if found is None:
        return {
            **head,
            "answer": None,
            "claims": [],
            "degrees": {},
            "readings": [],
            "engines": {},
            "naive_product": None,
        }
    return {
        **head,
        "answer": {"strategy": found.likeliest.strategy, "gpus": found.likeliest.gpus} if found.readings else None,
        "claims": [{"claim": one.claim.entry, "ok": one.ok, "found": one.found} for one in found.claims],
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


def _recipe_data(one: RecipeReading) -> dict[str, Any]:
    from dagc.diag.jsonout import to_json

    return {
        "title": one.recipe.title,
        "strategy": None if one.open else one.strategy,
        "gpus": None if one.open else one.gpus,
        "servers": [_server_data(server) for server in one.recipe.servers],
        "states": list(one.recipe.says),
        "engines": [{"engine": name, "flags": line} for name, line in one.engines],
        "diagnostics": [to_json(problem) for problem in one.problems],
    }


def _server_data(server: Server) -> dict[str, Any]:
    gpus = server.sizes.gpus if server.sizes else None
    return {"phase": server.phase or "both", "count": server.count, "gpus": gpus}
