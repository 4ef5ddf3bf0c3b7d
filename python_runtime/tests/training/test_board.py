"""TensorBoard files hold every step once, also after a resume."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from freetumor_runtime.events import CheckpointSaved, Ready, StepDone, Validated
from freetumor_runtime.training.board import Board


def record(folder, first, last, loss):
    board = Board(str(folder))
    board.record(Ready(first, {}))
    for step in range(first, last):
        board.record(StepDone(step, {"total": loss}, 1e-3, 0.1, 0.0))
    board.close()


def read(folder):
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def test_a_resumed_run_replaces_the_steps_that_it_makes_again(tmp_path):
    record(tmp_path, 0, 6, loss=1.0)
    record(tmp_path, 4, 8, loss=2.0)
    events = read(tmp_path)
    assert [(event.step, event.value) for event in events.Scalars("loss/total")] == [
        *[(step, 1.0) for step in range(4)],
        *[(step, 2.0) for step in range(4, 8)],
    ]
    assert len(events.Scalars("learningRate")) == 8


def test_validations_are_there_and_a_resume_at_their_checkpoint_keeps_them(tmp_path):
    board = Board(str(tmp_path))
    board.record(Ready(0, {}))
    board.record(Validated(4, {"tumorDice": 0.25}))
    board.close()
    record(tmp_path, 4, 6, loss=1.0)
    assert [event.value for event in read(tmp_path).Scalars("validation/tumorDice")] == [0.25]


def test_values_recorded_before_a_checkpoint_survive_a_kill(tmp_path):
    board = Board(str(tmp_path))
    board.record(Ready(0, {}))
    board.record(StepDone(0, {"total": 1.0}, 1e-3, 0.1, 0.0))
    board.record(CheckpointSaved(1, "somewhere", "interval"))
    # not closed: this is all that a killed process leaves
    assert [event.step for event in read(tmp_path).Scalars("loss/total")] == [0]
    board.close()
