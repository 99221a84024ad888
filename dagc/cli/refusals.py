"""What the machine refuses a whole command, as a diagnostic and an exit status.

Refusals that belong to one file or one input are diagnosed where they happen; these can happen anywhere.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.units import format_bytes

NO_OUTPUT = Code("X601", "cannot-write-output")
NO_MEMORY = Code("X602", "out-of-memory")
REFUSED = Code("X603", "refused-by-system")
ENDED = Code("X604", "ended-by-signal")

MINIMUM_ADDRESS_SPACE = 400_000_000
"""Bytes with which every command starts: a plan of some GPUs is compiled with its pictures in three quarters of it."""

_NO_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EBADF, errno.EIO, errno.EFBIG)
"""What the system answers where a stream takes no more."""

_NOT_LOADED = ("failed to map segment", "cannot allocate memory")
"""What the loader of libraries says where memory is short: there is no number with it."""

_SIGNALS = {signal.SIGINT: "SIGINT (Ctrl-C)", signal.SIGTERM: "SIGTERM"}
_BY_SIGNAL = 128
_FILES = 2


def require_memory() -> None:
    """Raise MemoryError where a limit on the address space is below what libraries need to start.

    Below it they end the process themselves, each in its own way, or wait for ever.
    """
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit
    except ImportError:
        return
    limit, _ = getrlimit(RLIMIT_AS)
    if limit != RLIM_INFINITY and limit < MINIMUM_ADDRESS_SPACE:
        wanted = format_bytes(MINIMUM_ADDRESS_SPACE)
        raise MemoryError(f"the limit of address space is {format_bytes(limit)}, and dagc needs {wanted} to start")


def is_refusal(error: BaseException) -> bool:
    """Whether an error comes of the machine, or of who uses it, and not of the program."""
    if isinstance(error, ImportError):
        return _is_unloaded(error)
    if isinstance(error, RuntimeError):
        return "can't start new thread" in str(error)
    return isinstance(error, KeyboardInterrupt | MemoryError | OSError)


def tell(error: BaseException) -> int:
    """Print the diagnostic of a refusal; its exit status. A closed pipe needs no words: its reader knows."""
    # What is still in the buffer would fail again when the process ends.
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return _BY_SIGNAL + 13
    number = _signal(error)
    with suppress(OSError):
        from dagc.cli.printing import print_text

        print_text((_ended(number) if number else _diagnostic(error),))
    return _BY_SIGNAL + number if number else _FILES


def _signal(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    return signal.SIGTERM if isinstance(error, InterruptedError) else 0


def _ended(number: int) -> Diagnostic:
    name = _SIGNALS[signal.Signals(number)]
    notes = ("outputs already written are complete; the others are unchanged",)
    return ENDED.at(None, f"ended by {name}", notes=notes, help=("run it again for the rest",))


def _is_unloaded(error: BaseException) -> bool:
    return any(words in str(error).lower() for words in _NOT_LOADED)


def _diagnostic(error: BaseException) -> Diagnostic:
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM or _is_unloaded(error):
        return _no_memory(str(error) if isinstance(error, MemoryError) else "")
    if isinstance(error, OSError) and error.errno in _NO_OUTPUT and error.filename is None:
        reason = (error.strerror or str(error)).lower()
        return NO_OUTPUT.at(
            None, f"cannot write standard output: {reason}", help=("send it to a file on a disk with space",)
        )
    reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    place = f" `{error.filename}`" if isinstance(error, OSError) and error.filename else ""
    return REFUSED.at(
        None,
        f"system limit reached: {reason.lower()}{place}",
        help=("raise the limit (`ulimit -a` lists them)", "or ask for less at a time, e.g. `--workers 1` of a search"),
    )


def _no_memory(reason: str) -> Diagnostic:
    return NO_MEMORY.at(
        None,
        f"not enough memory{f': {reason}' if reason else ''}",
        notes=("outputs already written are complete; the others are unchanged",),
        help=("raise the limit (`ulimit -v`), or run it on a machine with more memory",
              "or ask for less: fewer strategies in a plan, fewer ranks, `--workers 1` of a search"),
    )  # fmt: skip
