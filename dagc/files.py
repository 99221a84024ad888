"""A file appears whole or not at all, and a process that is killed while it writes one leaves nothing for good.

The content goes beside its place first, under a hidden name, and is put there by a rename. The directory is locked
meanwhile, so the holder of the lock may remove what a killed process left under that name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

PART = ".dagc-part"
"""The hidden name in each directory of a file that is being written."""


def replace_file(path: Path, content: bytes | Iterable[bytes], mode: int | None = None) -> None:
    """Put a file in its place, on the disk when this returns. Raises OSError; what was there is then as it was.

    A link is followed, a file that is there keeps its mode unless one is given, and what is no file (`/dev/stdout`) is
    written into.
    """
    pieces = (content,) if isinstance(content, bytes) else content
    path = Path(os.path.realpath(path))
    kept = stat.S_IMODE(path.stat().st_mode) if mode is None and path.is_file() else None
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            stream.writelines(pieces)
        return
    with locked(path.parent):
        part = path.with_name(PART)
        part.unlink(missing_ok=True)
        try:
            # Exclusively, because another user may have put a link in the way.
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode or 0o666), "wb") as stream:
                stream.writelines(pieces)
                stream.flush()
                if kept is not None:
                    os.fchmod(stream.fileno(), kept)
                os.fsync(stream.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        sync(path.parent)


@contextmanager
def locked(directory: Path) -> Generator[None]:
    """The lock on a directory; the system gives it back when the process ends, however it ends."""
    try:
        from fcntl import LOCK_EX, flock
    except ImportError:
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        flock(handle, LOCK_EX)
        yield
    finally:
        os.close(handle)


def sync(directory: Path) -> None:
    """Put a directory's entries on the disk, where the system can."""
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
