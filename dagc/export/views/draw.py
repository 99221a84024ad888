"""Which views there are, and how each is made."""

from __future__ import annotations

from collections.abc import Callable

from dagc.export.views.critical import marked
from dagc.export.views.deployment import deployment_view
from dagc.export.views.layer import layer_view
from dagc.export.views.rank import rank_view
from dagc.export.views.stage import stage_view
from dagc.export.views.strategy import StrategyView
from dagc.export.views.view import Distance, View

_VIEWS: dict[Distance, Callable[[StrategyView], View]] = {
    Distance.DEPLOYMENT: deployment_view,
    Distance.STAGE: stage_view,
    Distance.LAYER: layer_view,
    Distance.RANK: rank_view,
}


def view_of(strategy: StrategyView, distance: Distance) -> View:
    """A strategy from one distance."""
    return marked(_VIEWS[distance](strategy), strategy)
