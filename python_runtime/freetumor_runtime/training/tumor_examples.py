"""Keep pictures of a few tumors of each kind: accepted, rejected and real ones of each organ and size."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from freetumor_runtime.config.training import TrainingSpec
from freetumor_runtime.data.components import largest_whole_component
from freetumor_runtime.data.crop_source import CropMeasures, CropVerdict
from freetumor_runtime.data.crops import PlannedCrop, augment_geometry
from freetumor_runtime.data.nifti import write_synced
from freetumor_runtime.synthesis.painted_crop import PaintedCrop
from freetumor_runtime.training.pictures import tumor_facts, tumor_plane, undo_geometry

# Pictures of each organ, size and verdict.
_PER_KIND = 2
# Real tumors are searched in the crops of the first steps only, because the search costs time.
_STEPS_WITH_REAL = 100
# Lower ends in mm of the diameters that count as sizes of real tumors.
_REAL_SIZES_MM = (0, 10, 20, 40)


class TumorExamples:
    """Saves the first tumors of each kind as `tumor_*.json` and `real_*.json` in `pictures/` of the run.

    The choice depends on the crops alone. A resumed run counts the pictures of earlier steps and replaces later ones,
    so it leaves the same files as an uninterrupted run.
    """

    def __init__(self, spec: TrainingSpec, first_step: int) -> None:
        self._spec = spec
        self._folder = Path(spec.runDirectory) / "pictures"
        self._counts: Counter[str] = Counter()
        for file in (file for kind in ("tumor", "real") for file in self._folder.glob(f"{kind}_*_*_*_*.json")):
            kind, step, _, _, what = file.stem.split("_", 4)
            if int(step) < first_step:
                self._counts[f"{kind}_{what}"] += 1
            else:
                file.unlink()

    def keep_judged(
        self,
        step: int,
        crops: Sequence[PlannedCrop],
        painted: Sequence[PaintedCrop],
        verdicts: dict[tuple[int, int], CropVerdict],
    ) -> None:
        """Keep painted tumors by their verdict, and real tumors of the crops without a painted one."""
        for crop, one in zip(crops, painted, strict=True):
            if one.measures is None:
                self.keep_real(step, crop, one.image_XYZ)
            elif one.measures.synthetic_voxels > 0:
                verdict = "accepted" if verdicts[(crop.item, crop.crop)].accepted else "rejected"
                mask_XYZ = one.fake_label_XYZ != one.label_XYZ
                self.keep_painted(step, crop, one.image_XYZ, one.fake_XYZ, mask_XYZ, one.measures, verdict)

    def keep_painted(
        self,
        step: int,
        crop: PlannedCrop,
        image_XYZ: Tensor,
        fake_XYZ: Tensor,
        mask_XYZ: Tensor,
        measures: CropMeasures,
        verdict: str,
    ) -> None:
        """Keep a painted tumor; `verdict` is accepted, rejected or recorded. Volumes are augmented, 0 to 1."""
        tumor = next(tumor for tumor in crop.tumors if tumor.draw == measures.draw)
        kind = f"{tumor.organ}_{tumor.size}_{verdict}"
        if self._counts[f"tumor_{kind}"] >= _PER_KIND:
            return
        judged = self._spec.baseline is not None
        share = measures.seen_voxels / measures.synthetic_voxels if judged else None
        facts = {"organ": tumor.organ, "size": tumor.size, "verdict": verdict, "shareSeen": share}
        volumes = {"host": image_XYZ * 255, "synthetic": fake_XYZ * 255, "mask": mask_XYZ}
        self._save("tumor", kind, step, crop, facts, volumes)

    def keep_real(self, step: int, crop: PlannedCrop, image_XYZ: Tensor) -> None:
        """Keep the largest real tumor that lies wholly in a crop. `image_XYZ` is augmented.

        Labels are read from the crop as it was sent, in host memory: a GPU would wait for a copy from it.
        """
        if step >= _STEPS_WITH_REAL:
            return
        label_XYZ = augment_geometry(crop.label, crop.augmentation)
        for organ in self._spec.organs:
            if all(self._counts[f"real_{organ.name}_{size}mm"] for size in _REAL_SIZES_MM):
                continue
            mask_XYZ = label_XYZ == organ.tumorLabel
            whole_XYZ = largest_whole_component(mask_XYZ.numpy()) if bool(mask_XYZ.any()) else None
            if whole_XYZ is None:
                continue
            volumes = {"host": image_XYZ * 255, "mask": torch.from_numpy(whole_XYZ)}
            diameter = tumor_facts(volumes["mask"], self._spec.spacingMm, self._spec.windowHu)["diameterMm"]
            size = max(low for low in _REAL_SIZES_MM if low <= diameter)
            kind = f"{organ.name}_{size}mm"
            if self._counts[f"real_{kind}"] < 1:
                self._save("real", kind, step, crop, {"organ": organ.name}, volumes)

    def _save(
        self, kind: str, what: str, step: int, crop: PlannedCrop, facts: dict, volumes: dict[str, Tensor]
    ) -> None:
        upright = {name: undo_geometry(volume, crop.augmentation) for name, volume in volumes.items()}
        picture = {
            "kind": kind,
            "step": step,
            "item": crop.item,
            "crop": crop.crop,
            **facts,
            **tumor_facts(upright["mask"], self._spec.spacingMm, self._spec.windowHu),
            "planes": [tumor_plane(upright, self._spec.spacingMm)],
        }
        self._folder.mkdir(exist_ok=True)
        name = f"{kind}_{step:08d}_{crop.item}_{crop.crop}_{what}.json"
        write_synced(str(self._folder / name), json.dumps(picture).encode())
        self._counts[f"{kind}_{what}"] += 1
