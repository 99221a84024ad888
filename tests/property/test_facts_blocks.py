"""Whatever stands in a block, its reader gives a value or says why not, and never raises."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dagc.facts import cluster, model, workload
from dagc.facts.cluster import declare_cluster
from dagc.facts.fields import Field
from dagc.facts.model import declare_model
from dagc.facts.workload import declare_workload
from dagc.source import Source
from dagc.syntax.parser import parse_fragment

NUMBERS = ("0", "1", "2", "3", "1.5", "-4", "7 B", "60 %", "200 %", "64 GB", "2 TB/s", "400 TFLOP/s", "3 us", "64 GX")
WORDS = ("yes", "no", "maybe", "bf16", "fp8", "mla", "gqa", "mha", "h20", "h21", '"a b"', "")
ODD = Field("colour")
Texts = st.SearchStrategy[str]


def value(field: Field) -> Texts:
    """Mostly a value that fits, for else hardly any block would be right as a whole."""
    fitting = "" if field.kind is None or field.name == "device" else field.example
    return st.sampled_from((*(fitting,) * 200, *NUMBERS, *WORDS))


def entry(field: Field) -> Texts:
    if not field.table:
        return value(field).map(lambda text: f"{field.name} {text}")
    return st.tuples(value(field), block(field.table)).map(lambda parts: f"{field.name} {parts[0]} {parts[1]}")


def block(fields: tuple[Field, ...]) -> Texts:
    """Text of a block with a few of the fields, now and then one twice or one that is unknown."""
    few = st.lists(st.sampled_from(fields), max_size=6, unique=True)
    several = few | few | few | st.lists(st.sampled_from((*fields, ODD)), max_size=6)
    entries = several.flatmap(lambda chosen: st.tuples(*map(entry, chosen)))
    return entries.map(lambda lines: "{\n" + "\n".join(lines) + "\n}")


def heads(*presets: str) -> Texts:
    return st.sampled_from(("", "demo", *presets, "deepsek-v3", "h100-sxmm", "a 3 b", "3"))


@given(heads("mixtral-8x7b", "gpt-oss-20b", "llama-3.1-8b", "deepseek-v3"), block(model.FIELDS))
def test_a_model_or_its_problems(head: str, body: str) -> None:
    tree, _ = parse_fragment("model", Source("--model", f"{head} {body}"))
    if tree is None:
        return
    spec, problems = declare_model(tree, Path())
    assert (spec is None) == bool(problems)
    if spec is not None:
        assert (spec.shapes() is None) == bool(spec.missing())


@given(heads("h100-sxm", "h20", "gb200-nvl72 x 64"), block(cluster.FIELDS))
def test_a_cluster_or_its_problems(head: str, body: str) -> None:
    tree, reported = parse_fragment("cluster", Source("--cluster", f"{head} {body}"))
    if tree is None:
        return
    found, problems = declare_cluster(tree)
    assert (found is None) == bool(problems) or (found is None and reported)
    if found is not None:
        assert found.device.memory_bytes > 0


@given(block(workload.FIELDS))
def test_a_workload_or_its_problems(body: str) -> None:
    """Files of the examples are not there."""
    tree, reported = parse_fragment("workload", Source("--workload", body))
    if tree is None:
        return
    found, problems = declare_workload(tree)
    assert (found is None) == bool(problems) or (found is None and reported)
    if found is not None:
        assert found.prompt > 0 and found.output > 0 and (not found.is_open or found.concurrency)
