"""Boxes of voxels: one slice an axis, with a start and a stop inside the array."""

from collections.abc import Iterable, Sequence

Box = tuple[slice, slice, slice]


def as_box(sides: Iterable[slice]) -> Box:
    """Three slices, one an axis, as a box."""
    x, y, z = sides
    return x, y, z


def box_at(start: Sequence[int], shape: Sequence[int]) -> Box:
    """Return the box of this shape whose first voxel is `start`."""
    return as_box(slice(at, at + side) for at, side in zip(start, shape, strict=True))


def grown(box: Box, margin: int, shape: Sequence[int]) -> Box:
    """Return the box, `margin` voxels larger on all sides, clipped to the shape."""
    return as_box(
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, length in zip(box, shape, strict=True)
    )


def within(box: Box, outer: Box) -> Box:
    """Return a box in voxels of a box around it."""
    return as_box(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, outer, strict=True))


def out_of(box: Box, outer: Box) -> Box:
    """Return a box in voxels of `outer` as a box in voxels of the array: the inverse of `within`."""
    return as_box(slice(a.start + b.start, a.stop + b.start) for a, b in zip(box, outer, strict=True))
