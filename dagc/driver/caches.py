"""What plans under the same facts leave for one another."""

from __future__ import annotations

from dataclasses import dataclass, field

from dagc.cost.price import CostCache
from dagc.lower.templates import LoweringCache
from dagc.schedule.template import TemplateCache


@dataclass(slots=True)
class Caches:
    """Templates of layers, the costs of these, and the templates with their costs as a schedule reads them.

    Templates keep the spans of the plan that built them: where diagnostics point at the text, they are not shared.
    """

    templates: LoweringCache = field(default_factory=LoweringCache)
    costs: CostCache = field(default_factory=CostCache)
    timed: TemplateCache = field(default_factory=TemplateCache)
