"""What all results share: one line as `repr`, HTML for a notebook, rows for a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from dagc.diag.diagnostic import Diagnostic, tally
from dagc.diag.text import escape, render

Row = dict[str, str | float | bool | None]
"""One line of a table: a value by column. Numbers are in SI units (seconds, bytes), shares in [0, 1], costs in USD."""

MOST_NAMED = 3
"""Items that a line names; of the others it says how many there are."""


class Result(ABC):
    """A result. `diagnostics` are those of the plans, in the order of their text."""

    __slots__ = ()

    diagnostics: tuple[Diagnostic, ...]

    @property
    @abstractmethod
    def rows(self) -> list[Row]:
        """The lines of its table, all with the same columns."""

    @abstractmethod
    def headline(self) -> str:
        """The answer in one line."""

    def text(self) -> str:
        """What the command prints, without diagnostics; the headline where it has no text of its own."""
        return self.headline()

    def svg(self) -> str | None:
        """The picture that the command draws; None where it draws none."""
        return None

    def __repr__(self) -> str:
        return one_line(type(self).__name__, self.headline(), self.diagnostics)

    def __str__(self) -> str:
        """The text, then the diagnostics as the command prints them."""
        return "\n".join(part for part in (self.text().rstrip(), render(self.diagnostics)) if part)

    def _repr_html_(self) -> str:
        """For a notebook: the answer, the picture, the table and the diagnostics."""
        from dagc.export.notebook import result

        return result(self.headline(), self.svg(), self.rows, render(self.diagnostics))

    def to_dataframe(self) -> Any:
        """`rows` as a DataFrame of pandas, else of polars. Raises ImportError where neither is installed."""
        return dataframe(self.rows)


def dataframe(rows: list[Row]) -> Any:
    """Rows as a DataFrame of pandas, else of polars. Raises ImportError where neither is installed."""
    if find_spec("pandas"):
        return import_module("pandas").DataFrame(rows)
    if find_spec("polars"):
        return import_module("polars").DataFrame(rows, infer_schema_length=None)
    raise ImportError("`to_dataframe` needs pandas or polars, and neither is installed: `pip install pandas`")


def one_line(name: str, headline: str, diagnostics: tuple[Diagnostic, ...]) -> str:
    """The `repr` of a result: its class, its answer, and how many diagnostics there are."""
    answer = ", ".join(part for part in (" ".join(headline.split()), tally(diagnostics)) if part)
    return f"<{name} {escape(answer)}>"


def listed(items: list[str], between: str = ", ") -> str:
    """The first items of a list, and how many more there are."""
    more = [f"{len(items) - MOST_NAMED} more"] if len(items) > MOST_NAMED else []
    return between.join([*items[:MOST_NAMED], *more])


class NothingToShow(ValueError):
    """A strategy has no graph or times; the text is the diagnostic that says why."""


class NoSuchStrategy(KeyError):
    """A plan has no strategy of a name: it was not written, or diagnostics stopped it."""

    def __init__(self, name: str, known: tuple[str, ...], diagnostics: str) -> None:
        super().__init__(name)
        self.name, self.known, self.diagnostics = name, known, diagnostics

    def __str__(self) -> str:
        """The name, those that there are, and the diagnostics of the plan."""
        others = ", ".join(f"`{one}`" for one in self.known) or "none"
        return f"no strategy `{self.name}`; those of the plan: {others}\n{self.diagnostics}".rstrip()
