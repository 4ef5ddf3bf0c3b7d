"""The two steps of `freetumor data convert`: scan the headers of a folder, then convert the chosen series."""

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from freetumor_runtime.dicom.headers import DIRECTORY, Instance, Link, Unreadable, files_below, is_dicom, read_instances
from freetumor_runtime.dicom.labels import paint, read_label_object
from freetumor_runtime.dicom.series import Refused, Stack, grouped, kind_of, stack_of
from freetumor_runtime.dicom.volumes import Volume, convert_volume, write_volume
from freetumor_runtime.errors import DataError

_REPORT_SECONDS = 1.0


def scan(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield `progress`, one `series` for each series below `folder`, and `scanned` with the counts of files.

    The events hold texts of the files (identifiers, descriptions, names of segments) for the caller alone.
    """
    instances: list[Instance] = []
    unreadable: list[dict[str, Any]] = []
    others, links, files = 0, 0, 0
    spoke = time.monotonic()
    for at, path in enumerate(_files(request["folder"], request["without"])):
        if time.monotonic() - spoke > _REPORT_SECONDS:
            spoke = time.monotonic()
            yield {"type": "progress", "files": at}
        if isinstance(path, Link):
            links += 1
            continue
        try:
            if not is_dicom(path):
                others += 1
                continue
            found = read_instances(path)
        except Unreadable as error:
            unreadable.append({"file": at + 1, "reason": error.reason})
            continue
        except OSError:
            unreadable.append({"file": at + 1, "reason": "it cannot be read"})
            continue
        if found[0].sop_class == DIRECTORY:
            others += 1
        else:
            files += 1
            instances += found
    for group in _series(instances):
        yield {"type": "series", **_facts(group)}
    yield {"type": "scanned", "files": files, "others": others, "links": links, "unreadable": unreadable}


def convert(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield `converted` or `failed` for each job: a CT series, and the label object on its grid if there is one."""
    for job in request["jobs"]:
        started = time.monotonic()
        try:
            done = _convert(job, request["work"])
        except DataError as error:
            yield {"type": "refused", "job": job["job"], "code": "failed", "reason": str(error), "hint": error.hint}
            continue
        except (MemoryError, OSError) as error:
            reason = f"its conversion failed ({type(error).__name__})"
            yield {"type": "refused", "job": job["job"], "code": "failed", "reason": reason, "hint": ""}
            continue
        yield {"type": "converted", "job": job["job"], "seconds": round(time.monotonic() - started, 3), **done}


def _files(folder: str, without: str | None) -> Iterator[str | Link]:
    return files_below(folder, without) if os.path.isdir(folder) else iter([folder])


def _series(instances: Sequence[Instance]) -> list[list[Instance]]:
    """Return the series in the order of their study, number and UID, which no order of files changes."""
    groups = grouped(instances).values()

    def key(group: list[Instance]) -> tuple:
        first = min(group, key=lambda one: one.sop_uid)
        return first.study_uid, first.series_number or 0, first.series_uid

    return sorted(groups, key=key)


def _facts(group: list[Instance]) -> dict[str, Any]:
    first = min(group, key=lambda one: one.sop_uid)
    facts: dict[str, Any] = {
        "uid": first.series_uid,
        "study": first.study_uid,
        "frame": first.frame_uid,
        "patient": first.patient_id,
        "modality": first.modality,
        "kind": kind_of(group),
        "seriesNumber": first.series_number,
        "imageType": list(first.image_type),
        "description": f"{first.description} {first.protocol}",
        "kernel": first.kernel,
        "contrast": any(one.contrast for one in group),
        "lossy": any(one.lossy for one in group),
        "files": len({one.path for one in group}),
        "state": [list(one) for one in sorted({(one.sop_uid, one.size, one.modified_ns) for one in group})],
        "volume": None,
        "labels": None,
        "refusal": None,
    }
    try:
        if facts["kind"] == "image":
            facts["volume"] = _volume(stack_of(group))
        else:
            facts["labels"] = _labels(group)
    except (Refused, Unreadable) as error:
        facts["refusal"] = _refusal(error)
    except OSError:
        facts["refusal"] = {"code": "unreadable", "reason": "a file cannot be read"}
    except MemoryError:
        facts["refusal"] = {"code": "unreadable", "reason": "it takes more memory than allowed"}
    return facts


def _volume(stack: Stack) -> dict[str, Any]:
    return {
        "paths": list(dict.fromkeys(one.path for one in stack.slices)),
        "frames": [one.frame for one in stack.slices] if stack.slices[0].frame is not None else None,
        "shape": list(stack.shape),
        "spacingMm": [round(one, 6) for one in stack.spacing],
        "lps": stack.lps.tolist(),
        "rescale": [stack.slices[0].slope, stack.slices[0].intercept],
        "repeated": stack.repeated,
    }


def _labels(group: list[Instance]) -> dict[str, Any]:
    if len(group) != 1:
        raise Refused("several-objects", f"it has {len(group)} label objects (expected 1)")
    found = read_label_object(group[0].path)
    return {
        "path": group[0].path,
        "series": found.series_uid,
        "frame": found.frame_uid,
        "segments": [vars(one) for one in found.segments],
    }


def _refusal(error: Refused | Unreadable) -> dict[str, str]:
    return {"code": error.code if isinstance(error, Refused) else "unreadable", "reason": error.reason}


def _convert(job: dict[str, Any], work: str) -> dict[str, Any]:
    lps = np.array(job["lps"], np.float64)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    shape = tuple(job["shape"])
    done: dict[str, Any] = {"hu": None, "voxels": {}, "notes": [], "labelRefusal": None}
    if job["image"] is not None:
        volume = Volume(job["paths"], shape, affine, tuple(job["rescale"]), job["frames"])
        done["hu"] = vars(convert_volume(volume, job["image"], work))
    if job["labels"] is not None:
        asked = job["labels"]
        ids = {int(number): id for number, id in asked["ids"].items()}
        try:
            labels, voxels, notes = paint(asked["path"], shape, lps, ids, asked["order"])
        except (Refused, Unreadable) as error:
            return done | {"labelRefusal": _refusal(error)}
        write_volume(asked["target"], shape, np.dtype("u1"), affine, (labels[:, :, k] for k in range(shape[2])))
        done |= {"voxels": voxels, "notes": notes}
    return done
