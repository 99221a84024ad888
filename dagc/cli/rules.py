"""`dagc rules`: every code that a diagnostic can have."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dagc.cli.printing import print_json, text_or_json
from dagc.diag.diagnostic import Family
from dagc.diag.explain import CodeSummary

SCHEMA_VERSION = 1


@click.command()
@click.argument("family", required=False, type=click.Choice([family.value for family in Family], case_sensitive=False))
@text_or_json
def rules(family: str | None, style: str) -> None:
    """List the codes of diagnostics, or those of one FAMILY such as W."""
    from dagc.diag.explain import listed

    chosen = [one for one in listed() if family is None or one.code.family.value == family]
    if style == "json":
        print_json({"schema_version": SCHEMA_VERSION, "rules": [_data(one) for one in chosen]})
    else:
        click.echo(_table(chosen))


def _data(one: CodeSummary) -> dict[str, str | bool]:
    code = one.code
    return {
        "code": code.code,
        "name": code.name,
        "family": code.family.name.lower(),
        "severity": str(code.severity),
        "default": code.is_default,
        "summary": one.summary,
    }


def _table(rules: Sequence[CodeSummary]) -> str:
    """A line each: code, name, severity or `off`, summary."""
    width = max((len(rule.code.name) for rule in rules), default=0)
    return "\n".join(
        f"{one.code.code}  {one.code.name:<{width}}  {one.weight:<7}  {one.summary}".rstrip() for one in rules
    )
