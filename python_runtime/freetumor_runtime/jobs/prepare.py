"""Prepares cases for training (METHOD 4): RAS, the region's spacing, foreground crop, HU kept, into the cache.

    freetumor prepare --config configs/abdomen-baseline.yaml

One process a case at a time, `workers` of them. A case that fails is a result with an error; the others go on. A case
whose inputs and settings are those of the cached one is reused.
"""

import hashlib
import json
import os
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, CropForegroundd, Orientationd, Spacingd

from freetumor_runtime.config import PrepareCase, PrepareSpec
from freetumor_runtime.data.cache import (
    FORMAT_VERSION,
    case_path,
    read_attributes,
    sweep_dead_writers,
    total_bytes,
    write_prepared_case,
)
from freetumor_runtime.data.nifti import load_nifti
from freetumor_runtime.errors import ConfigError, DataError, FreetumorError
from freetumor_runtime.events import CaseResult, Event, Finished

_FEWER_WORKERS = "lower prepare.workers"
# Two grids are one when no corner differs by more than this share of a voxel: headers round, masks do not move.
_GRID_TOLERANCE_VOXELS = 0.1


def prepare(spec: PrepareSpec) -> Iterator[Event]:
    yield from prepare_all(spec.cases, spec, spec.workers)
    yield Finished(0, "completed", "")


def prepare_all(cases: Sequence[PrepareCase], spec: PrepareSpec, workers: int) -> Iterator[CaseResult]:
    """Prepares all cases, yields each when done: what `prepare_case` returns, or `{error: {kind, message, hint}}`."""
    _refuse_twins(cases)
    sweep_dead_writers(spec.directory)
    pending = list(cases)
    while pending:
        lost = []
        for case, outcome in _run_pool(pending, spec, workers):
            if outcome is None:
                lost.append(case)
            else:
                yield CaseResult(case.id, outcome)
        if lost and workers == 1:
            yield CaseResult(lost[0].id, _process_died(lost[0]))
            lost = lost[1:]
        # Which of several cases killed its process cannot be known: the rest goes one by one.
        pending, workers = lost, 1


def prepare_case(case: PrepareCase, spec: PrepareSpec) -> dict[str, Any]:
    """Prepares one case and returns `{path, shape, labelVoxels, bytes, seconds, reused}`.

    Raises DataError that names the file: unreadable, image and label on different grids, an id outside the label map,
    no voxel above the window's lower end.
    """
    started = time.perf_counter()
    path = case_path(spec.directory, case.id)
    key = prepared_key(case, spec)
    attributes = _reusable(path, key)
    reused = attributes is not None
    if attributes is None:
        attributes = _prepare(case, spec, path, key)
    return {
        "path": str(path),
        "shape": attributes["shape"],
        "labelVoxels": attributes["labelVoxels"],
        "bytes": total_bytes(path),
        "seconds": time.perf_counter() - started,
        "reused": reused,
    }


def prepared_key(case: PrepareCase, spec: PrepareSpec) -> str:
    """Hash of all that decides a prepared case: format, settings, and path, size and time of its files."""
    inputs = {
        "version": FORMAT_VERSION,
        "case": asdict(case),
        "files": [_file_state(file) for file in (case.image, case.label) if file is not None],
        "spacingMm": spec.spacingMm,
        # The upper end decides nothing here: HU are kept.
        "windowLowerHu": spec.windowHu[0],
        "numIds": spec.numIds,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def align_label(
    label_XYZ: np.ndarray, label_affine: np.ndarray, shape: Sequence[int], affine: np.ndarray
) -> np.ndarray | None:
    """The label on the image's grid, by permuting and flipping its axes; None when its grid is another one.

    Grids are compared in the world: affines are 4x4, voxel to RAS millimetres.
    """
    to_image = np.linalg.inv(affine) @ label_affine
    axes = np.abs(to_image[:3, :3]).argmax(axis=0)
    if sorted(axes) != [0, 1, 2]:
        return None
    signs = np.sign(to_image[axes, range(3)])
    permuted = np.transpose(label_XYZ, np.argsort(axes))
    flips = [axis for source, axis in enumerate(axes) if signs[source] < 0]
    if permuted.shape != tuple(shape):
        return None

    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    corners[:, :3] *= np.array(label_XYZ.shape) - 1
    found = corners @ to_image.T
    expected = np.empty((8, 3))
    for source, axis in enumerate(axes):
        voxel = corners[:, source]
        expected[:, axis] = voxel if signs[source] > 0 else shape[axis] - 1 - voxel
    if np.abs(found[:, :3] - expected).max() > _GRID_TOLERANCE_VOXELS:
        return None
    return np.flip(permuted, flips)


def remap_label(label_XYZ: np.ndarray, label_map: dict[str, int], num_ids: int, file: str) -> np.ndarray:
    """Source ids -> region ids as uint8. 0 stays 0 unless the map says otherwise; an id outside the map is refused."""
    mapping = {0: 0, **{int(source): target for source, target in label_map.items()}}
    outside = sorted({target for target in mapping.values() if not 0 <= target < num_ids})
    if outside:
        raise DataError(f"{file}: its label map leads to {outside}, ids 0 to {num_ids - 1} exist", "correct the map")
    ids = np.unique(label_XYZ)
    unknown = [value for value in ids.tolist() if value not in mapping]
    if unknown:
        raise DataError(
            f"{file}: label ids {unknown[:10]} are not in the data set's map, which knows {sorted(mapping)}",
            "add them to the map (to 0 where they are to be background) or correct the file",
        )
    targets = np.array([mapping[int(value)] for value in ids], np.uint8)
    return targets[np.searchsorted(ids, label_XYZ)]


def resample_and_crop(
    image_XYZ: np.ndarray,
    label_XYZ: np.ndarray,
    affine: np.ndarray,
    spacing_mm: Sequence[float],
    window_lower_hu: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """RAS, spacing (bilinear image, nearest label), crop to HU above the window's lower end.

    Returns image float [X, Y, Z], label uint8 [X, Y, Z], the affine of their grid, and the crop's first voxel in the
    uncropped grid.
    """
    both = ["image", "label"]
    transforms = Compose(
        [
            Orientationd(keys=both, axcodes="RAS", labels=None),
            Spacingd(keys=both, pixdim=tuple(spacing_mm), mode=("bilinear", "nearest")),
            CropForegroundd(
                keys=both,
                source_key="image",
                select_fn=lambda image: image > window_lower_hu,
                allow_smaller=True,
                start_coord_key="start",
                end_coord_key="end",
            ),
        ]
    )
    world = torch.as_tensor(affine, dtype=torch.float64)
    prepared = transforms(
        {
            "image": MetaTensor(torch.from_numpy(np.ascontiguousarray(image_XYZ, np.float32))[None], affine=world),
            "label": MetaTensor(torch.from_numpy(np.ascontiguousarray(label_XYZ, np.uint8))[None], affine=world),
        }
    )
    start = [int(value) for value in prepared["start"]]
    label = prepared["label"].numpy()[0].astype(np.uint8)
    return prepared["image"].numpy()[0], label, prepared["image"].affine.numpy(), start


def _refuse_twins(cases: Sequence[PrepareCase]) -> None:
    counts = Counter(case.id for case in cases)
    twins = sorted(case_id for case_id, count in counts.items() if count > 1)
    if twins:
        raise ConfigError(f"cases {twins[:5]} are listed more than once", "give every case an id of its own")


def _prepare(case: PrepareCase, spec: PrepareSpec, path: Path, key: str) -> dict[str, Any]:
    image_XYZ, affine = load_nifti(case.image)
    label_XYZ = _load_label(case, spec.numIds, image_XYZ.shape, affine)
    lower_hu = spec.windowHu[0]
    if not np.isfinite(image_XYZ).all():
        raise DataError(f"{case.image}: finite HU were expected, found NaN or infinity", "repair or remove the file")
    if not (image_XYZ > lower_hu).any():
        raise DataError(f"{case.image}: no voxel lies above {lower_hu} HU", "is this a CT in Hounsfield units?")
    image, label, prepared_affine, start = resample_and_crop(image_XYZ, label_XYZ, affine, spec.spacingMm, lower_hu)
    if image.size == 0:
        raise DataError(f"{case.image}: no voxel lies above {lower_hu} HU after resampling", "is this a whole CT?")
    attributes = {
        "case": case.id,
        "sourceShape": list(image_XYZ.shape),
        "sourceAffine": affine.ravel().tolist(),
        "shape": list(image.shape),
        "affine": prepared_affine.ravel().tolist(),
        "spacingMm": list(spec.spacingMm),
        "windowHu": list(spec.windowHu),
        "cropStart": start,
        "labelVoxels": np.bincount(label.ravel(), minlength=spec.numIds).tolist(),
        "key": key,
    }
    hu = np.clip(np.rint(image), -32768, 32767).astype(np.int16)
    write_prepared_case(path, hu, label, spec.numIds, lower_hu, attributes)
    return attributes


def _load_label(case: PrepareCase, num_ids: int, shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    if case.label is None:
        return np.zeros(shape, np.uint8)
    source_XYZ, label_affine = load_nifti(case.label)
    aligned = align_label(source_XYZ, label_affine, shape, affine)
    if aligned is None:
        raise DataError(
            f"{case.label}: its grid ({list(source_XYZ.shape)} voxels) is not that of the image {case.image} "
            f"({list(shape)} voxels) in the world",
            "resample the label to its image, or repair the header that is wrong",
        )
    return remap_label(aligned, case.labelMap, num_ids, case.label)


def _reusable(path: Path, key: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        attributes = read_attributes(path)
    except DataError:
        # A damaged or older case is written anew, which is what its error would ask for.
        return None
    return attributes if attributes.get("key") == key else None


def _file_state(file: str) -> list[Any]:
    try:
        state = os.stat(file)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})", "correct the path in the list") from error
    return [str(Path(file).resolve()), state.st_size, state.st_mtime_ns]


def _run_pool(
    cases: Sequence[PrepareCase], spec: PrepareSpec, workers: int
) -> Iterator[tuple[PrepareCase, dict[str, Any] | None]]:
    """Each case with its outcome; None where its process died. Of one worker, the first None is the one that died."""
    pool = ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn"), initializer=_start_worker)
    lost: set[str] = set()
    with pool:
        futures: dict[Future, PrepareCase] = {}
        try:
            for case in cases:
                futures[pool.submit(_outcome, case, spec)] = case
        except BrokenProcessPool:
            # It died while cases were still being handed over.
            handed = {case.id for case in futures.values()}
            lost |= {case.id for case in cases if case.id not in handed}
        try:
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except BrokenProcessPool:
                    lost.add(futures[future].id)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    for case in cases:
        if case.id in lost:
            yield case, None


def _start_worker() -> None:
    torch.set_num_threads(1)
    parent = parent_process()

    def leave_with_parent() -> None:
        if parent is not None:
            parent.join()
        os._exit(97)

    # A killed parent cannot tell its workers to stop.
    threading.Thread(target=leave_with_parent, daemon=True).start()


def _outcome(case: PrepareCase, spec: PrepareSpec) -> dict[str, Any]:
    try:
        return prepare_case(case, spec)
    except FreetumorError as error:
        return _failure(error.kind, str(error), error.hint)
    except MemoryError:
        return _failure("environment", f"case {case.id}: not enough memory", _FEWER_WORKERS)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"case {case.id}: {type(error).__name__} in {where.name}: {error}"
        return _failure("runtime", message, "look at the file; report this if it is sound")


def _process_died(case: PrepareCase) -> dict[str, Any]:
    return _failure("environment", f"case {case.id}: its process died, probably killed for memory", _FEWER_WORKERS)


def _failure(kind: str, message: str, hint: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message, "hint": hint}}
