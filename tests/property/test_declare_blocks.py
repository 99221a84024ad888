"""Whatever stands in a block, its reader gives a value or says why not, and never raises."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dagc.declare import cluster, model, model_parts
from dagc.declare.cluster import declare_cluster
from dagc.declare.fields import Field
from dagc.declare.model import declare_model
from dagc.source import Source
from dagc.syntax.parser import parse_fragment

VALUES = (
    "0",
    "1",
    "2",
    "3",
    "8",
    "1.5",
    "-4",
    "7 B",
    "60 %",
    "200 %",
    "64 GB",
    "2 TB/s",
    "400 TFLOP/s",
    "3 us",
    "64 GX",
)
WORDS = ("yes", "no", "maybe", "bf16", "fp8", "mla", "gqa", "mha", "h20", "h21", '"a b"', "")


def names(fields: tuple[Field, ...]) -> st.SearchStrategy[str]:
    return st.sampled_from((*(f.name for f in fields), "colour"))


def entries(fields: tuple[Field, ...], nested: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    value = st.sampled_from((*VALUES, *WORDS))
    entry = st.tuples(names(fields), value, st.just("") | st.just("") | nested).map(" ".join)
    return st.lists(entry, max_size=8).map("\n".join)


def block(fields: tuple[Field, ...], *inner: tuple[Field, ...]) -> st.SearchStrategy[str]:
    """Text of a block whose entries may hold blocks of any of the inner kinds."""
    nested = st.one_of(*(entries(f, st.just("")).map(lambda text: f"{{\n{text}\n}}") for f in inner))
    return entries(fields, nested).map(lambda text: f"{{\n{text}\n}}")


heads = st.sampled_from(
    ("", "demo", "mixtral-8x7b", "gpt-oss-20b", "deepsek-v3", "h100-sxm", "h100-sxm x 64", "a 3 b", "3")
)


@given(heads, block(model.FIELDS, model_parts.ATTENTION, model_parts.EXPERTS))
def test_a_model_or_its_problems(head: str, body: str) -> None:
    tree, _ = parse_fragment("model", Source("--model", f"{head} {body}"))
    if tree is None:
        return
    spec, problems = declare_model(tree, Path())
    assert (spec is None) == bool(problems) or "GX" in body
    if spec is not None:
        assert (spec.shapes() is None) == bool(spec.missing())


@given(heads, block(cluster.FIELDS, cluster.DEVICE, cluster.COMPUTE))
def test_a_cluster_or_its_problems(head: str, body: str) -> None:
    tree, _ = parse_fragment("cluster", Source("--cluster", f"{head} {body}"))
    if tree is None:
        return
    found, problems = declare_cluster(tree)
    assert (found is None) == bool(problems) or "GX" in body
    if found is not None:
        assert found.device.memory_bytes > 0
