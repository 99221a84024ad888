"""Which invocations of stages the kernel copies from the one before: pipelines small enough to do by hand.

Times in picoseconds. Of a stage one rank works for 10 and one for 20, then they start an exchange of 5 together, then
both work for 3; messages between stages take 2.
"""

from __future__ import annotations

import pytest

from dagc.graph.priced import PricedPhase
from dagc.ops.communication import Matching
from dagc.schedule.executor import Room
from dagc.schedule.interpreter import Interpreter
from dagc.schedule.kernel import Kernel
from dagc.schedule.program import program_of
from dagc.schedule.template import TemplateCache
from tests.property.timeline_graphs import collective, compute, phase, receive, send, template

RECEIVE, SEND = template(receive(2, 2, Matching.STAGE)), template(send(2, 2))
MEETING = template(compute([10, 20]), collective(5, [[0, 1]], (0,)), compute(3, (1,)))
ALONE = template(compute([10, 20]))


def pipeline(layer, micro_batches: list[int]) -> PricedPhase:
    """Two stages of one layer, as many sizes of micro-batches as are given."""
    programs = [[(1, 1), (2, 1)], [(0, 1), (1, 1)]]
    return phase([RECEIVE, layer, SEND], [programs] * (1 + max(micro_batches)), micro_batches, 2)


@pytest.mark.parametrize(
    ("priced", "copied", "makespan"),
    [
        # The first micro-batch leaves stage 0 at 28 as a message of 2, and stage 1 at 58, 28 after it came. From the
        # second one on, the lanes of a stage are the same at each begin: compute is free at 0 and communication at 2
        # in stage 0, at 3 and at 0 in stage 1, where the message is there at 3. Eight of ten are copied in each stage.
        pytest.param(pipeline(MEETING, [0] * 10), 2 * 8, 58 + 9 * 28, id="alike"),
        # Of the five of size 0 three in each stage, and of the two of size 1 neither: the one before has another size.
        pytest.param(pipeline(MEETING, [0] * 5 + [1, 0]), 2 * 3, 58 + 6 * 28, id="sizes"),
        # The slow rank falls ever further behind: 20 in stage 0, a message, and 20 for each in stage 1.
        pytest.param(pipeline(ALONE, [0] * 10), 0, 20 + 2 + 10 * 20, id="drifting"),
    ],
)
def test_an_invocation_that_finds_what_the_one_before_found_is_copied(
    priced: PricedPhase, copied: int, makespan: int
) -> None:
    program = program_of(priced, TemplateCache())
    table = program.first_step
    room = Room(table.row_count, table.entry_count)
    kernel = Kernel(program, program.templates, (table,), room)
    interpreter = Interpreter(program, program.templates, room)
    ended = kernel.run(table, range(len(table)), record=(0, 0))
    assert kernel.copied == copied
    assert ended is not None
    assert ended.makespan == makespan
    assert ended == interpreter.run(table, range(len(table)), record=(0, 0))
    assert kernel.starts.tolist() == interpreter.starts.tolist()
    paths = [one.walk_back(table, table.row_count - 1, 0) for one in (kernel, interpreter)]
    assert [column.tolist() for column in paths[0]] == [column.tolist() for column in paths[1]]
