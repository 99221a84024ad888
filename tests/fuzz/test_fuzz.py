"""The corpus passes; each kind of defect is noticed; inputs reach every command, and plans compile often enough."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from dagc.cli.devices import devices
from dagc.cli.main import COMMANDS
from tests.fuzz import judging
from tests.fuzz.cases import Case, corpus, from_text, to_text
from tests.fuzz.generate import arguments, case
from tests.fuzz.judging import judge
from tests.fuzz.plans import valid
from tests.fuzz.shrink import shrink

CORPUS = corpus()
LONG = {"whatif-dfd237c28b", "compare-9596175553"}
"""Cases that once took minutes, and take seconds."""


@pytest.mark.usefixtures("own_step_times")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in CORPUS]
)
def test_what_once_failed_is_judged_right(name: str) -> None:
    finding = judge(CORPUS[name], twice=True).finding
    assert finding is None, f"{finding.key}\n{finding.detail}"


def _raise() -> None:
    raise KeyError("heads")


def _loop() -> None:
    while True:
        pass


def _leave() -> None:
    Path(".plan.dagc-new").write_text("")


def _write(name: str, text: str) -> Callable[[], None]:
    def defect() -> None:
        Path(name).write_text(text)

    return defect


@pytest.mark.parametrize(
    ("defect", "key"),
    [
        (_raise, "KeyError"),
        (lambda: warnings.warn("overflow", RuntimeWarning, stacklevel=1), "RuntimeWarning"),
        (_loop, "over"),
        (_leave, "left"),
        (lambda: click.get_current_context().exit(3), "exit status 3"),
        (lambda: click.get_current_context().exit(2), "without a word"),
        (lambda: click.echo("TPOT nan ms"), "prints nan"),
        (lambda: click.echo("\x1b[2J"), "prints U+001B"),
        (lambda: click.echo("error[V201]: a rank twice", err=True), "verifier V201"),
        (lambda: click.echo("error[H101]: `ep 16`\n  = help: write", err=True), "H101 without its place"),
        (_write("graph.json", '{"seconds": NaN}'), "unreadable graph.json"),
        (_write("plan.svg", "<svg><g></svg>"), "unreadable plan.svg"),
        (_write("manifest.json", '{"outputs": {"x": {"manifest.json": {"sha256": ""}}}}'), "what the manifest says"),
        (lambda: click.echo(os.urandom(8).hex()), "differ"),
    ],
)
def test_a_defect_is_noticed(defect: Callable[[], None], key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "callback", lambda **_: defect())
    monkeypatch.setattr(judging, "SECONDS", 0.2)
    finding = judge(Case(("devices",), {}), twice=True).finding
    assert finding is not None and key in finding.key


def test_a_case_is_made_small() -> None:
    """From a file of 40 words, options and a second file to the one word that is to blame."""
    given = Case(
        ("check", "--format", "json", "plan.moe"),
        {"plan.moe": ("tp 4 < ep 2 >\n" * 10 + "blame\n").encode(), "other.moe": b"x"},
    )
    small = shrink(given, lambda one: b"blame" in one.files.get("plan.moe", b""))
    assert small.argv == ("check",) and list(small.files) == ["plan.moe"]
    assert small.files["plan.moe"].strip() == b"blame"


def test_inputs_are_the_same_for_a_seed_and_kept_as_they_are() -> None:
    made = [[case(random.Random(seed)) for seed in range(30)] for _ in range(2)]
    assert made[0] == made[1]
    assert [from_text(to_text(one)) for one in made[0]] == made[0]


def test_every_command_is_given_every_option() -> None:
    """But those that need a cluster, a browser or a port, and the processes of a search."""
    rng = random.Random(0)
    given = {name: {part for _ in range(400) for part in arguments(rng, name)} for name in COMMANDS}
    assert "--format" in given["export"] and "--fix" in given["check"] and "--resume" in given["search"]
    assert {case(rng).command for _ in range(4000)} == set(COMMANDS)


def test_many_plans_compile() -> None:
    """An input that is refused at its first line tests nothing behind it."""
    plans = [valid(random.Random(seed)) for seed in range(12)]
    outcomes = [judge(Case(("check", "plan.moe"), {"plan.moe": plan.encode()})) for plan in plans]
    assert sum(outcome.seen[1] == "0" for outcome in outcomes) >= 3
