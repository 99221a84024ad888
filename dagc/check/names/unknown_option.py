"""N120: an option that the language does not have."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.diag.fixing import asked, meant, spelling
from dagc.plan.options import OPTIONS
from dagc.plan.scopes import Annotated, Kind
from dagc.syntax.tree import Axis, Option, Scope

CODE = Code("N120", "unknown-option")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each."""
    for node in annotated.nodes:
        if isinstance(node.syntax, Axis | Scope):
            for option in node.syntax.options:
                if option.name not in OPTIONS:
                    yield _diagnostic(node.syntax.kind, option)


def _diagnostic(kind: Kind, option: Option) -> Diagnostic:
    here = [form.name for form in OPTIONS.values() if kind in form.on]
    near = meant(option.name, here) or meant(option.name, OPTIONS)
    offer = "".join(f"{question} " for question in asked(near))
    listed = ", ".join(f"`{name}`" for name in here)
    return CODE.at(
        option.name_span,
        f"there is no option `{option.name}`",
        help=(f"{offer}options of `{kind}`: {listed}" if here else f"{offer}`{kind}` has no options",),
        fixes=spelling(option.name_span, near, OPTIONS),
    )
