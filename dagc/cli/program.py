"""The program `dagc`: a command, and how it ends where the machine refuses it memory, streams, files or time.

Whatever the reason, files are as they were or new and whole, and one diagnostic says why. It is made after the command
has let go of its memory. The status is 2, or 128 and the number of the signal. This module imports little, so that a
signal finds its handler in place.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn


class _Terminated(BaseException):
    """SIGTERM came, or a thread has failed for a reason of the machine, which is then the argument."""


def run() -> NoReturn:
    """The program: a command without a collector.

    What a command builds it keeps to its end, in no cycles but some hundreds; a collector would walk it again and again
    for nothing.
    """
    gc.disable()
    # The threads of BLAS take address space for every core, and nothing here is large enough to gain by them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    threading.excepthook = _thread_failed
    sys.unraisablehook = _unraisable
    raise SystemExit(_status())


def _status() -> int:
    """Run the command; the exit status."""
    try:
        from dagc.cli.refusals import require_memory

        _open_streams()
        require_memory()
        from dagc.cli.main import invoke

        status = invoke()
        _let_signals_end()
        return status
    except (KeyboardInterrupt, _Terminated, Exception) as error:
        from dagc.cli.refusals import is_refusal

        # A signal may surface as another error: numpy drops what a handler raises while it compares structured arrays,
        # and Python 3.11 wraps it while a class is made.
        reason = _raised[-1] if _raised else error
        cause = reason.args[0] if isinstance(reason, _Terminated) else reason
        if not is_refusal(cause):
            raise
        _let_signals_end()
        # Tracebacks hold all that the command had in memory.
        cause.__traceback__ = cause.__cause__ = cause.__context__ = None
    from dagc.cli.refusals import tell

    # Not by way of the interpreter's end, which waits for threads that may wait for what was refused.
    os._exit(tell(cause))


def _let_signals_end() -> None:
    """From here on a signal ends the process at once: its status is the only thing that is not out yet."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def _open_streams() -> None:
    """Standard streams that are closed lead nowhere, or the next file would get their number and what is printed.

    Raises OSError where that is standard output: a command would print for nobody.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    streams: Any = sys
    if streams.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    if streams.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
        raise OSError(errno.EBADF, "it is closed")


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    """Leave by way of every `finally`; a second signal ends the process at once."""
    signal.signal(number, signal.SIG_DFL)
    _raised.append(_Terminated(_failures.pop() if _failures else InterruptedError(signal.SIGTERM)))
    raise _raised[-1]


def _interrupt(_number: int, _: FrameType | None) -> NoReturn:
    """Raise KeyboardInterrupt, as Python's own handler does."""
    _raised.append(KeyboardInterrupt())
    raise _raised[-1]


def _unraisable(ignored: sys.UnraisableHookArgs) -> None:
    """Send a signal again that came where the interpreter drops exceptions: in a finalizer or a callback."""
    if not isinstance(ignored.exc_value, KeyboardInterrupt | _Terminated):
        return sys.__unraisablehook__(ignored)
    number = signal.SIGINT
    if isinstance(ignored.exc_value, _Terminated):
        number = signal.SIGTERM
        signal.signal(number, _terminate)
    # From another thread and later: here the handler would raise inside of this hook.
    again = threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, number))
    again.daemon = True
    again.start()
    return None


_failures: list[BaseException] = []
"""Why a thread has failed, on the way to the main thread."""

_raised: list[BaseException] = []
"""What handlers of signals have raised, to the last."""


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """A thread that the machine refused something ends the program: others may wait for it for ever."""
    from dagc.cli.refusals import is_refusal

    if failed.exc_value is None or not is_refusal(failed.exc_value):
        return sys.__excepthook__(failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback)
    _failures.append(failed.exc_value)
    with suppress(ProcessLookupError):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    return None
