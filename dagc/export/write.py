"""Files of the user's own choice, each whole or not at all: a plan that is fixed, a page, a calibration.

What the operating system refuses becomes a diagnostic. The outputs of a strategy, which belong together, go through
`dagc.export.publish`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.files import replace_file

NO_DIRECTORY = Code("X101", "cannot-make-directory")
NO_WRITE = Code("X102", "cannot-write-file")
NO_SPACE = Code("X103", "no-space")


def write_file(path: Path, content: bytes | Iterable[bytes]) -> tuple[Diagnostic, ...]:
    """Write a file, whole or in pieces, and folders that lead to it; on a refusal what was there stays as it was."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return (no_directory(path.parent, error),)
    try:
        replace_file(path, content)
    except OSError as error:
        return (not_written(path, error),)
    return ()


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
    note = "no file is partially written"
    return (NO_SPACE if full else NO_WRITE).at(
        None, f"cannot write `{target}`: {_reason(error)}", notes=(note,), help=(way_out,)
    )


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
