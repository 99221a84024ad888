"""The WebAssembly engine that all guests of this process share, and where compiled code is kept.

Compiled code stays in the user's cache directory: without it each process compiles for most of a second. The stack is
large enough for deep graphs; where the address space is limited, little of it is taken. Where the cache cannot be used,
it compiles each time.
"""

from __future__ import annotations

from functools import cache
from mmap import mmap

import wasmtime

STACK_BYTES = 2 << 20
"""Enough for a layout of a chain of 30,000 nodes; the default traps on a few thousand."""

START_BYTES = 160_000_000
"""Address space that the engine takes at most to start, which is where it compiles a module."""


class NoAddressSpace(Exception):
    """Less address space than the engine takes to start is left: it would end the process."""


def compiled(data: bytes) -> tuple[wasmtime.Engine, wasmtime.Module]:
    """A module, compiled. Raises NoAddressSpace."""
    try:
        return _engine(cached=True), wasmtime.Module(_engine(cached=True), data)
    except wasmtime.WasmtimeError:
        return _engine(cached=False), wasmtime.Module(_engine(cached=False), data)


@cache
def _engine(cached: bool) -> wasmtime.Engine:
    config = wasmtime.Config()
    config.max_wasm_stack = STACK_BYTES
    # Else its data would be mapped from a file in memory, which a limit on the size of files counts.
    config.memory_init_cow = False
    if _is_limited():
        try:
            mmap(-1, START_BYTES).close()
        except OSError as error:
            raise NoAddressSpace(START_BYTES) from error
        # By default gigabytes of address space are reserved, and code is compiled by threads that end the process
        # where they cannot start.
        config.memory_reservation = config.memory_reservation_for_growth = config.memory_guard_size = 0
        config.parallel_compilation = False
    if cached:
        config.cache = True
    return wasmtime.Engine(config)


def _is_limited() -> bool:
    """Whether the address space of this process has a limit."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit
    except ImportError:
        return False
    return getrlimit(RLIMIT_AS)[0] != RLIM_INFINITY
