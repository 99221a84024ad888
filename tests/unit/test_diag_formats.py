"""Formats for machines: JSON against its published schema, SARIF against that of OASIS, GitHub's commands by hand."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from sarif_pydantic import Sarif

from dagc.cli.main import main
from dagc.diag import github, sarif
from dagc.diag.diagnostic import Code, Edit, Fix, Label, Severity
from dagc.driver.check import check
from dagc.export.records import schema_bytes, schema_file
from dagc.results.summary import StructureRecord, Summary
from dagc.source import Source
from tests.harness import explain
from tests.harness.places import EXPLAIN

SARIF = json.loads((Path(__file__).parent / "schemas" / "sarif-2.1.0-part.json").read_text(encoding="utf-8"))
PAGES = sorted(EXPLAIN.glob("*.md"))
CODE = Code("D203", "ep-exceeds-experts")
PLAN = Source("dir/a plan,1:2.moe", "é 𝔭p 8\n< ep 32 >\n")
"""The second character lies outside of the basic plane: one character, two UTF-16 units, four bytes."""


def example() -> Any:
    place = PLAN.span(9, 14)
    return CODE.at(
        place, "100 % of it:\r\nbad, very", "here", labels=(Label(PLAN.span(2, 6), "of these"),),
        notes=("n",), help=("h",),
        fixes=(Fix("use `ep 16`", (Edit(PLAN.span(12, 14), "16"),), safe=False),),
    )  # fmt: skip


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["check", *arguments])
    return result.exit_code, result.stdout


# GitHub


def test_a_github_command_by_hand() -> None:
    """In a property `%`, `:` and `,` are escaped, in the message `%` and line ends; a control is shown, not sent."""
    assert github.render([example()]) == (
        "::error file=dir/a plan%2C1%3A2.moe,line=2,col=3,endLine=2,endColumn=8,title=D203 ep-exceeds-experts"
        "::100 %25 of it:\\x0d%0Abad, very (here)%0Anote: n%0Ahelp: h"
    )


def test_a_github_command_without_a_place() -> None:
    warning = Code("W101", "layers-uneven", Severity.WARNING).at(None, "m")
    assert github.render([warning, warning]) == "\n".join(["::warning title=W101 layers-uneven::m"] * 2)


# SARIF


def schema_complaints(log: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft4Validator(SARIF).iter_errors(log)]


def test_sarif_places_count_characters() -> None:
    log = sarif.to_sarif([example()], "1.0")
    (run,) = log["runs"]
    (result,) = run["results"]
    assert schema_complaints(log) == []
    assert run["columnKind"] == "unicodeCodePoints"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "dir/a%20plan%2C1%3A2.moe"
    assert place["region"] == {"startLine": 2, "startColumn": 3, "endLine": 2, "endColumn": 8}
    (related,) = result["relatedLocations"]
    assert related["physicalLocation"]["region"] == {"startLine": 1, "startColumn": 3, "endLine": 1, "endColumn": 7}
    (fix,) = result["fixes"]
    assert fix["properties"] == {"applicability": "unsafe"}
    assert fix["artifactChanges"][0]["replacements"] == [
        {
            "deletedRegion": {"startLine": 2, "startColumn": 6, "endLine": 2, "endColumn": 8},
            "insertedContent": {"text": "16"},
        }
    ]


def test_sarif_names_its_rules_once_and_in_order() -> None:
    other = Code("D103", "stages-exceed-layers").at(None, "m")
    (run,) = sarif.to_sarif([example(), other, example()], "1.0")["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["D103", "D203"]
    assert [result["ruleIndex"] for result in run["results"]] == [1, 0, 1]


def test_sarif_of_advice_that_was_denied() -> None:
    """The rule keeps its own level, the result has the one of this run."""
    status, out = run("-e", "tp 16", "--model", "mixtral-8x7b", "--cluster", "h100-sxm x 16", "--deny", "W105",
                      "--format", "sarif")  # fmt: skip
    (log,) = json.loads(out)["runs"]
    assert status == 1
    assert [result["level"] for result in log["results"]] == ["error"]
    assert log["tool"]["driver"]["rules"][0]["defaultConfiguration"] == {"enabled": True, "level": "warning"}


def test_the_schema_refuses_what_is_no_log() -> None:
    log = sarif.to_sarif([example()], "1.0")
    assert schema_complaints({**log, "version": "2.0.0"})
    assert schema_complaints({**log, "tool": {}})
    log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    assert schema_complaints(log)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_diagnostic_is_valid_in_every_format(path: Path) -> None:
    """Over the examples of all explain pages: SARIF and JSON pass their schemas, GitHub takes a line each."""
    for plan in explain.read(path).examples:
        found = check(Source("plan.moe", plan)).diagnostics
        assert schema_complaints(sarif.to_sarif(found, "1.0")) == []

        lines = github.render(found).split("\n")
        assert len(lines) == len(found)
        assert all(re.fullmatch(r"::(error|warning) (\w+=[^,:]*,)*title=[^,:]*::[^\r\n]+", line) for line in lines)


def test_others_read_what_we_write_as_sarif() -> None:
    """Models of the whole of 2.1.0 that others wrote; they refuse what lacks a field and keep what they read."""
    log = sarif.to_sarif([example()], "1.0")
    read = Sarif.model_validate(log)
    result = (read.runs[0].results or [])[0]
    assert (read.version, result.rule_id) == ("2.1.0", example().code.code)
    del log["runs"][0]["results"][0]["message"]
    with pytest.raises(ValidationError):
        Sarif.model_validate(log)


# JSON


def json_complaints(document: Any) -> list[str]:
    schema = json.loads(schema_file("check").read_text(encoding="utf-8"))
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)]


def test_the_published_schema_is_that_of_the_models() -> None:
    """When this fails, a model has changed: `python -m dagc.export.records` writes the schema anew."""
    assert schema_file("check").read_bytes() == schema_bytes("check")


def test_a_strategy_is_a_summary_up_to_domains() -> None:
    names = [field.name for field in fields(Summary)]
    assert names[: names.index("domains") + 1] == ["schema_version", *(field.name for field in fields(StructureRecord))]


@pytest.mark.parametrize(
    "plan",
    ["pp 4 < ep 16 ; tp 2 >", "prefill < ep 8 > | decode < tp 2 >", "pp 4 [mircro 2]", "pp <", "tp 2 < ep 4 >"],
)
def test_the_json_of_a_check_passes_its_schema(plan: str) -> None:
    _, out = run("-e", plan, "--format", "json")
    document = json.loads(out)
    assert json_complaints(document) == []
    assert json_complaints({**document, "extra": 1})


# The list of codes


def test_the_rules_command_lists_a_family_and_says_what_is_off() -> None:
    result = CliRunner().invoke(main, ["rules", "w", "--format", "json"])
    rules = json.loads(result.stdout)["rules"]
    assert {rule["family"] for rule in rules} == {"advice"}
    (one,) = [rule for rule in rules if rule["code"] == "W105"]
    assert one == {
        "code": "W105",
        "name": "tp-across-nodes",
        "family": "advice",
        "severity": "warning",
        "default": True,
        "summary": "A tp group spans more than one node.",
    }
    shown = CliRunner().invoke(main, ["rules", "W"]).stdout.splitlines()
    assert len(shown) == len(rules)
    assert CliRunner().invoke(main, ["rules", "Q"]).exit_code == 2
