"""Pictures of an offline synthesis: the whole slice of a tumor, and real tumors of the host."""

import base64
import json
from types import SimpleNamespace

import numpy as np
import torch

from freetumor_runtime.config.common import Organ
from freetumor_runtime.jobs import synthesize
from freetumor_runtime.synthesis.render import SYNTHETIC

SPACING, WINDOW = (1.0, 1.0, 2.0), (-100.0, 100.0)


def pixels(plane, key):
    return np.frombuffer(base64.b64decode(plane[key]), np.uint8).reshape(plane["height"], plane["width"])


def test_the_whole_slice_has_the_tumor_at_its_place_in_the_scan(monkeypatch):
    scan = np.zeros((400, 30, 9), np.int16)
    asked = []

    def read(path, part, content_sha256):
        asked.append((path, part, content_sha256))
        return scan[part], None, {}

    monkeypatch.setattr(synthesize, "read_prepared_subvolume", read)
    roles = torch.zeros(4, 4, 3, dtype=torch.uint8)
    # most of the tumor is in the last plane of the box
    roles[1:3, 1:3, 2] = roles[1, 1, 1] = SYNTHETIC
    # the box starts 200, 10, 3 voxels into the subvolume, which starts at 100, 5, 1
    box = (slice(200, 204), slice(10, 14), slice(3, 6))
    tumor = SimpleNamespace(box=box, roles_XYZ=roles)
    case = SimpleNamespace(start=(100, 5, 1), case=SimpleNamespace(prepared="a.zarr", contentSha256="f"))
    spec = SimpleNamespace(windowHu=WINDOW, spacingMm=SPACING)
    picture = synthesize.whole_slice(case, spec, tumor, torch.ones(4, 4, 3))
    assert asked == [("a.zarr", (slice(None), slice(None), slice(6, 7)), "f")]
    assert (picture["width"], picture["height"], picture["pixelMm"]) == (320, 30, [1.25, 1.0])
    image, mask = (np.flip(pixels(picture, key), (0, 1)).T for key in ("image", "mask"))
    # pixel 241 is voxel 301, the next one voxel 303: the tumor is in voxels 301 and 302
    assert np.argwhere(mask).tolist() == [[241, 16], [241, 17]]
    assert image[10, 10] == 128 and image[241, 17] == 255


def test_the_largest_real_tumor_of_each_organ_of_a_host_is_pictured(tmp_path):
    label = torch.zeros(50, 50, 10, dtype=torch.uint8)
    label[10:14, 10:14, 4:6], label[30:33, 30:33, 4:6], label[0:9, 40:49, 4:6] = 2, 2, 2
    subvolume = SimpleNamespace(label_XYZ=label, image_XYZ=torch.full(label.shape, 0.5))
    case = SimpleNamespace(subvolume=subvolume, case=SimpleNamespace(id="Set/a", name="Set__a"))
    organs = (Organ("liver", 1, 2, 0), Organ("kidney", 5, 6, 2))
    spec = SimpleNamespace(directory=str(tmp_path), organs=organs, windowHu=WINDOW, spacingMm=SPACING)
    synthesize.leave_real_pictures(case, spec)
    (file,) = (tmp_path / "pictures").iterdir()
    picture = json.loads(file.read_text())
    assert (file.name, picture["case"], picture["organ"]) == ("real_liver_Set__a.json", "Set/a", "liver")
    assert pixels(picture["planes"][0], "mask").sum() == 16
