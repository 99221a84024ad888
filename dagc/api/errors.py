"""What a result raises where it has not what is asked for."""

from __future__ import annotations


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
