"""Comparing the tensors of a file with those of a network, and telling what did not agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from freetumor_runtime.errors import CheckpointError


@dataclass(frozen=True)
class MatchReport:
    """Which tensors of a file met which of a network, by key."""

    file: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    # (key, shape in the file, shape in the network)
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def complete(self) -> bool:
        return not (self.missing or self.unexpected or self.mismatched)

    def sentence(self) -> str:
        wanted = len(self.matched) + len(self.missing) + len(self.mismatched)
        shapes = [f"{key} {file} for {network}" for key, file, network in self.mismatched]
        parts = [f"{self.file}: {len(self.matched)} of {wanted} tensors taken"]
        for what, keys in (("missing", self.missing), ("not used", self.unexpected), ("of another shape", shapes)):
            if keys:
                parts.append(f"{len(keys)} {what} ({_some(keys)})")
        return "; ".join(parts)


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], path: str) -> MatchReport:
    report = match(network, tensors, path)
    refuse_incomplete(report)
    network.load_state_dict(dict(tensors), strict=True)
    return report


def refuse_incomplete(report: MatchReport) -> None:
    if not report.complete:
        raise CheckpointError(report.sentence(), "the file must hold exactly this network; check its kind and size")


def match(network: nn.Module, tensors: Mapping[str, Tensor], path: str) -> MatchReport:
    """Compares keys and shapes; loads nothing."""
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    both = [key for key in wanted if key in found]
    return MatchReport(
        file=path,
        matched=tuple(key for key in both if wanted[key] == found[key]),
        missing=tuple(key for key in wanted if key not in found),
        unexpected=tuple(key for key in found if key not in wanted),
        mismatched=tuple((key, found[key], wanted[key]) for key in both if wanted[key] != found[key]),
    )


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:5])
    return shown if len(keys) <= 5 else f"{shown}, ..."
