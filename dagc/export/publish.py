"""The outputs of a command become visible as a whole: all of them, or those of the run before.

A directory is built beside the published one and takes its place in one exchange, so that a reader, whenever the
process is killed, finds the old outputs or the new ones, never some of each. A manifest in it lists each file with its
size and SHA-256 by the command that wrote it. What the manifest lists of the same command and the run did not write
again goes; any other file (of another command, or of the user) is carried over as a hard link.

The parent directory is locked meanwhile. The holder of the lock removes what dead runs left there, because no other run
is under way. Where the system cannot exchange directories, the old one is renamed away first; a run that is killed
between the two renames is finished by the next one.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from dagc.diag.diagnostic import Diagnostic
from dagc.export.write import no_directory, not_written
from dagc.files import locked, sync

MANIFEST = "manifest.json"
"""The name of the manifest in a published directory."""

Contents = Mapping[str, bytes | Iterable[bytes]]
"""Files by name, which may lead into folders, whole or as streams of bytes."""

_NEW, _OLD = ".dagc-new", ".dagc-old"
_AT_WORKING_DIRECTORY, _EXCHANGE = -100, 2


@dataclass(frozen=True, slots=True)
class _Places:
    """A published directory, the one that is built to take its place, and where the old one may wait."""

    published: Path

    @property
    def new(self) -> Path:
        return self.published.with_name(f".{self.published.name}{_NEW}")

    @property
    def old(self) -> Path:
        return self.published.with_name(f".{self.published.name}{_OLD}")


def publish(directory: Path, command: str, files: Contents) -> tuple[Diagnostic, ...]:
    """Publish the outputs of a command in a directory; on a refusal what was there stays as it was."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        places = _Places(directory.resolve())
        if places.published.exists() and not places.published.is_dir():
            return (no_directory(directory, NotADirectoryError("it is a file")),)
    except OSError as error:
        return (no_directory(directory, error),)
    try:
        with locked(places.published.parent):
            _collect(places.published.parent)
            try:
                _build(places, command, files)
                _exchange(places)
            finally:
                _remove(places.new)
    except OSError as error:
        return (not_written(directory, error),)
    return ()


def _collect(parent: Path) -> None:
    """Remove what runs left that were killed, and finish the renames of one that was killed between them."""
    for left in [*parent.glob(f".*{_NEW}"), *parent.glob(f".*{_OLD}")]:
        places = _Places(parent / left.name[1:].removesuffix(_NEW).removesuffix(_OLD))
        if not places.published.exists() and places.old.exists():
            complete = (places.new / MANIFEST).exists()
            (places.new if complete else places.old).rename(places.published)
        _remove(left)


def _remove(directory: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)


def _build(places: _Places, command: str, files: Contents) -> None:
    """The new directory: the files, what is carried over, and the manifest last."""
    places.new.mkdir()
    listed = {name: _write(places.new / name, content) for name, content in files.items()}
    manifest = _manifest(places.published)
    before = manifest.get(command, {})
    for name in _files(places.published) if places.published.is_dir() else ():
        if name not in listed and name not in before and name != MANIFEST:
            _carry(places.published / name, places.new / name)
    manifest = {**manifest, command: listed}
    text = json.dumps({"dagc_manifest": 1, "outputs": manifest}, indent=2, sort_keys=True)
    _write(places.new / MANIFEST, f"{text}\n".encode())
    for folder in [places.new, *(path for path in places.new.rglob("*") if path.is_dir() and not path.is_symlink())]:
        sync(folder)


def _manifest(directory: Path) -> dict[str, Any]:
    """The outputs that a directory's manifest lists, by command; none where it has none that can be read."""
    try:
        found = json.loads((directory / MANIFEST).read_bytes())["outputs"]
        return {str(command): dict(files) for command, files in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _files(directory: Path) -> Iterator[str]:
    """All that is no directory below one, by its path from there."""
    for folder, folders, names in os.walk(directory):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from ((Path(folder) / name).relative_to(directory).as_posix() for name in (*names, *links))


def _write(path: Path, content: bytes | Iterable[bytes]) -> dict[str, int | str]:
    """Write a file to the disk; its entry in the manifest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = sha256(), 0
    with path.open("wb") as stream:
        for piece in (content,) if isinstance(content, bytes) else content:
            stream.write(piece)
            digest.update(piece)
            size += len(piece)
        stream.flush()
        os.fsync(stream.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}


def _carry(source: Path, target: Path) -> None:
    """The same file in the new directory, by a link where the file system has them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(source))
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _exchange(places: _Places) -> None:
    """Put the new directory in the place of the published one."""
    if not places.published.exists():
        places.new.rename(places.published)
    elif not _swap(places.new, places.published):
        try:
            places.published.rename(places.old)
            places.new.rename(places.published)
        except BaseException:
            if places.old.exists() and not places.published.exists():
                places.old.rename(places.published)
            raise
        _remove(places.old)
    sync(places.published.parent)


def _swap(one: Path, other: Path) -> bool:
    """Exchange two directories in one call of the system; False where it has none, or the file system refuses it."""
    if os.name != "posix":
        return False
    system, paths = ctypes.CDLL(None), (os.fsencode(one), os.fsencode(other))
    if sys.platform == "darwin":
        return hasattr(system, "renamex_np") and system.renamex_np(*paths, _EXCHANGE) == 0
    here = _AT_WORKING_DIRECTORY
    return hasattr(system, "renameat2") and system.renameat2(here, paths[0], here, paths[1], _EXCHANGE) == 0
