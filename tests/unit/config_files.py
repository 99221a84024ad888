"""The configurations under `tests/data/configs`: the fields that count of what makers publish, by repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dagc.catalog.huggingface.read import read_config
from dagc.catalog.model import ModelShapes, ModelSpec

FOLDER = Path(__file__).parents[1] / "data" / "configs"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def fields_of(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def read(data: dict[str, Any]) -> tuple[ModelSpec, ModelShapes]:
    spec = read_config(data, "it")
    assert isinstance(spec, ModelSpec), spec
    shapes = spec.shapes()
    assert shapes is not None
    return spec, shapes
