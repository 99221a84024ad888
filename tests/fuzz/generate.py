"""Cases for every command: arguments from the command's own parameters, and every file that they name."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import PurePath

import click

from dagc.catalog.presets import device_names, model_names
from dagc.cli.main import COMMANDS
from dagc.diag import glossary
from tests.fuzz import documents, mutate
from tests.fuzz.cases import Case
from tests.fuzz.plans import CALIBRATION, CONFIG, any_strategy, blocks, plan

CHEAP = {
    "check": 5,
    "compile": 4,
    "export": 3,
    "fmt": 2,
    "memory": 2,
    "launch": 2,
    "compare": 2,
    "read": 3,
    "models": 4,
}
COSTLY = {
    "fit": 4,
    "validate": 3,
    "trace-diff": 2,
    "whatif": 1,
    "search": 2,
    "explain": 0.3,
    "watch": 0.3,
    "devices": 0.1,
    "rules": 0.1,
    "completion": 0.1,
}
WEIGHTS = {**CHEAP, **COSTLY}
"""How often each command runs, by what it reads and what it costs; once where it is not in here."""

PLAN, CASES, TABLE, RECORD = "plan.moe", "cases.csv", "table.csv", "record.jsonl"
RESULT, TRACE = "run.json", "trace.json"

FILES: dict[str, Callable[[random.Random], str]] = {
    PLAN: plan,
    "other.moe": plan,
    CONFIG: documents.config,
    CALIBRATION: documents.calibration,
    CASES: documents.cases,
    TABLE: documents.table,
    "more.csv": documents.table,
    RECORD: documents.record,
    RESULT: documents.result,
    TRACE: documents.trace,
}

MUTATE: dict[str, Callable[[random.Random, str], str]] = {
    ".moe": mutate.text,
    ".json": mutate.document,
    ".csv": mutate.table,
    ".jsonl": mutate.text,
}

PATHS = {
    "plan": [*[PLAN] * 8, "-", "missing.moe", "."],
    "plans": [PLAN, PLAN, "other.moe"],
    "tables": [TABLE, TABLE, "more.csv", CASES, RESULT],
    "runs": [RESULT, RESULT, CASES],
    "trace": [TRACE],
    "cases": [CASES],
    "resume": [RECORD, "new.jsonl"],
    "page": ["page.html", "no/page.html"],
    "output": ["made", "made", PLAN, "a/b"],
    "name": [CONFIG, CONFIG, CONFIG, CALIBRATION],
}
"""Files that an option or argument names, by the name of its parameter."""

INTEGERS = ["0", "1", "2", "3", "7", "8", "16", "100", "-1", "4096", "10000000", "9" * 30, "1.5", "x", ""]

FLAT = [
    *("tp", "EP", "pp=", "dp:", "cp", "etp", "8", "16", "0", "-", "_", ",", " ", "x", "way", "²", "9" * 30, "'", '"'),
    *("vllm serve m", "-tp 2", "--tp-size", "--tp-size 4", "--enable-expert-parallel", "--enable-dp-attention", "--ep"),
    *("tensor parallel", "--moe_tp_size=2", "--nnodes 4", "--nproc-per-node 8", "TP2-EP4-PP2-DP2", "tp 8, dp 8", "="),
    *("tp 2", "ep 8", "pp 3", "dp 4", "DP8", "TP8", "1P1D", "x2", "\n", "--data-parallel-size 8", "-pp 2"),
]


def block_text(rng: random.Random, name: str) -> str:
    """Text of an option that gives a block."""
    known = {
        "model": [*model_names(), CONFIG],
        "cluster": [f"{one} x 8" for one in device_names()],
        "engine": ["vllm", "sglang", "trtllm", "megatron", "vllm@0.11.0", "vllm@"],
    }.get(name, [])
    given = rng.choice([*known, *blocks(name), "{}"])
    return mutate.text(rng, given, 2) if rng.random() < 0.3 else given


CODES = ["W101", "W105,W142", "H101", "D999", "wasted-ranks", "W", ","]
NAMES = ["main", "s0", "s1", "collectives", "dot"]
WORDS: dict[str, Sequence[str]] = {
    "ranks": ["all", "0", "0-7", "3,5", "7-3", "0-999999999999", "-", ",", "1,,2"],
    "batch": ["64", "1,2,4", "0", "1,", "9" * 30],
    "over": ["all", "none", "phase-pools", "layers", "all,none", "batch", "prompt"],
    "topic": [*CODES, *glossary.names(), "expert  parallelism", "EPLB"],
    "allow": CODES,
    "warn": CODES,
    "deny": CODES,
    "device": device_names(),
    "relative": device_names(),
    "kind": [*NAMES, "results", "load", "serving"],
    "strategy": NAMES,
    "renderer": NAMES,
    "metric": ["tpot", "ttft", "throughput", "memory"],
}
"""Values of an option or argument, by the name of its parameter."""


def _string(rng: random.Random, name: str) -> str:
    """Value of an option or argument that is a text."""
    match name:
        case "expression" | "against":
            return any_strategy(rng) if rng.random() < 0.7 else mutate.text(rng, any_strategy(rng), 2)
        case "model" | "cluster" | "workload" | "require" | "engine" | "rules":
            return block_text(rng, name)
        case "text":
            return rng.choice(("", " ", "", ", ")).join(rng.choices(FLAT, k=rng.randint(0, 8)))
        case _:
            return mutate.something(rng) if rng.random() < 0.1 else rng.choice(WORDS.get(name) or model_names())


def _value(rng: random.Random, parameter: click.Parameter) -> str:
    kind, name = parameter.type, parameter.name or ""
    if isinstance(parameter, click.Option) and parameter.name == "name":
        return _string(rng, "device")
    if name in PATHS and rng.random() < 0.97:
        return rng.choice(PATHS[name]) if name != "name" or rng.random() < 0.7 else _string(rng, name)
    if isinstance(kind, click.Choice) and rng.random() < 0.97:
        return str(rng.choice(list(kind.choices)))
    if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        return rng.choice(INTEGERS)
    return _string(rng, name)


@cache
def command_of(name: str) -> click.Command:
    """The click command of a name."""
    module = name.replace("-", "_")
    return getattr(import_module(f"dagc.cli.{module}"), module)


SKIPPED = ("help", "opens_browser", "dask", "workers", "port")
"""Options that need a browser, a cluster or a port, or that start processes."""


def arguments(rng: random.Random, name: str) -> list[str]:
    """A command line of a command, by its parameters."""
    share = rng.choice((0.0, 0.05, 0.15))
    options = [one for one in command_of(name).params if isinstance(one, click.Option) and one.name not in SKIPPED]
    chosen = [one for one in options if one.required or rng.random() < share]
    made = [name]
    for option in chosen:
        values = [] if option.is_flag else [_value(rng, option) for _ in range(option.nargs)]
        made += [max(option.opts, key=len), *values]
    for argument in command_of(name).params:
        is_given = argument.required or rng.random() < 0.95
        is_given = is_given and not (argument.name == "plan" and any(one.name == "expression" for one in chosen))
        if isinstance(argument, click.Argument) and is_given:
            made += [_value(rng, argument) for _ in range(rng.choice((1, 1, 2)) if argument.nargs == -1 else 1)]
    if name == "search":
        made += ["--workers", "1", "--gpus", rng.choice(("1", "2", "4", "8")), "--most", rng.choice(("1", "3", "8"))]
    return [_argument(part) for part in made]


def _argument(text: str) -> str:
    """A text that the system takes as an argument."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def case(rng: random.Random) -> Case:
    """A new case: a command line and every file that it names."""
    name = rng.choices(list(COMMANDS), [WEIGHTS.get(name, 1) for name in COMMANDS])[0]
    argv = arguments(rng, name)
    files: dict[str, bytes] = {}
    _complete(rng, argv, files)
    stdin = plan(rng).encode("utf-8", "replace") if "-" in argv else b""
    return Case(tuple(argv), files, stdin)


def _complete(rng: random.Random, argv: list[str], files: dict[str, bytes]) -> None:
    """Make the files that the arguments and other files name and that are not there."""
    for name, make in FILES.items():
        named = any(name in part for part in argv) or any(f'"{name}"'.encode() in content for content in files.values())
        if named and name not in files:
            made = make(rng).encode("utf-8", "surrogatepass")
            files[name] = mutate.raw(rng, made) if rng.random() < 0.03 else made


def variant(rng: random.Random, given: Case) -> Case:
    """A case with one part of it edited."""
    argv, files = list(given.argv), dict(given.files)
    if files and rng.random() < 0.8:
        name = rng.choice(list(files))
        files[name] = _edited(rng, name, files[name])
    elif rng.random() < 0.5:
        argv = arguments(rng, given.command) if given.command in COMMANDS else argv
    elif argv[1:]:
        at = rng.randrange(1, len(argv))
        argv[at] = _argument(mutate.text(rng, argv[at], 1))
    _complete(rng, argv, files)
    return Case(tuple(argv), files, given.stdin)


def _edited(rng: random.Random, name: str, content: bytes) -> bytes:
    """A file after an edit of its kind, or of its bytes."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return mutate.raw(rng, content)
    if rng.random() < 0.05:
        return mutate.raw(rng, content)
    return MUTATE[PurePath(name).suffix](rng, text).encode("utf-8", "surrogatepass")
