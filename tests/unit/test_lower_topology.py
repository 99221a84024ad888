"""Groups of ranks on nodes: known ones are taken for the same pattern, and for no other."""

from __future__ import annotations

import numpy as np

from dagc.degrees import AxisKind
from dagc.lower.topology import place
from dagc.ops.groups import Groups
from tests.unit.lowering_plans import layout

PAIRS = (AxisKind.TP,)


def test_teams_that_share_nodes_in_the_same_way_have_the_same_groups() -> None:
    known: dict[object, Groups] = {}
    first, later = (place(np.arange(start, start + 4), 4, known) for start in (0, 8))
    assert first.layout_groups(layout(dp=2, tp=2), PAIRS) is later.layout_groups(layout(dp=2, tp=2), PAIRS)


def test_groups_of_another_pattern_layout_or_axis_are_others() -> None:
    """Ranks 1 to 4 on nodes of four: the second pair is on two nodes."""
    known: dict[object, Groups] = {}
    aligned, shifted = place(np.arange(4), 4, known), place(np.arange(1, 5), 4, known)
    assert aligned.layout_groups(layout(dp=2, tp=2), PAIRS).nodes.tolist() == [1, 1]
    assert shifted.layout_groups(layout(dp=2, tp=2), PAIRS).nodes.tolist() == [1, 2]
    assert shifted.layout_groups(layout(tp=4), PAIRS).nodes.tolist() == [2]
    across = shifted.layout_groups(layout(dp=2, tp=2), (AxisKind.DP,))
    assert across.members.tolist() == [[0, 2], [1, 3]]
