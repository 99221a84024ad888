"""Every rule can fail: with its body taken away, its explain page no longer holds.

Rules are found by listing the packages of `dagc.check`, so that none is forgotten. A rule is taken out of the table
that runs it and one that finds nothing is put in; what readers, parser and sizes report is taken away by giving their
constant another code. The page's example must then miss its code. Codes that no plan can raise have tests of their
own, which must name them; those of the verifiers are sabotaged in `test_sabotage_verifiers.py`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest

import dagc.check
from dagc import check
from dagc.check import static
from dagc.diag.diagnostic import Code, Diagnostic
from tests.harness import explain
from tests.harness.expanded import fails
from tests.harness.modules import declared_codes
from tests.harness.places import EXPLAIN, ROOT

FAMILIES = (static.OF_FAULTS, static.OF_OPTIONS, *static.REFUSING, *static.ADVISING, "priced", "claims")
ELSEWHERE = Code("W999", "sabotaged")


def rules() -> list[ModuleType]:
    """Every module of a package of rules: it declares one code and checks it."""
    found = pkgutil.iter_modules(dagc.check.__path__, "dagc.check.")
    packages = [info.name for info in found if info.ispkg and info.name != "dagc.check.helpers"]
    names = [info.name for name in packages for info in pkgutil.iter_modules(import_module(name).__path__, f"{name}.")]
    return [import_module(name) for name in names]


RULES = rules()
OF_RULES = {module.CODE.code for module in RULES}
OTHERS = [(module, code) for module, code in declared_codes() if code.code not in OF_RULES]
PAGES = {path.stem: explain.read(path) for path in EXPLAIN.glob("*.md")}
WITH_PLANS = [(module, code) for module, code in OTHERS if PAGES[code.code].examples]
WITHOUT_PLANS = [(module, code) for module, code in OTHERS if not PAGES[code.code].examples]


def nothing(*_: object) -> Iterator[Diagnostic]:
    """A rule whose body was deleted."""
    yield from ()


def is_caught(page: explain.ExplainPage) -> bool:
    """Whether the example of a page no longer does as the page says; what goes on past a missing rule may break."""
    found: list[str] = []
    return fails(lambda: found.extend(explain.complaints(page))) or any(
        complaint.startswith(f"{page.code}, Example") for complaint in found
    )


def test_there_are_rules() -> None:
    assert len(RULES) > 60


def test_a_rule_is_run_from_one_table() -> None:
    """A rule in no table would never speak, one in two would speak twice."""
    entries = [rule for family in FAMILIES for rule in check.rules(family)]
    assert sorted(rule.__module__ for rule in entries) == sorted(module.__name__ for module in RULES)


@pytest.mark.parametrize("module", RULES, ids=lambda module: module.CODE.code)
def test_without_its_body_the_page_of_a_rule_fails(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGES[module.CODE.code]
    assert page.examples
    tables = {family: check.rules(family) for family in FAMILIES}
    left = {family: tuple(nothing if rule is module.check else rule for rule in tables[family]) for family in FAMILIES}
    monkeypatch.setattr(check, "rules", left.__getitem__)
    assert is_caught(page)


@pytest.mark.parametrize(("module", "code"), WITH_PLANS, ids=lambda part: part.code if isinstance(part, Code) else "")
def test_without_its_code_the_page_of_a_reader_fails(module: str, code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = import_module(module)
    (name,) = [name for name, value in vars(owner).items() if value is code]
    for place in modules_with(name, code):
        monkeypatch.setattr(place, name, ELSEWHERE)
    page = PAGES[code.code]
    assert is_caught(page)


def modules_with(name: str, code: Code) -> list[ModuleType]:
    """Every module that holds the constant, by import or by declaration."""
    every = [import_module(i.name) for i in pkgutil.walk_packages(dagc.__path__, "dagc.")]
    return [module for module in every if getattr(module, name, None) is code]


@pytest.mark.parametrize(
    ("module", "code"), WITHOUT_PLANS, ids=lambda part: part.code if isinstance(part, Code) else ""
)
def test_a_code_that_no_plan_raises_is_raised_in_a_test(module: str, code: Code) -> None:
    """Of the compiler's own invariants, and of files and arguments of the command line: by code or by constant."""
    constant = next(name for name, value in vars(import_module(module)).items() if value is code)
    assert any(code.code in text or (f"from {module} import" in text and constant in text) for text in TESTS)


TESTS = [
    path.read_text(encoding="utf-8")
    for folder in ("unit", "pages", "property", "harness")
    for path in (ROOT / "tests" / folder).iterdir()
    if path.suffix in (".py", ".md")
]
