"""Names and entries of benchmark recipes become strategies: one each, open where they omit something."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dagc.diag.diagnostic import Code, Diagnostic, Severity, in_order
from dagc.driver.front import stops
from dagc.driver.outcome import Blocks
from dagc.plan.deployment import Deployment
from dagc.source import Source
from dagc.syntax.printer import format_strategy
from dagc.units import counted, format_gpus

if TYPE_CHECKING:
    from dagc.degrees import Parallelism
    from dagc.notation.recipes import Recipe, Server

OPEN = Code("W148", "recipe-undetermined", Severity.WARNING)


@dataclass(frozen=True, slots=True, repr=False)
class RecipeReading:
    """What a recipe states: its strategy, with `…` in place of a cut that it leaves open.

    `gpus` are those of the servers whose cut is stated; `deployment` is None where one is open. `engines` are flags of
    each engine for a server, or why it refuses, by title and phase.
    """

    recipe: Recipe
    strategy: str
    gpus: int
    deployment: Deployment | None
    engines: tuple[tuple[str, str], ...]
    problems: tuple[Diagnostic, ...] = ()

    @property
    def open(self) -> tuple[Server, ...]:
        """Servers whose cut is not stated."""
        return tuple(server for server in self.recipe.servers if server.sizes is None)

    def row(self) -> dict[str, str | float | bool | None]:
        """Its strategy, its GPUs where no cut is open, engines that have it, what it states, and codes of problems."""
        return {
            "strategy": self.strategy,
            "gpus": None if self.open else self.gpus,
            "engines": ", ".join(name for name, line in self.engines if not line.startswith("refuses")),
            "assumes": "; ".join(self.recipe.says),
            "problems": ", ".join(problem.code.code for problem in self.problems),
        }


def read_recipes(
    source: Source, blocks: Blocks = (), directory: Path = Path()
) -> tuple[tuple[RecipeReading, ...], tuple[Diagnostic, ...]] | None:
    """The deployments of a text, and what is wrong or open; None for a text that is no recipe.

    With blocks, each is judged by the rules on degrees and sizes; nothing is priced.
    """
    from dagc.notation import recipes

    read = recipes.read_recipes(source)
    if read is None or isinstance(read, Diagnostic):
        return None if read is None else ((), (read,))
    found: list[Diagnostic] = []
    readings = [_reading(recipe, blocks, directory, found) for recipe in read]
    return tuple(one for one in readings if one), in_order(found)


def _reading(recipe: Recipe, blocks: Blocks, directory: Path, found: list[Diagnostic]) -> RecipeReading | None:
    parts = {server: _text(server, server.sizes) for server in recipe.servers}
    strategy = _joined(recipe, parts)
    gpus = sum(server.count * server.sizes.gpus for server in recipe.servers if server.sizes)
    if any(server.sizes is None for server in recipe.servers):
        found += (_open(recipe, server, parts) for server in recipe.servers if server.sizes is None)
        return RecipeReading(recipe, strategy, gpus, None, tuple(_engines(recipe)))
    from dagc.driver.read import judged

    deployment, problems, wrong = judged(strategy, blocks, directory)
    found += wrong
    if deployment is None or stops(list(wrong)):
        return None
    return RecipeReading(recipe, strategy, deployment.gpus, deployment, tuple(_engines(recipe)), problems)


def _text(server: Server, sizes: Parallelism | None) -> str:
    """The strategy of all servers of a kind, without its phase."""
    if sizes is None:
        return "…"
    from dagc.notation.spelling import spell

    one = format_strategy(spell(sizes, server.span))
    return one if server.count == 1 else f"dp {server.count} < {one} >"


def _joined(recipe: Recipe, parts: dict[Server, str]) -> str:
    if not any(server.phase for server in recipe.servers):
        return parts[recipe.servers[0]]
    return " | ".join(f"{server.phase} < {parts[server]} >" for server in recipe.servers)


def _open(recipe: Recipe, server: Server, parts: dict[Server, str]) -> Diagnostic:
    """What the deployment would be if these servers were cut as the others are."""
    name = f"{counted(server.count, 'server')} for {server.phase}"
    other = next((one for one in recipe.servers if one.sizes), None)
    notes: tuple[str, ...] = ()
    if other is not None and other.sizes is not None:
        like = _joined(recipe, {**parts, server: _text(server, other.sizes)})
        gpus = (server.count + other.count) * other.sizes.gpus
        notes = (f"cut as those for {other.phase}, the deployment is `{like}`: {format_gpus(gpus)}",)
    return OPEN.at(
        server.span,
        f"`{server.span.text}` counts {name} and does not say how each is cut",
        "any strategy",
        notes=notes,
        help=(f"write the cut behind it, such as `{server.span.text}_tp4`; its GPUs add up with the others",),
    )


def _engines(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """For each engine the flags of one server of each kind."""
    from dagc.engines.flags import write_flags
    from dagc.engines.registry import engines

    for engine in engines():
        for server in recipe.servers:
            if server.sizes is None:
                continue
            settings = engine.settings_of(server.sizes)
            is_refused = isinstance(settings, str)
            line = f"refuses: {settings}" if is_refused else " ".join(write_flags(engine.flags, settings)) or "no flag"
            yield f"{engine.title}{f', {server.phase}' if server.phase else ''}", line
