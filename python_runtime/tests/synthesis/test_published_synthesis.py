"""One whole synthesis of the published implementation, with all random choices fixed."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from freetumor_runtime.models.segmentor import build_segmentor, tumor_outputs
from freetumor_runtime.models.unet3d import UNet3d
from freetumor_runtime.synthesis.losses import adversarial_loss, discriminator_loss, seen_share, segmentation_loss
from freetumor_runtime.synthesis.render import edge_mask, paint, region_roles, with_synthetic
from tests.parity import fixture, keys_of, largest_deviation, needs_parity, published_keys, with_formula_weights

CASES = [
    # fixture, organ's label, tumor labels of the region
    ("synthesis_abdomen_64", 1, (2, 4, 6)),
    ("synthesis_abdomen_kidney_64", 5, (2, 4, 6)),
    ("synthesis_abdomen_overlap_64", 1, (2, 4, 6)),
    ("synthesis_chest_64", 1, (2,)),
    ("synthesis_chest_wall_64", 1, (2,)),
]


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@needs_parity
@torch.no_grad()
@pytest.mark.parametrize(("name", "organ_label", "tumor_labels"), CASES)
def test_images_labels_losses_and_share_are_those_of_the_published_synthesis(name, organ_label, tumor_labels):
    published = fixture(name)
    region = "chest" if "chest" in name else "abdomen"
    networks, raw_BCXYZ = published_networks(region)
    label_XYZ, shape_XYZ = tensor(published["label"][0, 0]), tensor(published["geometry"])
    image_XYZ = tensor(published["image"][0, 0])

    before = region_roles(label_XYZ, organ_label=organ_label, tumor_labels=tumor_labels)
    roles_XYZ = with_synthetic(before, shape_XYZ)
    fake_XYZ = paint(
        image_XYZ,
        raw_BCXYZ[0],
        edge_mask(before, shape_XYZ),
        tensor(published["texture"]),
        roles_XYZ,
        sigma=float(published["blur_sigma"]),
        channel=0,
        region=region,
        handcrafted_difference=0.0,
    )
    called_D = networks["netD"](fake_XYZ[None, None]).softmax(1)
    logits_S = networks["netSeg"](fake_XYZ[None, None])
    tumors = tumor_outputs(logits_S.shape[1])
    roles_BXYZ = roles_XYZ[None]
    deviations = {
        "difference_raw": largest_deviation(raw_BCXYZ[..., ::2, ::2, ::2], published["difference_raw"]),
        "fake_image": largest_deviation(fake_XYZ[None, None], published["fake_image"]),
        "fake_label": largest_deviation(roles_XYZ[None, None], published["fake_label"]),
        "adversarial_loss": largest_deviation(adversarial_loss(called_D, roles_BXYZ), published["adversarial_loss"]),
        "segmentation_loss": largest_deviation(
            segmentation_loss(logits_S.softmax(1), roles_BXYZ, tumors), published["segmentation_loss"]
        ),
        "discriminator_loss": largest_deviation(
            discriminator_loss(called_D, roles_BXYZ), published["discriminator_loss"]
        ),
        "qc_proportion": largest_deviation(
            seen_share(logits_S.argmax(1), roles_BXYZ, tumors), published["qc_proportion"]
        ),
    }
    print(name, {key: f"{value:.1e}" for key, value in deviations.items()})
    assert deviations["fake_label"] == 0
    assert deviations["difference_raw"] < 1e-3
    assert deviations["fake_image"] < 1e-3
    assert all(value < 1e-4 for key, value in deviations.items() if key.endswith("_loss"))
    # a share moves in steps of one voxel: a handful of argmax ties may fall either way
    assert deviations["qc_proportion"] < 2e-3


@cache
def published_networks(region: str) -> tuple[nn.ModuleDict, Tensor]:
    """The whole synthesis checkpoint under formula weights, in training mode, and the generator's output on the image
    that all fixtures of a region share."""
    outputs_G, outputs_S = (1, 2) if region == "chest" else (3, 7)
    segmentor = build_segmentor("swinunetr", outputs=outputs_S, feature_size=48, levels=4, patch_merging="legacy")
    networks = nn.ModuleDict({"netG": UNet3d(outputs_G), "netD": UNet3d(3), "netSeg": segmentor})
    assert keys_of(networks) == published_keys(f"tgan_{region}")
    with_formula_weights(networks).train()
    return networks, networks["netG"](tensor(fixture(f"synthesis_{region}_64")["image"]))


def tensor(array) -> Tensor:
    return torch.from_numpy(array)
