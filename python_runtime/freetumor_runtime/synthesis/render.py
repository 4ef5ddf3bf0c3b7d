"""Paint a synthetic tumor: roles, edge weight, difference, composition (docs/method.md 5.4, 6). Pure tensor functions.

Shapes are [X, Y, Z] of one crop or subvolume. All tensors of a call are on one device. Blurs are exact up to rounding,
although only the part that can differ from 0 is computed. A generator's difference is float64 from its activation to
the painted image, which is float32. The edge weight is float64 on a GPU and float32 on a CPU. This halves the time and
rounds by 1e-7, while published outputs are reproduced to 1e-3. Neither autocast nor TF32 has an effect.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from freetumor_runtime.data.boxes import Box, grown, within
from freetumor_runtime.data.device_copy import to_device

# canonical roles of a voxel (docs/method.md 2)
BACKGROUND, ORGAN, REAL_TUMOR, SYNTHETIC = 0, 1, 2, 3

_SIGN = {"abdomen": -1, "chest": 1}
_DIFFERENCE_RADIUS = 3
_TRUNCATE = 4.0


def region_roles(label_XYZ: Tensor, *, organ_label: int, tumor_labels: Sequence[int]) -> Tensor:
    """Convert region label ids to roles uint8: 1 the chosen organ, 2 real tumors of ANY organ, 0 other voxels."""
    roles_XYZ = _ones_where(label_XYZ, organ_label)
    for tumor_label in tumor_labels:
        # a label has only one role
        roles_XYZ.add_(_ones_where(label_XYZ, tumor_label), alpha=REAL_TUMOR)
    return roles_XYZ


def edge_mask(roles_XYZ: Tensor, shape_XYZ: Tensor) -> Tensor:
    """Return E, the tumor's shape on organ or real tumor, bool. `roles_XYZ` are those before the tumor was placed."""
    return is_set(shape_XYZ) & (is_role(roles_XYZ, ORGAN) | is_role(roles_XYZ, REAL_TUMOR))


def with_synthetic(roles_XYZ: Tensor, shape_XYZ: Tensor) -> Tensor:
    """Return the roles with 3 where shape and organ overlap; a real tumor keeps its role."""
    placed_XYZ = is_set(shape_XYZ) & is_role(roles_XYZ, ORGAN)
    return roles_XYZ.add(_bytes(placed_XYZ), alpha=SYNTHETIC - ORGAN)


def edge_weight(edge_XYZ: Tensor, sigma: float) -> Tensor:
    """Blur the edge mask by a Gaussian of `sigma` voxels, float64: scipy's gaussian_filter with its defaults."""
    weight_XYZ = torch.zeros(edge_XYZ.shape, dtype=torch.float64, device=edge_XYZ.device)
    inside = bounding_box(edge_XYZ)
    if inside is not None:
        reached = grown(inside, _reach(sigma), edge_XYZ.shape)
        weight_XYZ[reached] = _weight_in(reached, edge_XYZ, inside, sigma, torch.float64)
    return weight_XYZ


def generator_difference(raw_CXYZ: Tensor, roles_XYZ: Tensor, *, channel: int, region: str) -> Tensor:
    """Convert the generator's raw output of one crop to the difference of each voxel, float64 [X, Y, Z].

    `channel` is the organ's, or 0 if the generator has one channel for all organs. Abdomen: tanh, zero outside the
    organ (voxels of the placed tumor are in it), blur. Chest: sigmoid, blur. The blur is 7^3, sigma 1, zero padding.
    """
    raw_XYZ = raw_CXYZ[channel].to(torch.float64)
    difference_XYZ = torch.sigmoid(raw_XYZ) if region == "chest" else torch.tanh(raw_XYZ) * _bytes(is_organ(roles_XYZ))
    matrices = [to_device(_difference_matrix(length), raw_XYZ.device) for length in raw_XYZ.shape]
    return blur_axes(difference_XYZ, matrices)


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
    inside: Box | None = None,
) -> Tensor:
    """Paint one tumor on a copy of an image, float32 [X, Y, Z].

    On the organ: image -/+ edge weight * difference * texture (abdomen -, chest +), not clamped; elsewhere the image.
    The difference is that of `generator_difference`, or the hand-crafted number if `raw_CXYZ` is None. `roles_XYZ` are
    those after the tumor was placed. Only the part that the blurred edge mask reaches is computed: for a small tumor a
    hundredth of the crop. `inside` is a box that contains the edge mask; without it, its search waits for the GPU.
    """
    painted_XYZ = image_XYZ.to(torch.float32, copy=True)
    paint_into(
        painted_XYZ, raw_CXYZ, edge_XYZ, texture_XYZ, roles_XYZ, sigma=sigma, channel=channel, region=region,
        handcrafted_difference=handcrafted_difference, inside=inside,
    )  # fmt: skip
    return painted_XYZ


def paint_into(
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
    inside: Box | None = None,
) -> None:
    """Do the same as `paint`, in place on a float32 image or a part of one."""
    inside = inside or bounding_box(edge_XYZ)
    if inside is None:
        return
    reached = grown(inside, _reach(sigma), image_XYZ.shape)
    dtype = torch.float32 if image_XYZ.device.type == "cpu" else torch.float64
    strength_XYZ = _weight_in(reached, edge_XYZ, inside, sigma, dtype)
    strength_XYZ.mul_(texture_XYZ[reached]).mul_(_bytes(is_organ(roles_XYZ[reached]))).mul_(_SIGN[region])
    if raw_CXYZ is None:
        image_XYZ[reached].add_(strength_XYZ.mul_(handcrafted_difference))
        return
    # the blur of the difference also reads voxels further out
    seen = grown(reached, _DIFFERENCE_RADIUS, image_XYZ.shape)
    raw = raw_CXYZ[(slice(None), *seen)]
    difference_XYZ = generator_difference(raw, roles_XYZ[seen], channel=channel, region=region)
    image_XYZ[reached].add_(strength_XYZ * difference_XYZ[within(reached, seen)])


def is_organ(roles_XYZ: Tensor) -> Tensor:
    """Return where intensities may change: the organ with the synthetic tumor placed in it."""
    return is_role(roles_XYZ, ORGAN) | is_role(roles_XYZ, SYNTHETIC)


def blur_axes(volume_XYZ: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Multiply each axis by its matrix [out, in]: a separable blur whose matrices contain the boundary rule."""
    along_x, along_y, along_z = matrices
    blurred = torch.tensordot(along_x, volume_XYZ, dims=1)
    return torch.matmul(torch.matmul(along_y, blurred), along_z.T)


def gaussian_matrix(length: int, sigma: float) -> Tensor:
    """Return the Gaussian blur of an axis as a float64 matrix [length, length].

    The edge is mirrored half a sample out (scipy's `reflect`); weights reach int(4 sigma + 0.5) voxels and sum to 1.
    """
    radius = _reach(sigma)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.to(torch.float64) / sigma) ** 2)
    source = (torch.arange(length)[:, None] + offsets).remainder(2 * length)
    source = torch.minimum(source, 2 * length - 1 - source)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, source, (weights / weights.sum()).expand(length, -1))


def bounding_box(mask_XYZ: Tensor) -> Box | None:
    """Return the smallest box that contains all voxels that are not 0; None if there are none."""
    bounds = []
    # the maximum of bytes is thirty times as fast as any() of bools, and fastest across the first axis
    bytes_XYZ = _bytes(is_set(mask_XYZ))
    bytes_YZ = bytes_XYZ.amax(0)
    for projected in (bytes_XYZ.amax((1, 2)), bytes_YZ.amax(1), bytes_YZ.amax(0)):
        places = projected.nonzero()
        if len(places) == 0:
            return None
        bounds.append(slice(int(places[0]), int(places[-1]) + 1))
    return bounds[0], bounds[1], bounds[2]


def fill_where(ids_XYZ: Tensor, mask_XYZ: Tensor, value: int) -> None:
    """Write `value` where the mask is True, in an array of bytes: several times as fast as masked_fill_ on a CPU."""
    bits_XYZ = _bytes(mask_XYZ).neg()
    ids_XYZ.bitwise_and_(~bits_XYZ).bitwise_or_(bits_XYZ.bitwise_and_(value))


def paint_reach(sigma: float) -> int:
    """Return how many voxels beyond its edge mask a tumor reads: the radii of its blur and of the difference's blur."""
    return _reach(sigma) + _DIFFERENCE_RADIUS


def is_set(mask: Tensor) -> Tensor:
    """Return where a mask of bools or bytes is not 0, bool."""
    if mask.dtype is torch.bool:
        return mask
    # into bytes, as in _ones_where
    return torch.ne(mask, 0, out=torch.empty_like(mask, dtype=torch.uint8)).view(torch.bool)


def is_role(roles_XYZ: Tensor, role: int) -> Tensor:
    """Return where uint8 roles (or labels) are `role`, bool."""
    return _ones_where(roles_XYZ, role).view(torch.bool)


def _reach(sigma: float) -> int:
    return int(_TRUNCATE * sigma + 0.5)


def _ones_where(array: Tensor, value: int) -> Tensor:
    # into bytes: on a CPU twenty times as fast as a comparison into bools
    return torch.eq(array, value, out=torch.empty_like(array, dtype=torch.uint8))


def _bytes(mask: Tensor) -> Tensor:
    """View a bool mask as bytes 0 and 1: a CPU converts these to floating point several times as fast."""
    return mask.view(torch.uint8)


def _weight_in(box: Box, edge_XYZ: Tensor, inside: Box, sigma: float, dtype: torch.dtype) -> Tensor:
    """Return the blurred edge mask within `box`; `inside` contains the whole mask."""
    of_length = {length: gaussian_matrix(length, sigma) for length in set(edge_XYZ.shape)}
    matrices = [
        to_device(of_length[length][rows, columns].to(dtype), edge_XYZ.device)
        for length, rows, columns in zip(edge_XYZ.shape, box, inside, strict=True)
    ]
    with torch.autocast(edge_XYZ.device.type, enabled=False):
        return blur_axes(_bytes(edge_XYZ[inside]).to(dtype), matrices)


def _difference_matrix(length: int) -> Tensor:
    """Return exp(-k^2/2), |k| <= 3, normalised, with zero padding: rows at the ends sum to less than 1."""
    distance = torch.arange(length)[:, None] - torch.arange(length)
    weights = torch.exp(-0.5 * torch.arange(-_DIFFERENCE_RADIUS, _DIFFERENCE_RADIUS + 1).to(torch.float64) ** 2)
    matrix = torch.exp(-0.5 * distance.to(torch.float64) ** 2) / weights.sum()
    return torch.where(distance.abs() <= _DIFFERENCE_RADIUS, matrix, 0.0)
