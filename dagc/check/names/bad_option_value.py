"""N121: an option with a value that it does not take."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.diag.diagnostic import Code, Diagnostic, Fix
from dagc.diag.fixing import meant, spelling, write
from dagc.plan.options import OPTIONS, OptionForm
from dagc.plan.scopes import Annotated
from dagc.syntax.tree import Axis, Option, Quantity, Scope, Word

CODE = Code("N121", "bad-option-value")


def check(annotated: Annotated) -> Iterator[Diagnostic]:
    """One diagnostic for each."""
    for node in annotated.nodes:
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
        help=(f"write it as in `[{form.example}]`",),
        fixes=_fixes(option, form),
    )


_SHARED = ("sharded", "replicated")


def _fixes(option: Option, form: OptionForm) -> tuple[Fix, ...]:
    """No value where none is taken; a word that is near; a whole number that was written with a point."""
    if form.accepts(()):
        return write(option.span, option.name)
    match option.values:
        case (Word() as word,) if option.name == "shared":
            return spelling(word.span, meant(word.text, _SHARED), _SHARED)
        case (Quantity(unit=None, value=float() as number) as written,) if number.is_integer():
            whole = Quantity(int(number), None, written.span)
            return write(written.span, str(int(number)), safe=True) if form.accepts((whole,)) else ()
        case _:
            return ()
