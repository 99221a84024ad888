"""Plan files: statements, and where the entries of a block begin and end."""

from __future__ import annotations

from dagc.source import Source
from dagc.syntax.parser import parse, parse_fragment
from dagc.syntax.printer import format_plan
from dagc.syntax.tree import Block, Entry, PlanFile, Value, Word


def plan(text: str) -> PlanFile:
    parsed = parse(Source("plan.moe", text))
    assert parsed.diagnostics == ()
    assert parsed.file is not None
    return parsed.file


def shown(value: Value) -> str:
    if isinstance(value, Word):
        return value.text
    return f"{value.value}" if value.unit is None else f"{value.value}<{value.unit}>"


def entries(body: tuple[Entry, ...] | None) -> list[str]:
    """Each entry as `name comparison values {entries}`, units in angle brackets."""
    lines: list[str] = []
    for entry in body or ():
        parts = [entry.name, *([entry.comparison] if entry.comparison else []), *map(shown, entry.values)]
        parts += ["{" + ", ".join(entries(entry.body)) + "}"] if entry.body is not None else []
        lines.append(" ".join(parts))
    return lines


def body(text: str) -> list[str]:
    return entries(plan(f"model m {{ {text} }}").blocks[0].body)


def test_statements_in_any_order() -> None:
    file = plan(
        'claims a { gpus 4 }\nstrategy a = ep 4\ncluster h100-sxm x 64\nmodel "config.json"\n'
        "require { ttft <= 10 s }\nworkload { batch 8 }\ntp 2"
    )
    assert [block.keyword for block in file.blocks] == ["claims", "cluster", "model", "require", "workload"]
    assert [strategy.name for strategy in file.strategies] == ["a", "main"]
    assert [shown(v) for v in file.blocks[1].head] == ["h100-sxm", "x", "64"]
    config = file.blocks[2].head[0]
    assert isinstance(config, Word)
    assert (config.text, config.quoted) == ("config.json", True)
    assert file.strategies[0].name_span is not None
    assert file.strategies[1].name_span is None


def test_statements_of_one_line() -> None:
    file = plan("model llama-3.1-70b cluster h100-sxm x 64 workload { batch 3 } ep 4")
    assert [shown(v) for b in file.blocks for v in b.head] == ["llama-3.1-70b", "h100-sxm", "x", "64"]
    assert file.strategies[0].span.text == "ep 4"


def test_a_head_ends_with_its_line() -> None:
    file = plan("model qwen3-235b-a22b\n{ layers 4 }\ncluster b200-sxm\ndp 2 < ep 4 >")
    assert [b.span.text for b in file.blocks] == ["model qwen3-235b-a22b\n{ layers 4 }", "cluster b200-sxm"]


def test_entries_of_one_line() -> None:
    assert body("layers 16    hidden 2048 vocab 128256 dtype bf16 experts 16 { top 2 gated yes } first_dense 0") == [
        "layers 16",
        "hidden 2048",
        "vocab 128256",
        "dtype bf16",
        "experts 16 {top 2, gated yes}",
        "first_dense 0",
    ]


def test_word_values_are_told_from_names() -> None:
    assert body("attention { kind mla kv_lora 512 }") == ["attention {kind mla, kv_lora 512}"]
    assert body("routing expert choice gated yes") == ["routing expert choice", "gated yes"]
    assert body("unheard word heads 4") == ["unheard word", "heads 4"]
    assert body("unheard\nheads 4") == ["unheard", "heads 4"]


def test_units_are_told_from_names() -> None:
    assert body("node 8 gpus 256") == ["node 8", "gpus 256"]
    assert body("batch 128 sequences prompt 10240 tokens output 128 tokens") == [
        "batch 128<sequences>",
        "prompt 10240<tokens>",
        "output 128<tokens>",
    ]
    assert body("throughput >= 100 tokens/ms per gpu memory <= 64 GB") == [
        "throughput >= 100<tokens/ms per gpu>",
        "memory <= 64<GB>",
    ]
    assert body("throughput 24320 output tokens/ms memory 24% ttft < 6s") == [
        "throughput 24320<output tokens/ms>",
        "memory 24<%>",
        "ttft < 6<s>",
    ]
    assert body("compute { bf16 400 TFLOP/s fp8 800 TFLOP/s }") == ["compute {bf16 400<TFLOP/s>, fp8 800<TFLOP/s>}"]


def test_an_entry_goes_on_with_a_continuation() -> None:
    assert body("ttft 35 ms margin 1.43 tpot 4 ms") == ["ttft 35<ms> margin 1.43", "tpot 4<ms>"]
    assert body("window 128 every 2 heads 4") == ["window 128 every 2", "heads 4"]


def test_number_forms() -> None:
    block = plan("model m { a 1_000 b 1.5 c 1e9 d -3 }").blocks[0]
    values = [entry.values[0] for entry in block.body or ()]
    assert [getattr(v, "value", None) for v in values] == [1000, 1.5, 1e9, -3]
    assert [type(getattr(v, "value", None)) for v in values] == [int, float, float, int]


def test_spans_of_entries() -> None:
    block = plan("model m { attention 3 GB { heads 32 } }").blocks[0]
    assert block.body
    entry = block.body[0]
    quantity = entry.values[0]
    assert (entry.span.text, entry.name_span.text, quantity.span.text) == ("attention 3 GB", "attention", "3 GB")
    assert not isinstance(quantity, Word)
    assert quantity.unit_span is not None
    assert quantity.unit_span.text == "GB"


def test_comments_are_kept() -> None:
    file = plan("# one\nep 4 # two")
    assert [comment.text for comment in file.comments] == ["# one", "# two"]


def fragment(keyword: str, text: str) -> Block:
    block, diagnostics = parse_fragment(keyword, Source(f"--{keyword}", text))
    assert diagnostics == ()
    assert block is not None
    assert block.keyword == keyword
    return block


def test_fragments() -> None:
    assert [shown(v) for v in fragment("cluster", "h100-sxm x 64").head] == ["h100-sxm", "x", "64"]
    assert entries(fragment("model", "deepseek-v3 { layers 4 }").body) == ["layers 4"]
    assert fragment("model", "deepseek-v3").body is None
    assert [shown(v) for v in fragment("model", "./models/config.json").head] == ["./models/config.json"]
    assert entries(fragment("workload", "batch 8 prompt 1024").body) == ["batch 8", "prompt 1024"]
    assert entries(fragment("workload", "{ batch 8 }").body) == ["batch 8"]
    assert entries(fragment("require", "ttft <= 10 s\nmemory <= 4 GB").body) == ["ttft <= 10<s>", "memory <= 4<GB>"]


def test_a_fragment_is_one_block() -> None:
    for keyword, text in [("model", ""), ("model", "a cluster b"), ("workload", "batch 8 } ep 4"), ("model", "a ; b")]:
        block, diagnostics = parse_fragment(keyword, Source(f"--{keyword}", text))
        assert block is None
        assert len(diagnostics) == 1


def test_formatting_keeps_lines_and_comments() -> None:
    file = plan("""\
# top }
model  demo # what { a }
{   # open
  layers 16 hidden 2_048 # two


  # before attention
  attention { heads 32
      kv_heads 8 } first_dense 0
  window 5 extra { a "x#y" }
  # last
} # end



strategy a = pp 4 < # stages
  (ep 16 ; (tp 2)) > # tail
# bye""")
    assert (
        format_plan(file)
        == """\
# top }
model demo {
    # what { a }
    # open
    layers 16    hidden 2048    # two

    # before attention
    attention {
        heads 32
        kv_heads 8
    }
    first_dense 0
    window 5    extra { a "x#y" }
    # last
}    # end

# stages
strategy a = pp 4 < ep 16 ; tp 2 >    # tail
# bye
"""
    )
