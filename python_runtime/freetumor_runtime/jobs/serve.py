"""A warm runtime: networks are loaded once, then calls are answered one by one until the caller goes (openRuntime).

    await using runtime = await openRuntime({ generator, baseline })

Segmentation of a volume in memory, and tumors painted into one; the plans and the verdicts are TypeScript's.
"""

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from freetumor_runtime.config.serving import ServeSpec
from freetumor_runtime.data.call_source import CallRefusal, CallResult, CallSource, PaintCall, SegmentCall
from freetumor_runtime.data.crops import window_intensity
from freetumor_runtime.data.variant_source import Attempt
from freetumor_runtime.data.volumes import logits_to_original_grid, prepared_image
from freetumor_runtime.data.way_back import nearest_on_scan
from freetumor_runtime.errors import EnvironmentError, FreetumorError, Stopped, UsageError
from freetumor_runtime.events import Event, Ready
from freetumor_runtime.inference.sliding_windows import labels_of, segment_volume
from freetumor_runtime.synthesis.painting import mark_synthetic
from freetumor_runtime.synthesis.subvolume import OpenSubvolume, Tools, measure_attempt, paint_attempt
from freetumor_runtime.training.heap import keep_freed_memory
from freetumor_runtime.training.ranks import Ranks


def serve(spec: ServeSpec, ranks: Ranks, calls: CallSource) -> Iterator[Event]:
    keep_freed_memory(ranks.device)
    tools = Tools.load(spec, ranks.device)
    networks = {"generator": tools.generator, "baseline": tools.judge.network if tools.judge else None}
    loaded = {name: network for name, network in networks.items() if network is not None}
    watch = NetworkWatch(ranks.device, list(loaded.values()))
    yield Ready(0, {name: sum(one.numel() for one in network.parameters()) for name, network in loaded.items()})
    for call in calls:
        watch.begin(lambda call=call: calls.cancelled(call.id))
        try:
            result = answer(call, tools, watch)
        except torch.OutOfMemoryError:
            error = EnvironmentError(
                f"{ranks.device}: out of memory for a volume of {list(call.image_hu.shape)} voxels",
                "pass smaller volumes, or omit `logits`",
            )
            result = refused(error, watch)
        except FreetumorError as error:
            result = refused(error, watch)
        calls.answer(call.id, result)


def refused(error: FreetumorError, watch: "NetworkWatch") -> CallRefusal:
    return CallRefusal(watch.seconds, error.kind, str(error), error.hint)


def answer(call: SegmentCall | PaintCall, tools: Tools[ServeSpec], watch: "NetworkWatch") -> CallResult:
    """Return the result of a call. Raises Stopped if it was cancelled before it began or between two windows."""
    watch.leave_if_cancelled()
    return segment(call, tools, watch) if isinstance(call, SegmentCall) else paint(call, tools, watch)


class NetworkWatch:
    """Stands before and behind every forward of the networks: counts their seconds, and leaves a cancelled call."""

    def __init__(self, device: torch.device, networks: Sequence[nn.Module]) -> None:
        self.seconds = 0.0
        self._device = device
        self._cancelled: Callable[[], bool] = lambda: False
        self._started = 0.0
        for network in networks:
            network.register_forward_pre_hook(self._before)
            network.register_forward_hook(self._after)

    def begin(self, cancelled: Callable[[], bool]) -> None:
        self.seconds, self._cancelled = 0.0, cancelled

    def leave_if_cancelled(self) -> None:
        if self._cancelled():
            raise Stopped("the call was cancelled", "repeat the call without aborting its signal")

    def _before(self, *_) -> None:
        self.leave_if_cancelled()
        self._started = self._now()

    def _after(self, *_) -> None:
        self.seconds += self._now() - self._started

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return perf_counter()


@torch.no_grad()
def segment(call: SegmentCall, tools: Tools[ServeSpec], watch: NetworkWatch) -> CallResult:
    """Return labels uint8, and logits float32 [C, ...] if requested, on the grid of the volume."""
    spec = tools.spec
    if tools.judge is None:
        raise UsageError("this runtime has no segmentor", "open it with `baseline`")
    prepared = None
    image_hu = call.image_hu
    if call.affine is not None:
        affine = np.array(call.affine).reshape(4, 4)
        prepared = prepared_image(image_hu.numpy(), affine, spec.spacingMm, spec.windowHu[0])
        image_hu = prepared.image_hu
    image_XYZ = window_intensity(image_hu.to(tools.device), spec.windowHu)
    logits_CXYZ = averaged_logits(tools.judge.network, image_XYZ, spec)
    watch.leave_if_cancelled()
    labels_XYZ = labels_of(logits_CXYZ).cpu()
    if prepared is None:
        tensors = {"labels": labels_XYZ}
        return CallResult(watch.seconds, tensors | ({"logits": logits_CXYZ.float().cpu()} if call.logits else {}))
    labels_IJK = nearest_on_scan(labels_XYZ.numpy(), prepared.grids, spec.segmentPatchVoxels)
    tensors = {"labels": torch.from_numpy(labels_IJK)}
    if call.logits:
        tensors["logits"] = logits_to_original_grid(logits_CXYZ, prepared)
    return CallResult(watch.seconds, tensors)


def averaged_logits(network: nn.Module, image_XYZ: Tensor, spec: ServeSpec) -> Tensor:
    """Return logits [C, X, Y, Z]. A volume that fits into one window needs no average."""
    patch, windows = spec.segmentPatchVoxels, spec.segmentWindows
    if any(length > side for length, side in zip(image_XYZ.shape, patch, strict=True)):
        return segment_volume(
            network, image_XYZ, patch, windows.overlap, windows.blend, windows.windowBatch
        ).logits_CXYZ
    excess = [side - length for length, side in zip(image_XYZ.shape, patch, strict=True)]
    if not any(excess):
        return network(image_XYZ[None, None])[0]
    padding = [part for one in reversed(excess) for part in (one // 2, one - one // 2)]
    logits_CXYZ = network(pad(image_XYZ, padding)[None, None])[0]
    inside = [slice(one // 2, one // 2 + length) for one, length in zip(excess, image_XYZ.shape, strict=True)]
    return logits_CXYZ[(slice(None), *inside)]


@torch.no_grad()
def paint(call: PaintCall, tools: Tools[ServeSpec], watch: NetworkWatch) -> CallResult:
    """Return the image with painted tumors, the label with their ids, and 1 where an intensity may differ."""
    spec = tools.spec
    subvolume = OpenSubvolume.open(call.image_hu, call.label, tools)
    painted_XYZ = subvolume.image_XYZ.clone()
    attempts = [Attempt(at, 0, plan) for at, plan in enumerate(call.tumors)]
    tumors = [paint_attempt(subvolume, painted_XYZ, attempt, ("call", 0)) for attempt in attempts]
    measures = tuple(
        measure_attempt(subvolume, tools, painted_XYZ, tumor, attempt)
        for tumor, attempt in zip(tumors, attempts, strict=True)
    )
    label_XYZ = subvolume.label_XYZ.clone()
    for tumor in tumors:
        if tumor is not None:
            mark_synthetic(label_XYZ, tumor.box, tumor.roles_XYZ, tumor.organ.tumorLabel)
    delta_hu_XYZ = ((painted_XYZ - subvolume.image_XYZ) * (spec.windowHu[1] - spec.windowHu[0])).cpu()
    image_XYZ = painted_XYZ.cpu()
    if not call.windowed:
        # values beyond the window keep what they are beyond it
        changed_hu_XYZ = call.image_hu.to(torch.float32) + delta_hu_XYZ
        image_XYZ = changed_hu_XYZ.round_().clamp_(-32768, 32767).to(torch.int16)
    tensors = {"image": image_XYZ, "label": label_XYZ.cpu(), "change": (delta_hu_XYZ != 0).to(torch.uint8)}
    return CallResult(watch.seconds, tensors, measures)
