"""Commands at the boundary of a step."""

import os
import signal

import pytest
import torch

from freetumor_runtime.events import Acknowledged, Validated
from freetumor_runtime.training.boundary import Boundary, Decision, LiveCommand
from freetumor_runtime.training.ranks import Ranks
from tests.training.voting import on_nodes

ALONE = Ranks(0, 1, torch.device("cpu"), None)


def boundary(*batches):
    queue = [list(batch) for batch in batches]
    return Boundary(ALONE, lambda: queue.pop(0) if queue else [])


def decided(decide):
    """All events, then the decision."""
    events = []
    while True:
        try:
            events.append(next(decide))
        except StopIteration as end:
            return [*events, end.value]


def test_a_step_without_commands_continues():
    assert decided(boundary().decide(3)) == [Decision(None, False, False, "")]


def test_a_learning_rate_is_acknowledged_with_the_step_it_holds_from():
    events = decided(boundary([LiveCommand(7, "setLearningRate", value=5e-5)]).decide(12))
    assert events == [Acknowledged(7, 12, ""), Decision(5e-5, False, False, "")]


def test_a_pause_holds_until_unpause_and_keeps_what_came_in_between():
    rate = LiveCommand(2, "setLearningRate", value=5e-5)
    commands = boundary([LiveCommand(1, "pause")], [rate], [LiveCommand(3, "unpause")])
    events = decided(commands.decide(5))
    assert [event.id for event in events[:-1]] == [1, 2, 3]
    assert events[-1] == Decision(5e-5, False, False, "")


def test_a_pause_of_several_ranks_ends_by_unpause_after_a_save_in_it():
    def begin(ranks):
        batches = [[LiveCommand(1, "pause")], [LiveCommand(2, "checkpoint")], [], [LiveCommand(3, "unpause")]]
        waiting = Boundary(ranks, lambda: batches.pop(0) if ranks.first and batches else [])
        return [decided(waiting.decide(5))[-1] for _ in range(2)]

    expected = [Decision(None, True, False, "", paused=True), Decision(None, False, False, "")]
    assert in_threads(2, begin) == [expected, expected]


def test_a_checkpoint_is_saved_during_a_pause_which_continues():
    commands = boundary([LiveCommand(1, "pause")], [LiveCommand(2, "checkpoint")], [LiveCommand(3, "unpause")])
    assert decided(commands.decide(5))[-1] == Decision(None, True, False, "", paused=True)
    assert decided(commands.decide(5))[-1] == Decision(None, False, False, "")


def test_a_stop_ends_a_pause():
    events = decided(boundary([LiveCommand(1, "pause")], [LiveCommand(2, "stop", reason="enough")]).decide(5))
    assert events[-1] == Decision(None, False, True, "enough")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR2"])
def test_a_signal_is_a_request_to_stop(name):
    waiting = boundary()
    os.kill(os.getpid(), getattr(signal, name))
    assert decided(waiting.decide(0))[-1] == Decision(None, False, True, "signal")


def verdict(reason=""):
    return LiveCommand(9, "validationVerdict", reason=reason, measures={"tumorDice": 0.5})


def test_a_validation_waits_for_its_verdict_and_reports_its_measures():
    events = decided(boundary([], [verdict()]).validated(8))
    assert events == [Acknowledged(9, 8, ""), Validated(8, {"tumorDice": 0.5}), None]


def test_a_verdict_may_end_the_run():
    assert decided(boundary([verdict("no gain")]).validated(8))[-1] == "no gain"


def test_commands_that_come_before_the_verdict_hold_from_the_next_boundary():
    commands = boundary([LiveCommand(1, "setLearningRate", value=1e-5)], [verdict()])
    assert decided(commands.validated(8))[-1] is None
    assert decided(commands.decide(8)) == [Acknowledged(1, 8, ""), Decision(1e-5, False, False, "")]


def test_what_is_asked_on_one_node_holds_on_all_of_them():
    def begin(ranks):
        commands = [[LiveCommand(1, "setLearningRate", value=5e-5)], [LiveCommand(2, "stop", reason="enough")]]
        waiting = Boundary(ranks, lambda: commands[ranks.node] if ranks.node < 2 else [])
        return decided(waiting.decide(5))[-1]

    decisions = in_threads(3, begin)
    assert [decision.learning_rate for decision in decisions] == [5e-5] * 3
    assert [decision.stop for decision in decisions] == [True] * 3
    assert [decision.reason for decision in decisions] == ["stop on node 1", "enough", "stop on node 1"]


def in_threads(count, work):
    with pytest.MonkeyPatch.context() as patch:
        # only the main thread may set handlers
        patch.setattr(signal, "signal", lambda *_: None)
        return on_nodes(count, work)
