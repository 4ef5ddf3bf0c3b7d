"""Compare the tensors of a file with those of a network; report what differs, and why."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from freetumor_runtime.errors import CheckpointError

# tensor name -> an axis of its shape, and its meaning
_MEANINGS = (
    (
        re.compile(r"swinViT\.patch_embed\.proj\.weight|down_tr64\.ops\.0\.conv1\.weight|stem\.weight"),
        1,
        "input channel",
    ),
    (re.compile(r"out\.conv\.conv\.weight|out_tr\.final_conv\.weight"), 0, "output"),
    (re.compile(r"head\.weight"), 1, "output"),
    (re.compile(r"swinViT\.patch_embed\.proj\.weight|stem\.weight"), 0, "feature size"),
    (re.compile(r"out_tr\.final_conv\.weight"), 1, "feature size"),
)
_V2_ONLY = re.compile(r"swinViT\.layers[1-4]c\.")


@dataclass(frozen=True)
class MatchReport:
    """How the tensors of a file match those of a network, by key."""

    file: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    # (key, shape in the file, shape in the network)
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    # how the file was read: prefixes, renamed keys, skipped entries
    reading: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not (self.missing or self.unexpected or self.mismatched)

    @property
    def causes(self) -> tuple[str, ...]:
        """Return why tensors differ, as far as their names and shapes show it."""
        without_v2 = any(_V2_ONLY.match(key) for key in self.missing) and not any(
            _V2_ONLY.match(key) for key in self.matched
        )
        is_swin = without_v2 and any(key.startswith("swinViT.layers1.") for key in self.matched)
        return (*(["SwinUNETR without use_v2 is not supported"] if is_swin else []), *_meanings(self.mismatched))

    def sentence(self) -> str:
        wanted = len(self.matched) + len(self.missing) + len(self.mismatched)
        shapes = [f"{key} {file} for {network}" for key, file, network in self.mismatched]
        parts = [f"{self.file}: {'; '.join([*self.causes, f'{len(self.matched)} of {wanted} tensors taken'])}"]
        for what, keys in (("missing", self.missing), ("not used", self.unexpected), ("of another shape", shapes)):
            if keys:
                parts.append(f"{len(keys)} {what} ({_some(keys)})")
        return "; ".join([*parts, *self.reading])


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], path: str) -> MatchReport:
    report = match(network, tensors, path)
    refuse_incomplete(report)
    network.load_state_dict(dict(tensors), strict=True)
    return report


def refuse_incomplete(report: MatchReport) -> None:
    if not report.complete:
        raise CheckpointError(report.sentence(), "set kind and size of the network to those of the file")


def match(network: nn.Module, tensors: Mapping[str, Tensor], path: str) -> MatchReport:
    """Compare keys and shapes without loading weights."""
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


def _meanings(mismatched: Sequence[tuple[str, tuple[int, ...], tuple[int, ...]]]) -> list[str]:
    said: dict[str, None] = {}
    for pattern, axis, what in _MEANINGS:
        for key, found, wanted in mismatched:
            if not pattern.fullmatch(key) or axis >= min(len(found), len(wanted)):
                continue
            if len(found) != len(wanted):
                said[f"expects a {len(wanted) - 2}-D network, the file has {len(found) - 2}-D weights"] = None
            elif found[axis] != wanted[axis]:
                said[f"expects {_counted(wanted[axis], what)}, the file has {found[axis]}"] = None
    return list(said)


def _counted(number: int, what: str) -> str:
    if what == "feature size":
        return f"feature size {number}"
    return f"{number} {what}{'' if number == 1 else 's'}"


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:5])
    return shown if len(keys) <= 5 else f"{shown}, ..."
