"""TensorBoard files of a run: losses, learning rate and validations by step."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from freetumor_runtime.events import CheckpointSaved, Event, Ready, StepDone, Validated


class Board:
    """Writes TensorBoard files on rank 0. `purge_step` hides steps of an earlier run from this run's first step on."""

    def __init__(self, run_directory: str) -> None:
        self._folder = str(Path(run_directory) / "tensorboard")
        self._writer: SummaryWriter | None = None

    def record(self, event: Event) -> None:
        if isinstance(event, Ready):
            # steps count from 0: a validation after step s - 1 is recorded at s - 1, so that a resume at s keeps it
            self._writer = SummaryWriter(self._folder, purge_step=event.step)
        elif self._writer is None:
            return
        elif isinstance(event, StepDone):
            for name, value in event.losses.items():
                self._writer.add_scalar(f"loss/{name}", value, event.step)
            self._writer.add_scalar("learningRate", event.learning_rate, event.step)
        elif isinstance(event, Validated):
            for name, value in event.measures.items():
                self._writer.add_scalar(f"validation/{name}", value, event.step - 1)
        elif isinstance(event, CheckpointSaved):
            # a killed run resumes from this checkpoint: older values must be in the file
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
