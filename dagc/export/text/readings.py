"""What a text of degrees, flags or a recipe means, for a terminal: the answer first, then what it rests on.

The first line has the strategy, its GPUs and the verdict on what is claimed. Engines follow, and then every reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dagc.engines.registry import get_engine
from dagc.export.text.context import MARKS
from dagc.notation.readings import JudgedClaim, Reading, Readings
from dagc.units import counted, format_gpus

if TYPE_CHECKING:
    from dagc.diag.diagnostic import Diagnostic
    from dagc.notation.recipes import Recipe

_VERDICTS = {True: "true", False: "false", None: "undetermined"}

Numbered = tuple[int, Reading]
"""A reading and its number."""


def readings_text(found: Readings, shown: Sequence[Numbered], gpus: int | None) -> Iterator[str]:
    """Lines about a notation; `shown` are its readings of so many GPUs, of any number where `gpus` is None."""
    yield _answer(found, shown, gpus)
    if found.claims:
        yield ""
        yield "claims"
        yield from (f"   {MARKS[one.ok]} {one.claim.span.text.strip()}: {one.found}" for one in found.claims)
    yield ""
    yield "engines"
    yield from _engines(found)
    yield ""
    yield from _product(found)
    yield ""
    of_size = "" if gpus is None else f", {len(shown)} of them with {format_gpus(gpus)}"
    yield f"{counted(len(found.readings), 'reading')}{of_size}"
    for number, reading in shown:
        yield ""
        yield from _reading(number, reading)


def _answer(found: Readings, shown: Sequence[Numbered], gpus: int | None) -> str:
    """The likeliest reading that is shown, and what became of the claims."""
    one = found.likeliest if any(reading is found.likeliest for _, reading in shown) else None
    one = one or (shown[0][1] if shown else None)
    if one is None:
        return f"no reading has {format_gpus(gpus or 0)}"
    own = found.notation.engine
    many = "" if len(found.readings) == 1 else f", likeliest of {len(found.readings)} readings"
    many = f", as {_title(own)} counts" if own is not None and own in one.engines else many
    if gpus is not None:
        many = ", the only reading of that size" if len(shown) == 1 else f", likeliest of {len(shown)} of that size"
    return f"{one.strategy}   {format_gpus(one.gpus)}{many}{''.join(map(_claimed, found.claims))}"


def _claimed(one: JudgedClaim) -> str:
    return f"; {one.claim.span.text.strip()} claimed: {_VERDICTS[one.ok]}"


def recipe_text(
    recipe: Recipe,
    answer: tuple[str, int, bool],
    engines: Sequence[tuple[str, str]],
    problems: Sequence[Diagnostic],
) -> Iterator[str]:
    """Lines about one recipe; `answer` are its strategy, its GPUs, and whether these are all."""
    strategy, gpus, is_whole = answer
    yield f"{strategy}   {format_gpus(gpus)}{'' if is_whole else ' and those of the servers that are left open'}"
    yield from _table(
        [
            *([("entry", recipe.title)] if recipe.title != strategy else []),
            *(("states", one) for one in recipe.says),
            *((f"{one.severity}", f"[{one.code.code}] {one.message}") for one in problems),
        ]
    )
    yield "   engines, flags of one server"
    width = max((len(name) for name, _ in engines), default=0)
    yield from (f"      {name:{width}}  {line}" for name, line in engines)


def _reading(number: int, reading: Reading) -> Iterator[str]:
    yield f"{number}. {reading.strategy}   {format_gpus(reading.gpus)}"
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
    for engine, count in found.counts.items():
        number = found.of_engine(engine)
        head = f"refuses: {count.refusal}" if count.world is None else format_gpus(count.world)
        rows.append((_title(engine), head if number is None else f"{head}, reading {number}"))
        rows += [("", f"  {step}") for step in count.steps]
    width = max(len(name) for name, _ in rows)
    yield from (f"   {name:{width}}  {line}" for name, line in rows)


def _product(found: Readings) -> Iterator[str]:
    degrees = " × ".join(f"{degree.axis} {degree.value}" for degree in found.notation.degrees)
    yield f"multiplying every degree: {degrees} = {found.product}"
    engines = [_title(engine) for engine, count in found.counts.items() if count.world == found.product]
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


def _title(engine: str) -> str:
    return get_engine(engine).title
