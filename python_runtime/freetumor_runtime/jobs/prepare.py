"""Prepares cases for training (docs/method.md 4): RAS, the region's spacing, foreground crop, HU kept, into the cache.

    freetumor prepare --config configs/abdomen-baseline.yaml

Each of `workers` processes prepares one case at a time. A failed case is a result with an error; the others continue.
A cached case with the same inputs and settings is reused. With `verify`, every byte of a reused case is checked first,
and a damaged case is prepared again; otherwise, only its metadata are checked.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from freetumor_runtime.case_pool import refuse_twins, run_cases
from freetumor_runtime.config.cases import PrepareCase, PrepareSpec
from freetumor_runtime.data.cache import case_path, content_hash, read_attributes, total_bytes, verify_prepared_case
from freetumor_runtime.data.cache_writer import sweep_dead_writers, upgrade_prepared_case, write_prepared_case
from freetumor_runtime.data.label_ids import IGNORED_LABEL
from freetumor_runtime.data.nifti import files_of_scan, load_nifti
from freetumor_runtime.data.prepared_case import remap_label, resample_and_crop
from freetumor_runtime.errors import DataError, EnvironmentError
from freetumor_runtime.events import CaseResult, Event, Finished
from freetumor_runtime.system_errors import cannot_be_read

# Modules with slow imports, which only missing cases need: at most starts of a training all cases are cached.
_HEAVY = ("freetumor_runtime.data.grids", "zarr")

# Free space without which no case is tried, as for the results of other commands.
_FREE_BYTES = 1 << 20

# Version of the preparation. Increase it only if the same inputs give other voxels: all cases are prepared again.
_KEY_VERSION = 1


def prepare(spec: PrepareSpec) -> Iterator[Event]:
    yield from prepare_all(spec.cases, spec, spec.workers)
    yield Finished(0, "completed", "")


def prepare_all(cases: Sequence[PrepareCase], spec: PrepareSpec, workers: int) -> Iterator[CaseResult]:
    """Prepare all cases; yield each when done: the result of `prepare_case`, or `{error: {kind, message, hint}}`.

    Reused cases come first and need no process.
    """
    sweep_dead_writers(spec.directory)
    refuse_twins(cases)
    missing: list[PrepareCase] = []
    # Without the other cases: otherwise the sent data would grow with the square of their number.
    settings = replace(spec, cases=())
    # In threads: reading files and their checksums waits for the disk and leaves Python's lock free.
    with ThreadPoolExecutor(workers) as pool:
        for case, found in zip(cases, pool.map(partial(_look_up, spec=settings), cases), strict=True):
            if found is None:
                missing.append(case)
            else:
                yield CaseResult(case.id, found)
    made = _make_writable(Path(spec.directory)) if missing else []
    try:
        yield from run_cases(missing, partial(prepare_case, spec=settings), workers, "lower prepare.workers", _HEAVY)
    finally:
        # without any case, as on a full disk, they are empty
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def _make_writable(directory: Path) -> list[Path]:
    """Create the cache; return the folders that were missing, the inner ones first.

    Raises EnvironmentError if 1 MiB cannot be written there, before every case fails for that reason. Then no folder is
    created.
    """
    folders = (directory, *directory.parents)
    try:
        existing = next(at for at, folder in enumerate(folders) if folder.exists())
        with TemporaryFile(dir=folders[existing]) as probe:
            probe.write(bytes(_FREE_BYTES))
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentError(
            f"{directory}: the cache cannot be written ({error.strerror})", "name another folder with prepare.cache"
        ) from error
    return list(folders[:existing])


def _look_up(case: PrepareCase, spec: PrepareSpec) -> dict[str, Any] | None:
    """Return the result of `prepare_case` for a cached case; None for another case."""
    started = time.perf_counter()
    path = case_path(spec.directory, case.id)
    try:
        attributes = _reusable(path, prepared_key(case, spec), spec.verify) if path.exists() else None
        return None if attributes is None else _result_of(path, attributes, started, reused=True)
    except Exception:  # the process that prepares the case next reports the error
        return None


def prepare_case(case: PrepareCase, spec: PrepareSpec) -> dict[str, Any]:
    """Prepare one case; return `{path, shape, labelVoxels, contentSha256, bytes, seconds, reused}`.

    Raises DataError that names the file: unreadable, image and label on different grids, an id outside the label map,
    no voxel above the window's lower end.
    """
    started = time.perf_counter()
    path = case_path(spec.directory, case.id)
    key = prepared_key(case, spec)
    attributes = _reusable(path, key, spec.verify)
    reused = attributes is not None
    if attributes is None:
        attributes = _prepare(case, spec, path, key)
    return _result_of(path, attributes, started, reused)


def _result_of(path: Path, attributes: dict[str, Any], started: float, reused: bool) -> dict[str, Any]:
    return {
        "path": str(path),
        "shape": attributes["shape"],
        "labelVoxels": attributes["labelVoxels"],
        "contentSha256": attributes["contentSha256"],
        "bytes": total_bytes(path),
        "seconds": time.perf_counter() - started,
        "reused": reused,
    }


def prepared_key(case: PrepareCase, spec: PrepareSpec) -> str:
    """Return the hash of all that decides a prepared case: format, settings, and path, size and time of its files."""
    inputs = {
        "version": _KEY_VERSION,
        "case": asdict(case),
        "files": [
            _file_state(file) for scan in (case.image, case.label) if scan is not None for file in files_of_scan(scan)
        ],
        "spacingMm": spec.spacingMm,
        # The upper end decides nothing here: HU are kept.
        "windowLowerHu": spec.windowHu[0],
        "numIds": spec.numIds,
    }
    if spec.compression != "none":
        # the layout only: the voxels are the same
        inputs["compression"] = spec.compression
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _prepare(case: PrepareCase, spec: PrepareSpec, path: Path, key: str) -> dict[str, Any]:
    image_XYZ, affine = load_nifti(case.image)
    label_XYZ = _load_label(case, spec.numIds, image_XYZ.shape, affine)
    lower_hu = spec.windowHu[0]
    if image_XYZ.dtype.kind == "f" and not np.isfinite(image_XYZ).all():
        raise DataError(
            f"{case.image}: wrong HU (expected finite values, found NaN or infinity)", "repair or remove the file"
        )
    if not (image_XYZ > lower_hu).any():
        raise DataError(f"{case.image}: no voxel is above {lower_hu} HU", "name a CT in Hounsfield units")
    image, label, prepared_affine, start = resample_and_crop(image_XYZ, label_XYZ, affine, spec.spacingMm, lower_hu)
    if image.size == 0:
        raise DataError(f"{case.image}: no voxel is above {lower_hu} HU after resampling", "name a whole CT")
    if (label == IGNORED_LABEL).all():
        message = f"{case.label}: no voxel to learn from (expected a labelled voxel, found only ignored ones)"
        raise DataError(message, "leave the case out, or correct the label map")
    hu = np.ascontiguousarray(np.clip(np.rint(image), -32768, 32767).astype(np.int16))
    label = np.ascontiguousarray(label)
    attributes = {
        "case": case.id,
        "sourceShape": list(image_XYZ.shape),
        "sourceAffine": affine.ravel().tolist(),
        "shape": list(image.shape),
        "affine": prepared_affine.ravel().tolist(),
        "spacingMm": list(spec.spacingMm),
        "windowHu": list(spec.windowHu),
        "cropStart": start,
        "labelVoxels": np.bincount(label.ravel(), minlength=spec.numIds)[: spec.numIds].tolist(),
        "contentSha256": content_hash(hu, label),
        "key": key,
    }
    write_prepared_case(path, hu, label, spec.numIds, lower_hu, attributes, spec.compression)
    return attributes


def _load_label(case: PrepareCase, num_ids: int, shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    from freetumor_runtime.data.grids import align_label

    if case.label is None:
        return np.zeros(shape, np.uint8)
    source_XYZ, label_affine = load_nifti(case.label)
    aligned = align_label(source_XYZ, label_affine, shape, affine)
    if aligned is None:
        raise DataError(
            f"{case.label}: its grid ({list(source_XYZ.shape)} voxels) is not that of the image {case.image} "
            f"({list(shape)} voxels) in physical space",
            "resample the label to its image, or repair the wrong header",
        )
    return remap_label(aligned, case.labelMap, num_ids, case.label)


def _reusable(path: Path, key: str, verify: bool) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        attributes = verify_prepared_case(path) if verify else read_attributes(path)
    except DataError:
        # Add checksums to a case without them; a damaged case is prepared again.
        attributes = upgrade_prepared_case(path)
    if attributes is None or attributes.get("key") != key or "contentSha256" not in attributes:
        return None
    return attributes


def _file_state(file: str) -> list[Any]:
    try:
        state = os.stat(file)
    except OSError as error:
        raise DataError(cannot_be_read(file, error), "correct the path in the list") from error
    return [str(Path(file).resolve()), state.st_size, state.st_mtime_ns]
