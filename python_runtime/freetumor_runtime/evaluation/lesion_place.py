"""Depth of true lesions in their organ, and their contrast to it (docs/method.md, places and contrasts)."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from freetumor_runtime.data.boxes import as_box, grown
from freetumor_runtime.data.components import components
from freetumor_runtime.data.surroundings import RING_VOXELS, dilated, organ_around
from freetumor_runtime.evaluation.lesion_rule import TOUCHING
from freetumor_runtime.evaluation.masks import box_around, is_any


def lesion_places(
    truth_XYZ: np.ndarray,
    affine: np.ndarray,
    tumor_labels: Sequence[int],
    organ_of_tumor: Mapping[int, int],
    image_XYZ: np.ndarray | None = None,
    ignored_XYZ: np.ndarray | None = None,
) -> list[dict[str, float]]:
    """Return `depthMm` and `contrastHu` of the true lesions, in the order of `find_lesions`; each missing if unknown.

    Depth: mm from the centre of the lesion to that of the nearest voxel outside the organ and its tumors; ignored
    voxels and those beyond the label are not outside. 0 for a centre outside; unknown if the label has no organ.
    Contrast: mean HU of the lesion less the median of the organ 2 to 6 voxels around it; `image_XYZ` is on the
    label's grid.
    """
    tumors_XYZ = is_any(truth_XYZ, tumor_labels)
    box = box_around(tumors_XYZ, is_any(truth_XYZ, list(organ_of_tumor.values())))
    if box is None or not tumors_XYZ.any():
        return []
    # with the voxels next to the organs
    box = grown(as_box(box), 1, truth_XYZ.shape)
    truth_XYZ = np.ascontiguousarray(truth_XYZ[box])
    image_XYZ, ignored_XYZ = (None if one is None else one[box] for one in (image_XYZ, ignored_XYZ))
    pieces_XYZ = components(tumors_XYZ[box], TOUCHING)
    depths_of = {
        tumor: _Depths(truth_XYZ, affine, tumor, organ, ignored_XYZ) for tumor, organ in organ_of_tumor.items()
    }
    found = []
    for number, box in enumerate(ndimage.find_objects(pieces_XYZ), start=1):
        piece = pieces_XYZ[box] == number
        tumor = int(np.bincount(truth_XYZ[box][piece]).argmax())
        place: dict[str, float] = {}
        if tumor in organ_of_tumor:
            centre = np.argwhere(piece).mean(0) + [side.start for side in box]
            place |= depths_of[tumor].at(centre)
            if image_XYZ is not None:
                around = grown(as_box(box), RING_VOXELS[1], truth_XYZ.shape)
                lesion, organ = pieces_XYZ[around] == number, truth_XYZ[around] == organ_of_tumor[tumor]
                place |= _contrast(image_XYZ[around], lesion, organ)
        found.append(place)
    return found


class _Depths:
    """The voxels next to an organ with its tumors, among which the nearest one outside it is."""

    def __init__(
        self, truth_XYZ: np.ndarray, affine: np.ndarray, tumor: int, organ: int, ignored_XYZ: np.ndarray | None
    ) -> None:
        self._turn = affine[:3, :3]
        self._inside_XYZ = (truth_XYZ == organ) | (truth_XYZ == tumor)
        self._tree: KDTree | None = None
        box = box_around(self._inside_XYZ)
        if box is None or not (truth_XYZ[box] == organ).any():
            return
        box = grown(as_box(box), 1, truth_XYZ.shape)
        inside_XYZ = self._inside_XYZ[box]
        beside_XYZ = dilated(inside_XYZ, 1) & ~inside_XYZ
        if ignored_XYZ is not None:
            beside_XYZ &= ~ignored_XYZ[box]
        places = np.argwhere(beside_XYZ) + [side.start for side in box]
        if len(places) > 0:
            self._tree = KDTree(places @ self._turn.T)

    def at(self, centre: np.ndarray) -> dict[str, float]:
        if self._tree is None:
            return {}
        if not self._inside_XYZ[tuple(np.rint(centre).astype(int))]:
            return {"depthMm": 0.0}
        return {"depthMm": float(self._tree.query(self._turn @ centre)[0])}


def _contrast(image_XYZ: np.ndarray, lesion_XYZ: np.ndarray, organ_XYZ: np.ndarray) -> dict[str, float]:
    ring_XYZ = organ_around(lesion_XYZ, organ_XYZ)
    if not ring_XYZ.any():
        return {}
    contrast = image_XYZ[lesion_XYZ].mean(dtype=np.float64) - np.median(image_XYZ[ring_XYZ])
    return {"contrastHu": float(contrast)} if np.isfinite(contrast) else {}
