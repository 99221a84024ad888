"""A plan whose names would break out of whatever shows them: markup, quotes, escapes of terminals, marks of direction.

`write` lays it down with the model's configuration beside it; its name is as hostile as a file's may be.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.harness.places import ROOT

RIGHT_TO_LEFT = "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED}\N{HEBREW LETTER VAV}\N{HEBREW LETTER FINAL MEM}"
OVERRIDE = "\N{RIGHT-TO-LEFT OVERRIDE}"
ESCAPES = "\x1b[31m\x1b]0;title\x07\x9b2J"
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"
CLUSTER = f"{MARKUP}'&amp;]]>--><!--</style></title>\\l\\N%s{{x|y}}{OVERRIDE}evil"
MODEL = f"m<svg onload=alert(3)>&'`]]>{OVERRIDE}.json"
LONG = "x" * 300
STRATEGY = f"{RIGHT_TO_LEFT}_{LONG}"

CONFIG = ROOT / "tests" / "data" / "configs" / "Qwen--Qwen3-30B-A3B.json"

PLAN = f"""# {MARKUP} {OVERRIDE} comment ]]>
model "{MODEL}"
cluster "{CLUSTER}" {{
    gpus 64    node 8
    device {{ memory 80 GB    bandwidth 3 TB/s    compute {{ bf16 900 TFLOP/s }}    efficiency 60 % }}
    link 450 GB/s    network 50 GB/s
}}
workload {{ batch 64    prompt 1024    output 64 }}
require {{ ttft <= 1 ms }}
strategy {STRATEGY} = pp 3 < ep 8 ; tp 2 >   # {OVERRIDE} </script>
claims {STRATEGY} {{ gpus 64 }}
"""

REFUSED = f"""cluster "{CLUSTER}"
strategy {STRATEGY} = ep 16 < pp 4 > # {MARKUP} {OVERRIDE}{ESCAPES}
"""
"""A plan that is refused, with what moves a terminal's cursor in it; no text of a plan may hold that."""


def write(directory: Path, text: str = PLAN) -> Path:
    """The plan's path."""
    shutil.copy(CONFIG, directory / MODEL)
    plan = directory / "<b>plan & co.moe"
    plan.write_text(text, encoding="utf-8")
    return plan
