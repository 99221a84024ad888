"""The page of counts against published figures: its counted columns are what the reader counts, and the others agree.

Published figures are the makers'. The arithmetic of the cache is written by hand, layer by layer, and shares nothing
with the code.
"""

from __future__ import annotations

import re

import pytest

from dagc.catalog.cache import kv_bytes_per_token
from dagc.catalog.parameters import ActiveDefinition, count
from tests.harness.places import ROOT
from tests.unit.config_files import NAMES, fields_of, read

PAGE = (ROOT / "docs" / "published.md").read_text(encoding="utf-8")
UNITS = {"": 1, "B": 10**9, "T": 10**12}


def rows(section: str) -> list[list[str]]:
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*/.*$", text, re.M)]


TOTALS, ACTIVE, CACHE = rows("Totals"), rows("Active parameters"), rows("KV cache")


def number(text: str) -> int:
    return int(text.replace(",", ""))


def published(text: str) -> tuple[float, float]:
    """A figure and half a unit of its last digit."""
    digits, _, unit = text.partition(" ")
    decimals = len(digits.partition(".")[2])
    return float(digits.replace(",", "")) * UNITS[unit], UNITS[unit] / 10**decimals / 2


def test_every_configuration_is_in_every_table() -> None:
    names = [name.replace("--", "/") for name in NAMES]
    assert [sorted(row[0] for row in table) for table in (TOTALS, ACTIVE, CACHE)] == [sorted(names)] * 3


@pytest.mark.parametrize("row", TOTALS, ids=lambda row: row[0])
def test_totals(row: list[str]) -> None:
    name, counted, also, stated, _ = row
    spec, shapes = read(fields_of(name.replace("/", "--")))
    assert count(shapes).total == number(counted)
    parts = {extra.name: extra.parameters for extra in spec.extras}
    more = [parts.get(part) or number(part) for part in also.split(" + ") if part != "—"]
    figure, half = published(stated)
    assert number(counted) + sum(more) == pytest.approx(figure, rel=1e-3, abs=half)


@pytest.mark.parametrize("row", ACTIVE, ids=lambda row: row[0])
def test_active_parameters(row: list[str]) -> None:
    name, counted, definition, stated = row
    found = count(read(fields_of(name.replace("/", "--")))[1]).active
    figure, half = published(stated)
    assert found[ActiveDefinition(definition.replace(" ", "_"))] == number(counted)
    assert number(counted) == pytest.approx(figure, rel=0.03, abs=half)


@pytest.mark.parametrize("row", ACTIVE, ids=lambda row: row[0])
def test_no_other_definition_is_nearer(row: list[str]) -> None:
    name, _, definition, stated = row
    found = count(read(fields_of(name.replace("/", "--")))[1]).active
    figure, half = published(stated)
    away = {one: max(abs(number - figure) - half, 0) for one, number in found.items()}
    assert away[ActiveDefinition(definition.replace(" ", "_"))] == min(away.values())


@pytest.mark.parametrize("row", CACHE, ids=lambda row: row[0])
def test_cache(row: list[str]) -> None:
    name, counted, arithmetic = row
    assert re.fullmatch(r"[\d\s()·+/]+", arithmetic)
    by_hand = eval(arithmetic.replace("·", "*"))
    found = kv_bytes_per_token(read(fields_of(name.replace("/", "--")))[1])
    assert found == pytest.approx(by_hand, rel=1e-12)
    assert number(counted) == pytest.approx(by_hand, abs=0.5)


def test_the_tower_of_minimax_m3_by_hand() -> None:
    """What its checkpoint has beside the language model: 32 layers of 1,280 with an inner width of 5,120 and biases, a
    patch of 3 · 2 · 14 · 14, a norm, projectors of 1,280 and of four patches to 6,144.
    """
    layer = 4 * (1280**2 + 1280) + 2 * 1280 * 5120 + 5120 + 1280 + 2 * 2 * 1280
    onwards = 6144**2 + 6144
    projectors = (1280 * 6144 + 6144 + onwards) + (4 * 6144 * 6144 + 6144 + onwards)
    tower = 32 * layer + 1280 * 3 * 2 * 14 * 14 + 2 * 1280 + projectors
    assert next(row[2] for row in TOTALS if row[0].endswith("MiniMax-M3")) == f"{tower:,}"


def test_bytes_of_checkpoints_whose_indexes_state_them() -> None:
    """`total_size` of `model.safetensors.index.json`: 1,506,659,919,872 for GLM-5.2 with its layer of prediction, bf16
    but for 19,456 numbers of routers; DeepSeek-V4-Pro 864,704,792,696, and 850,748,205,004 without that layer.
    """
    spec, shapes = read(fields_of("zai-org--GLM-5.2"))
    mtp = sum(extra.parameters or 0 for extra in spec.extras)
    assert count(shapes).weight_bytes + 2 * mtp == pytest.approx(1_506_659_919_872, rel=1e-6)
    _, shapes = read(fields_of("deepseek-ai--DeepSeek-V4-Pro"))
    assert count(shapes).weight_bytes == pytest.approx(850_748_205_004, rel=1e-3)
