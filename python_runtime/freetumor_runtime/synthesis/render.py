"""A synthetic tumor on a crop: roles, edge weight, difference, composition (METHOD 5.4, 6). Pure tensor functions.

Shapes are [X, Y, Z] of one crop (or whole region); tensors may live on any device, all of a call on the same one. Real
numbers are float64 from the generator's activation to the painted image, which is cast to float32: so neither autocast
nor TF32 touches them. Blurs are exact to rounding, though only the part that can differ from 0 is computed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# canonical roles of a voxel (METHOD 2)
BACKGROUND, ORGAN, REAL_TUMOR, SYNTHETIC = 0, 1, 2, 3

Box = tuple[slice, slice, slice]

_SIGN = {"abdomen": -1, "chest": 1}
_DIFFERENCE_RADIUS = 3
_TRUNCATE = 4.0


def region_roles(label_XYZ: Tensor, *, organ_label: int, tumor_labels: Sequence[int]) -> Tensor:
    """Region label ids -> roles uint8: 1 the chosen organ, 2 real tumors of ANY organ, 0 all else."""
    roles_XYZ = (label_XYZ == organ_label).to(torch.uint8)
    for tumor_label in tumor_labels:
        roles_XYZ.masked_fill_(label_XYZ == tumor_label, REAL_TUMOR)
    return roles_XYZ


def edge_mask(roles_XYZ: Tensor, shape_XYZ: Tensor) -> Tensor:
    """E: the tumor's shape on organ or real tumor, bool. `roles_XYZ` are those before the tumor was placed."""
    return (shape_XYZ > 0) & ((roles_XYZ == ORGAN) | (roles_XYZ == REAL_TUMOR))


def with_synthetic(roles_XYZ: Tensor, shape_XYZ: Tensor) -> Tensor:
    """The roles with 3 where the shape meets the organ; a real tumor keeps its role."""
    return roles_XYZ.masked_fill((shape_XYZ > 0) & (roles_XYZ == ORGAN), SYNTHETIC)


def edge_weight(edge_XYZ: Tensor, sigma: float) -> Tensor:
    """The edge mask blurred by a Gaussian of `sigma` voxels, float64: scipy's gaussian_filter with its defaults."""
    weight_XYZ = torch.zeros(edge_XYZ.shape, dtype=torch.float64, device=edge_XYZ.device)
    inside = bounding_box(edge_XYZ)
    if inside is not None:
        reached = grown(inside, _reach(sigma), edge_XYZ.shape)
        weight_XYZ[reached] = _weight_in(reached, edge_XYZ, inside, sigma)
    return weight_XYZ


def generator_difference(raw_CXYZ: Tensor, roles_XYZ: Tensor, *, channel: int, region: str) -> Tensor:
    """The generator's raw output of one crop -> how much each voxel changes, float64 [X, Y, Z].

    `channel` is the organ's, or 0 where the generator has one channel for all organs. Abdomen: tanh, zero outside the
    organ (voxels of the placed tumor belong to it), blur. Chest: sigmoid, blur. The blur is 7^3, sigma 1, zero padding.
    """
    raw_XYZ = raw_CXYZ[channel].to(torch.float64)
    difference_XYZ = torch.sigmoid(raw_XYZ) if region == "chest" else torch.tanh(raw_XYZ) * is_organ(roles_XYZ)
    matrices = [_difference_matrix(length).to(raw_XYZ.device) for length in raw_XYZ.shape]
    return blur_axes(difference_XYZ, matrices)


def compose(
    image_XYZ: Tensor,
    weight_XYZ: Tensor,
    difference: Tensor | float,
    texture_XYZ: Tensor,
    roles_XYZ: Tensor,
    *,
    region: str,
) -> Tensor:
    """image -/+ weight * difference * texture on the organ (abdomen -, chest +), elsewhere the image; float32.

    Not clamped. `difference` is a tensor of generator_difference, or the one number of a hand-crafted tumor.
    """
    change_XYZ = weight_XYZ * difference * texture_XYZ.to(torch.float64)
    painted_XYZ = (image_XYZ.to(torch.float64) + _SIGN[region] * change_XYZ).to(torch.float32)
    return torch.where(is_organ(roles_XYZ), painted_XYZ, image_XYZ.to(torch.float32))


def paint(
    image_XYZ: Tensor,
    raw_CXYZ: Tensor | None,
    edge_XYZ: Tensor,
    texture_XYZ: Tensor,
    roles_XYZ: Tensor,
    *,
    sigma: float,
    channel: int,
    region: str,
    handcrafted_difference: float,
) -> Tensor:
    """One tumor: edge_weight, generator_difference (where `raw_CXYZ` is None: the hand-crafted one), compose.

    `roles_XYZ` are those after the tumor was placed. The same voxels as by those three on the whole crop, but computed
    only where the edge mask reaches: for a small tumor a hundredth of the crop. float32 [X, Y, Z].
    """
    painted_XYZ = image_XYZ.to(torch.float32, copy=True)
    inside = bounding_box(edge_XYZ)
    if inside is None:
        return painted_XYZ
    # what lies one blur of the difference further out matters too
    seen = grown(inside, _reach(sigma) + _DIFFERENCE_RADIUS, image_XYZ.shape)
    weight_XYZ = _weight_in(seen, edge_XYZ, inside, sigma)
    difference: Tensor | float = handcrafted_difference
    if raw_CXYZ is not None:
        raw = raw_CXYZ[(slice(None), *seen)]
        difference = generator_difference(raw, roles_XYZ[seen], channel=channel, region=region)
    painted_XYZ[seen] = compose(
        image_XYZ[seen], weight_XYZ, difference, texture_XYZ[seen], roles_XYZ[seen], region=region
    )
    return painted_XYZ


def is_organ(roles_XYZ: Tensor) -> Tensor:
    """Where intensities may change: the organ, with the synthetic tumor placed in it."""
    return (roles_XYZ == ORGAN) | (roles_XYZ == SYNTHETIC)


def blur_axes(volume_XYZ: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Multiplies each axis by its matrix [out, in]: a separable blur with its boundary rule inside the matrices."""
    along_x, along_y, along_z = matrices
    blurred = torch.tensordot(along_x, volume_XYZ, dims=1)
    return torch.matmul(torch.matmul(along_y, blurred), along_z.T)


def gaussian_matrix(length: int, sigma: float) -> Tensor:
    """Gaussian blur of an axis as a float64 matrix [length, length]; the edge is mirrored half a sample out (scipy's
    `reflect`), weights reach int(4 sigma + 0.5) voxels and sum to 1."""
    radius = _reach(sigma)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.to(torch.float64) / sigma) ** 2)
    source = (torch.arange(length)[:, None] + offsets).remainder(2 * length)
    source = torch.minimum(source, 2 * length - 1 - source)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, source, (weights / weights.sum()).expand(length, -1))


def bounding_box(mask_XYZ: Tensor) -> Box | None:
    """The smallest box holding all voxels that are not 0; None if there are none."""
    bounds = []
    # the maximum of bytes is thirty times as fast as any() of bools
    bytes_XYZ = (mask_XYZ if mask_XYZ.dtype is torch.bool else mask_XYZ != 0).view(torch.uint8)
    for others in ((1, 2), (0, 2), (0, 1)):
        places = bytes_XYZ.amax(others).nonzero()
        if len(places) == 0:
            return None
        bounds.append(slice(int(places[0]), int(places[-1]) + 1))
    return bounds[0], bounds[1], bounds[2]


def grown(box: Box, margin: int, shape: Sequence[int]) -> Box:
    """The box, `margin` voxels larger on all sides, cut to the shape."""
    first, second, third = (
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, length in zip(box, shape, strict=True)
    )
    return first, second, third


def _reach(sigma: float) -> int:
    return int(_TRUNCATE * sigma + 0.5)


def _weight_in(box: Box, edge_XYZ: Tensor, inside: Box, sigma: float) -> Tensor:
    """The blurred edge mask within `box`; `inside` holds all of the mask."""
    matrices = [
        gaussian_matrix(length, sigma)[rows, columns].to(edge_XYZ.device)
        for length, rows, columns in zip(edge_XYZ.shape, box, inside, strict=True)
    ]
    return blur_axes(edge_XYZ[inside].to(torch.float64), matrices)


def _difference_matrix(length: int) -> Tensor:
    """exp(-k^2/2), |k| <= 3, normalised, with zero padding: rows at the ends sum to less than 1."""
    distance = torch.arange(length)[:, None] - torch.arange(length)
    weights = torch.exp(-0.5 * torch.arange(-_DIFFERENCE_RADIUS, _DIFFERENCE_RADIUS + 1).to(torch.float64) ** 2)
    matrix = torch.exp(-0.5 * distance.to(torch.float64) ** 2) / weights.sum()
    return torch.where(distance.abs() <= _DIFFERENCE_RADIUS, matrix, 0.0)
