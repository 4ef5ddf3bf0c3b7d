"""TensorBoard files of a run: losses and learning rate by step."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from freetumor_runtime.events import Event, Ready, StepDone


class Board:
    """Written by rank 0. What an earlier run wrote from the first step of this one on is hidden (`purge_step`)."""

    def __init__(self, run_directory: str) -> None:
        self._folder = str(Path(run_directory) / "tensorboard")
        self._writer: SummaryWriter | None = None

    def record(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._writer = SummaryWriter(self._folder, purge_step=event.step)
        elif isinstance(event, StepDone) and self._writer is not None:
            for name, value in event.losses.items():
                self._writer.add_scalar(f"loss/{name}", value, event.step)
            self._writer.add_scalar("learningRate", event.learning_rate, event.step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
