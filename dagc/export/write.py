"""Files of the user's own choice, each whole or not at all: a plan that is fixed, a page, a calibration.

All files are first written beside their place under temporary names, and only when every one of them is complete
put there by a rename. What the operating system refuses becomes a diagnostic; a temporary file is never left. The
outputs of a strategy, which belong together, go through `dagc.export.publish`.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from dagc.diag.diagnostic import Code, Diagnostic

NO_DIRECTORY = Code("X101", "cannot-make-directory")
NO_WRITE = Code("X102", "cannot-write-file")
NO_SPACE = Code("X103", "no-space")


def write_atomically(directory: Path, files: Mapping[str, bytes | Iterable[bytes]]) -> tuple[Diagnostic, ...]:
    """Write files of these names and contents; on a refusal none of them is replaced by half a file.

    A name may lead into folders of the directory.

    An iterable of bytes is written chunk by chunk.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return (no_directory(directory, error),)
    staged: list[tuple[Path, Path]] = []
    try:
        return _write(directory, files, staged)
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)


def _write(
    directory: Path, files: Mapping[str, bytes | Iterable[bytes]], staged: list[tuple[Path, Path]]
) -> tuple[Diagnostic, ...]:
    target = directory
    try:
        for name, content in files.items():
            target = directory / name
            _stage(target, content, staged)
        for temporary, target in staged:
            temporary.replace(target)
    except OSError as error:
        return (not_written(target, error),)
    return ()


def _stage(target: Path, content: bytes | Iterable[bytes], staged: list[tuple[Path, Path]]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    staged.append((Path(temporary), target))
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(stream.fileno(), 0o666 & ~_umask())
        if isinstance(content, bytes):
            stream.write(content)
        else:
            stream.writelines(content)
        stream.flush()
        os.fsync(stream.fileno())


def _umask() -> int:
    """The process's mask; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def no_directory(directory: Path, error: OSError) -> Diagnostic:
    """The diagnostic of a directory that could not be made."""
    return NO_DIRECTORY.at(
        None,
        f"cannot make the directory `{directory}`: {_reason(error)}",
        help=("name another directory with `-o`",),
    )


def not_written(target: Path, error: OSError) -> Diagnostic:
    """The diagnostic of a file that could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    other = "name another directory with `-o`"
    way_out = f"free some space, or {other} on another disk" if full else other
    note = "no file is half written"
    return (NO_SPACE if full else NO_WRITE).at(
        None, f"cannot write `{target}`: {_reason(error)}", notes=(note,), help=(way_out,)
    )


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
