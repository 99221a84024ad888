"""Plans that the fuzzer starts from: those of the project, usual ones that compile, and what the grammar allows."""

from __future__ import annotations

import random
import re
from functools import cache

from dagc.catalog.presets import device_names, model_names
from tests.fuzz import mutate
from tests.property.mutations import EXAMPLES, PLANS

CONFIG, CALIBRATION = "config.json", "calibration.json"
"""Files that a plan may name."""


@cache
def blocks(name: str) -> list[str]:
    """What the plans of the project write after the name of a block, without its braces."""
    found = (re.findall(rf"^{name}\s+(.+?)(?=^\w|\Z)", plan, re.MULTILINE | re.DOTALL) for plan in PLANS)
    return sorted({re.sub(r"^\{\s*|\s*\}\s*$", "", text.strip()) for texts in found for text in texts})


@cache
def strategies() -> list[str]:
    """The strategies of the project's plans."""
    found = (re.findall(r"^strategy\s+\S+\s*=\s*(.+?)(?=^\w|\Z)", plan, re.MULTILINE | re.DOTALL) for plan in PLANS)
    return sorted({text.strip() for texts in found for text in texts})


AXES = ("dp", "pp", "ep", "tp", "cp")
OPTIONS = {
    "pp": [" [micro 4]", " [micro 512]", " [layers 30 31]"],
    "ep": [" [overlap 2]", " [redundant 8]"],
    "tp": [" [sp]", " [dcp 2]", " [shared replicated]"],
}


def strategy(rng: random.Random, depth: int = 3) -> str:
    """A strategy by the grammar, often one that has a meaning."""
    axis, degree = rng.choice(AXES), rng.choice((1, 2, 2, 3, 4, 8, 8, 16, 61, 64, 2048))
    option = rng.choice(OPTIONS.get(axis, [""])) if rng.random() < 0.3 else ""
    head = f"{axis} {degree}{option}"
    match rng.randrange(7 if depth else 1):
        case 0 | 1:
            return head
        case 2 | 3 | 4:
            return f"{head} < {strategy(rng, depth - 1)} >"
        case 5:
            return f"{strategy(rng, depth - 1)} ; {strategy(rng, depth - 1)}"
        case _:
            form = rng.choice(
                ("attn < {} > ; moe < {} >", "prefill < {} > | decode < {} >", "attn < {} > | ffn < {} >")
            )
            return form.format(strategy(rng, depth - 1), strategy(rng, depth - 1))


def sensible(rng: random.Random) -> tuple[str, int]:
    """A strategy of a usual shape, and GPUs enough for it."""
    one, two, three = (2 ** rng.randrange(5) for _ in range(3))
    stage, size = rng.choice(
        [
            (f"tp {one}", one),
            (f"tp {one} [sp]", one),
            (f"ep {one}", one),
            (f"ep {one} [overlap 2]", one),
            (f"ep {one} ; tp {two}", max(one, two)),
            (f"ep {one} ; dp {two} < tp {one} >", one * two),
            (f"ep {one} ; cp {two}", max(one, two)),
            (f"moe < ep {one} > ; attn < dp {one} >", one),
        ]
    )
    match rng.randrange(5):
        case 0:
            micro = rng.choice(("", " [micro 2]", " [micro 16]"))
            return f"pp {three}{micro} < {stage} >", size * three
        case 1:
            return f"dp {three} < {stage} >", size * three
        case 2:
            return f"prefill < {stage} > | decode < tp {three} >", size + three
        case 3:
            return f"attn < dp {one} > | moe < ep {two} >", one + two
        case _:
            return stage, size


MIXTURES = [
    "mixtral-8x7b",
    "qwen3-30b-a3b",
    "deepseek-v3",
    "deepseek-v2-lite",
    "olmoe-1b-7b",
    "gpt-oss-20b",
    "qwen3-next-80b-a3b",
]
"""Models that most strategies of a usual shape can serve."""


LOADS = [
    *("batch 1", "batch 8", "batch 64", "batch 256", "batch 4096"),
    *("concurrency 64", "concurrency 500", "concurrency 64 rate 3 requests/s"),
]
MORE = ["", "", "", "chunk 512", "cached 50 %", "routing zipf 1.2", "block 64", "cached 99 % chunk 1"]
REQUIREMENTS = ["tpot <= 50 ms", "ttft <= 1 s", "tpot <= 1 us ttft <= 1 ms", "throughput >= 1000 tokens/s"]


def valid(rng: random.Random) -> str:
    """A plan with a strategy of a usual shape: mostly one that compiles."""
    made = [sensible(rng) for _ in range(rng.choice((1, 1, 1, 2, 4)))]
    most = max(-(-gpus // 8) * 8 for _, gpus in made)
    model = rng.choice([*MIXTURES, rng.choice(model_names())])
    lines = [f"model {model}", f"cluster {rng.choice(device_names())} x {most}"]
    sizes = f"prompt {rng.choice((1, 128, 128, 1000, 1000, 4096, 100000))} output {rng.choice((1, 2, 200, 1024))}"
    lines += [f"workload {{ {rng.choice(LOADS)} {sizes} {rng.choice(MORE)} }}"]
    lines += [f"engine {rng.choice(('vllm', 'sglang', 'trtllm', 'megatron'))}"] * (rng.random() < 0.3)
    lines += [f"require {{ {rng.choice(REQUIREMENTS)} }}"] * (rng.random() < 0.3)
    return "\n".join([*lines, *(f"strategy s{i} = {text}" for i, (text, _) in enumerate(made))]) + "\n"


def numbers(rng: random.Random, given: str) -> str:
    """A text with a few of its whole numbers changed: what parses still does."""
    places = [match.span() for match in re.finditer(r"(?<![\w.\"-])\d+(?![\w.])", given)]
    for start, end in sorted(rng.sample(places, min(len(places), rng.randint(1, 3))), reverse=True):
        value = int(given[start:end])
        new = rng.choice((value * 2, value // 2, value + 1, 1, 2, 3, 8, 64, 1000, value * 100))
        given = f"{given[:start]}{new}{given[end:]}"
    return given


def plan(rng: random.Random) -> str:
    """A plan: one that compiles, one with other numbers, one with edits, or facts and a strategy put together."""
    match rng.randrange(10):
        case 0 | 1 | 2:
            return valid(rng)
        case 3 | 4:
            return numbers(rng, rng.choice(EXAMPLES) if rng.random() < 0.3 else valid(rng))
        case 5:
            return rng.choice(PLANS)
        case 6:
            return mutate.text(rng, rng.choice(PLANS), 3)
        case 7:
            return mutate.text(rng, valid(rng), 2)
        case _:
            return composed(rng)


def composed(rng: random.Random) -> str:
    """Blocks of the project's plans and strategies of the grammar, put together by chance."""
    model = rng.choice([*model_names(), f'"{CONFIG}"', f'"{CONFIG}"', *blocks("model")])
    device = rng.choice([f"{rng.choice(device_names())} x {rng.choice((1, 4, 8, 16, 64, 2048))}", *blocks("cluster")])
    if rng.random() < 0.2:
        device += f' {{ device {{ calibration "{CALIBRATION}" }} }}'
    workload = rng.choice(["batch 64 prompt 1024 output 64", "batch 1 prompt 1 output 1", *blocks("workload")])
    lines = [f"model {model}", f"cluster {device}", f"workload {{ {workload} }}"]
    lines += [f"engine {rng.choice(blocks('engine'))}"] * (rng.random() < 0.3)
    lines += [f"require {{ {rng.choice(blocks('require'))} }}"] * (rng.random() < 0.3)
    lines += [f"strategy s{i} = {any_strategy(rng)}" for i in range(rng.choice((1, 1, 1, 2, 5)))]
    made = "\n".join(lines) + "\n"
    return mutate.text(rng, made, 2) if rng.random() < 0.3 else made


def any_strategy(rng: random.Random) -> str:
    """A strategy of the project, of a usual shape, or of the grammar."""
    return rng.choice((rng.choice(strategies()), sensible(rng)[0], strategy(rng)))
