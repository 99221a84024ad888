"""N121: an option with a value that it does not take."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.plan.options import OPTIONS
from dagc.plan.scopes import Annotated
from dagc.syntax.tree import Axis, Option, Scope

CODE = Code("N121", "bad-option-value")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each."""
    for node in annotated.nodes():
        if isinstance(node.syntax, Axis | Scope):
            for option in node.syntax.options:
                form = OPTIONS.get(option.name)
                if form is not None and node.syntax.kind in form.on and not form.accepts(option.values):
                    yield _diagnostic(option)


def _diagnostic(option: Option) -> Diagnostic:
    form = OPTIONS[option.name]
    values = option.span.text.removeprefix(option.name).strip()
    found = f"`{values}`" if values else "nothing"
    return CODE.at(
        option.span,
        f"`{option.name}` takes {form.values}, found {found}",
        help=(f"write `[{form.example}]`",),
    )
