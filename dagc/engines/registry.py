"""The engines that dagc knows: each file of this folder that has `VERSIONS`. A file is imported when asked for."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path

from dagc.engines.engine import Engine


@lru_cache(maxsize=1)
def engines() -> tuple[Engine, ...]:
    """The newest version of every engine, in the order of lists."""
    files = (path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
    newest = [versions(file)[-1] for file in files if versions(file)]
    return tuple(sorted(newest, key=lambda engine: (engine.order, engine.name)))


def engine_names() -> tuple[str, ...]:
    """Names of the engines, as written in plans and on the command line."""
    return tuple(engine.name for engine in engines())


def versions(name: str) -> tuple[Engine, ...]:
    """An engine in each of its versions, the newest last."""
    found: tuple[Engine, ...] = getattr(import_module(f"dagc.engines.{name}"), "VERSIONS", ())
    return found


def get_engine(name: str) -> Engine:
    """The newest version of the engine of a name that `engine_names` lists."""
    return versions(name)[-1]


def find_version(name: str, version: str) -> Engine | None:
    """An engine in one version, None where it is not recorded."""
    return next((one for one in versions(name) if one.version == version), None)


def find_engine(written: str) -> Engine | None:
    """The newest version of the engine of a name or title, in any case of letters: `vLLM`, `TensorRT-LLM`."""
    spelled = written.casefold()
    return next((one for one in engines() if spelled in (one.name.casefold(), one.title.casefold())), None)
