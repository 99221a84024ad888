"""The field machinery: what it takes, what it reports, and that it reports each thing once."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from dagc import facts
from dagc.diag.diagnostic import Diagnostic
from dagc.facts.fields import BlockFields, Field, FieldKind, read_fields
from dagc.source import Source
from dagc.syntax.parser import parse_fragment
from dagc.syntax.vocabulary import WORD_VALUED
from dagc.units import Dimension

FIELDS = (
    Field("layers", maximum=100, misnomers=("num_layers",)),
    Field("shared", minimum=0),
    Field("memory", FieldKind.QUANTITY, Dimension.BYTES),
    Field("share", FieldKind.QUANTITY, Dimension.SHARE),
    Field("gated", FieldKind.FLAG),
    Field("dtype", FieldKind.CHOICE, words=("bf16", "fp8")),
    Field("device", FieldKind.NAME, table=(Field("memory", FieldKind.QUANTITY, Dimension.BYTES),), optional=True),
    Field("attention", None, table=(Field("heads"),)),
    Field("window", then=(Field("every"),)),
)


def read(text: str) -> tuple[BlockFields, tuple[Diagnostic, ...]]:
    block, problems = parse_fragment("model", Source("--model", f"{{ {text} }}"))
    assert block is not None and block.body is not None, problems
    return read_fields(block.body, FIELDS, "model")


def good(text: str) -> BlockFields:
    record, problems = read(text)
    assert problems == ()
    return record


def bad(text: str) -> Diagnostic:
    _, (problem,) = read(text)
    return problem


def test_values_in_si_units() -> None:
    record = good("layers 16 memory 64 GB share 60 % gated yes dtype fp8 device h20")
    assert record.count("layers") == 16
    assert record.number("memory") == 64e9
    assert record.number("share") == pytest.approx(0.6)
    assert record.flag("gated") is True
    assert (record.word("dtype"), record.word("device")) == ("fp8", "h20")


def test_what_was_not_written_is_none() -> None:
    record = good("layers 16")
    assert "memory" not in record
    assert record.number("memory") is None
    assert record.count("shared") is None
    assert record.flag("gated") is None
    assert record.word("dtype") is None
    assert record.table("attention").count("heads") is None


def test_no_is_not_the_same_as_nothing_and_zero_neither() -> None:
    record = good("gated no shared 0")
    assert record.flag("gated") is False
    assert record.count("shared") == 0


@pytest.mark.parametrize(("text", "layers"), [("layers 0.05 K", 50), ("layers 16.0", 16), ("layers 12 layers", 12)])
def test_counts_may_carry_prefixes_and_nouns(text: str, layers: int) -> None:
    assert good(text).count("layers") == layers


def test_blocks_and_parts() -> None:
    record = good("attention { heads 32 }\n window 128 every 2\n device h20 { memory 96 GB }")
    assert record.table("attention").count("heads") == 32
    assert (record.count("window"), record.count("window_every")) == (128, 2)
    assert record.table("device").number("memory") == 96e9


def test_a_value_before_a_block_may_be_left_out_where_it_is_optional() -> None:
    record = good("device { memory 96 GB }")
    assert record.word("device") is None
    assert record.table("device").number("memory") == 96e9


def test_places_of_nested_fields_are_kept() -> None:
    spans = good("layers 16 attention { heads 32 }").spans()
    assert spans["layers"].text == "layers 16"
    assert spans["heads"].text == "heads 32"
    assert spans["attention"].text == "attention"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("layer 16", "N111", "layer"),
        ("attention { head 32 }", "N111", "head"),
        ("layers 16\n layers 32", "N112", "layers"),
        ("memory 64", "N113", "64"),
        ("memory 64 GB/s", "N113", "GB/s"),
        ("layers 16 GB", "N113", "GB"),
        ("layers 1.5", "N114", "1.5"),
        ("layers -3", "N114", "-3"),
        ("layers 0", "N114", "0"),
        ("layers 101", "N114", "101"),
        ("layers many", "N114", "many"),
        ("memory 0 GB", "N114", "0 GB"),
        ("memory all", "N114", "all"),
        ("share 101 %", "N114", "101 %"),
        ("gated maybe", "N114", "maybe"),
        ("gated 1", "N114", "1"),
        ("dtype bf61", "N114", "bf61"),
        ("device 3", "N114", "3"),
        ("layers", "N114", "layers"),
        ("attention", "N114", "attention"),
        ("attention 3 { heads 32 }", "N114", "3"),
        ("layers 16 { heads 32 }", "N114", "layers"),
        ("layers >= 16", "N114", "layers"),
        ("window 128 every", "N114", "every"),
        ("window 128 every 0", "N114", "0"),
        ("dtype bf16 fp8", "N114", "fp8"),
    ],
)
def test_what_does_not_fit(text: str, code: str, place: str) -> None:
    problem = bad(text)
    assert (problem.code.code, problem.span and problem.span.text) == (code, place)


def test_each_problem_once_and_all_of_them() -> None:
    _, problems = read("layers 1.5\n memory 64\n gated maybe\n colour 3")
    assert [p.code.code for p in problems] == ["N114", "N113", "N114", "N111"]


def test_what_is_reported_is_left_out() -> None:
    record, _ = read("layers 1.5\n shared 2")
    assert "layers" not in record
    assert record.count("shared") == 2


def test_an_unknown_unit_is_left_to_the_parser() -> None:
    record, problems = read("memory 64 GX")
    assert problems == ()
    assert "memory" not in record


@pytest.mark.parametrize("word", ["layer", "num_layers", "Layers"])
def test_the_nearest_field_is_offered_under_its_own_name(word: str) -> None:
    problem = bad(f"{word} 16")
    assert problem.help == ("did you mean `layers`?",)
    (fix,) = problem.fixes
    assert fix.edits[0].replacement == "layers"


def test_a_repetition_shows_the_first_statement() -> None:
    problem = bad("layers 16\n layers 32")
    assert problem.labels[0].span.text == "layers 16"


def test_the_syntax_knows_every_field_whose_value_is_a_word() -> None:
    """Else `collectives nccl link 450 GB/s` on one line would be read as three entries."""
    modules = [importlib.import_module(f"dagc.facts.{one.name}") for one in pkgutil.iter_modules(facts.__path__)]
    tables = [value for module in modules for value in vars(module).values() if isinstance(value, tuple)]
    fields = [one for table in tables for one in table if isinstance(one, Field)]
    worded = {one.name for one in fields if one.kind in (FieldKind.CHOICE, FieldKind.NAME, FieldKind.FLAG)}
    assert {"collectives", "dtype", "gated"} <= worded
    assert worded - WORD_VALUED == {"version"}, "a version is written as a string"
