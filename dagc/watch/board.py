"""What the page shows now, and a way to wait for what it shows next."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Condition


@dataclass(frozen=True, slots=True)
class BoardEntry:
    """One state of the page.

    `summary` is the line beside the plan's name. `problems` is markup of the diagnostics that keep strategies from
    being compiled, empty for none. `reports` are pages by the name of their strategy; `is_stale` where they are those
    of an earlier text.
    """

    version: int
    summary: str
    problems: str
    reports: tuple[tuple[str, bytes], ...]
    is_stale: bool


@dataclass
class Board:
    """The current state, for one writer and any number of readers in threads of their own."""

    shown: BoardEntry = BoardEntry(0, "compiling …", "", (), False)
    is_closed: bool = False
    _changed: Condition = field(default_factory=Condition)

    def show(self, summary: str, problems: str, reports: tuple[tuple[str, bytes], ...]) -> None:
        """The next state; without reports those of the last one stay, marked as stale."""
        with self._changed:
            before = self.shown
            kept = reports or before.reports
            self.shown = BoardEntry(before.version + 1, summary, problems, kept, bool(kept) and not reports)
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing further comes; who waits goes on."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()

    def beyond(self, version: int, seconds: float) -> BoardEntry | None:
        """A state later than a version, once there is one; None where none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_closed or self.shown.version > version, seconds)
            return self.shown if self.shown.version > version else None
