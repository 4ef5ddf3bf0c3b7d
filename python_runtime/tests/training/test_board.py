"""TensorBoard files hold every step once, also after a resume."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from freetumor_runtime.events import Ready, StepDone
from freetumor_runtime.training.board import Board


def record(folder, first, last, loss):
    board = Board(str(folder))
    board.record(Ready(first, {}))
    for step in range(first, last):
        board.record(StepDone(step, {"total": loss}, 1e-3, 0.1, 0.0))
    board.close()


def test_a_resumed_run_replaces_the_steps_that_it_makes_again(tmp_path):
    record(tmp_path, 0, 6, loss=1.0)
    record(tmp_path, 4, 8, loss=2.0)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss/total")] == [
        *[(step, 1.0) for step in range(4)],
        *[(step, 2.0) for step in range(4, 8)],
    ]
    assert len(events.Scalars("learningRate")) == 8
