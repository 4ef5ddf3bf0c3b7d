"""Boxes of voxels: one slice an axis, with a start and a stop inside the array."""

from collections.abc import Sequence

Box = tuple[slice, slice, slice]


def grown(box: Box, margin: int, shape: Sequence[int]) -> Box:
    """The box, `margin` voxels larger on all sides, cut to the shape."""
    first, second, third = (
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, length in zip(box, shape, strict=True)
    )
    return first, second, third


def within(box: Box, outer: Box) -> Box:
    """A box in voxels of one around it."""
    first, second, third = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, outer, strict=True))
    return first, second, third


def out_of(box: Box, outer: Box) -> Box:
    """The inverse of `within`: a box in voxels of `outer`, in those of the array that holds it."""
    first, second, third = (slice(a.start + b.start, a.stop + b.start) for a, b in zip(box, outer, strict=True))
    return first, second, third
