"""TensorBoard files of a run: losses, learning rate and validations by step."""

from pathlib import Path
from typing import TYPE_CHECKING

from freetumor_runtime.events import CheckpointSaved, Event, Ready, StepDone, Validated

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Board:
    """Writes TensorBoard files on rank 0. `purge_step` hides steps of an earlier run from this run's first step on."""

    def __init__(self, run_directory: str) -> None:
        self._folder = str(Path(run_directory) / "tensorboard")
        self._first_step: int | None = None
        self._opened: SummaryWriter | None = None

    def record(self, event: Event) -> None:
        if isinstance(event, Ready):
            # steps count from 0: a validation after step s - 1 is recorded at s - 1, so that a resume at s keeps it
            self._first_step = event.step
        elif self._first_step is None:
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
        if self._opened is not None:
            self._opened.close()

    @property
    def _writer(self) -> "SummaryWriter":
        """Return the writer; its import is left until the first step is done and reported."""
        if self._opened is None:
            from torch.utils.tensorboard import SummaryWriter

            self._opened = SummaryWriter(self._folder, purge_step=self._first_step)
        return self._opened
