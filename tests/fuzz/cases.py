"""One input of the fuzzer: a command line and the files beside it, kept as JSON."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).with_name("corpus")


@dataclass(frozen=True, slots=True)
class Case:
    """Arguments of `dagc`, the files of the working directory by name, and standard input."""

    argv: tuple[str, ...]
    files: dict[str, bytes]
    stdin: bytes = b""

    @property
    def command(self) -> str:
        """Name of the command, or an empty text."""
        return self.argv[0] if self.argv else ""

    @property
    def size(self) -> int:
        """Bytes of all that is given."""
        return sum(map(len, self.files.values())) + sum(map(len, self.argv)) + len(self.stdin)

    def lay(self, directory: Path) -> None:
        """Write the files."""
        for name, content in self.files.items():
            (directory / name).write_bytes(content)


def to_text(case: Case) -> str:
    """A case as JSON. Bytes that are no UTF-8 are written in base64."""
    files = {name: _written(content) for name, content in case.files.items()}
    document = {"argv": case.argv, "files": files, "stdin": _written(case.stdin)}
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


def from_text(text: str) -> Case:
    """The case of a JSON text."""
    document = json.loads(text)
    files = {name: _read(content) for name, content in document["files"].items()}
    return Case(tuple(document["argv"]), files, _read(document["stdin"]))


def keep(case: Case, directory: Path = CORPUS) -> Path:
    """Write a case that failed into the corpus, by the hash of its text."""
    text = to_text(case)
    path = directory / f"{case.command or 'none'}-{sha256(text.encode()).hexdigest()[:10]}.json"
    path.write_text(text, encoding="utf-8")
    return path


def corpus() -> dict[str, Case]:
    """What once failed, by file name."""
    return {path.stem: from_text(path.read_text(encoding="utf-8")) for path in sorted(CORPUS.glob("*.json"))}


def _written(content: bytes) -> str | list[str]:
    """As text, or as lines of base64."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        text = base64.b64encode(content).decode()
        return [text[at : at + 100] for at in range(0, len(text), 100)]


def _read(written: Any) -> bytes:
    return written.encode() if isinstance(written, str) else base64.b64decode("".join(written))
