"""Rays as image channels: what a network sees of a camera. Works on NumPy arrays and torch tensors."""

from __future__ import annotations

from dataclasses import replace

from openlyra.errors import InputError
from openlyra.geometry.arrays import Array, concatenate, like, stack
from openlyra.geometry.camera import Camera


def relative_to(cameras: Camera, reference: Camera) -> Camera:
    """The cameras (...) in a world whose axes are those of the `reference` camera; batch shapes are broadcast."""
    pose = like(reference.camera_from_world, cameras.world_from_camera) @ cameras.world_from_camera
    return replace(cameras, world_from_camera=pose)


def ray_channels(cameras: Camera) -> Array:
    """(..., H, W, 6): ray origin and unit direction in the world, through the pixel centres.

    This is what Lyra 2.0's released network is fed. It is not the Plücker moment form; see `plucker_channels`.
    """
    origins, directions = cameras.rays()
    return concatenate([origins, directions])


def plucker_channels(cameras: Camera) -> Array:
    """(..., H, W, 6): the moment origin x direction, and the unit direction."""
    origins, directions = cameras.rays()
    (ox, oy, oz), (dx, dy, dz) = ([part[..., i] for i in range(3)] for part in (origins, directions))
    moment = stack([oy * dz - oz * dy, oz * dx - ox * dz, ox * dy - oy * dx])
    return concatenate([moment, directions])


def space_to_channel(image: Array, block: int = 8, channel_axis: int = -3) -> Array:
    """(..., C, [axes,] H, W) -> (..., C * block², [axes,] H/block, W/block).

    Channel c at row py, column px of its cell becomes channel (c * block + py) * block + px. `channel_axis` is
    negative: -3 for images, -4 for videos laid out as (C, T, H, W).
    """
    *_, height, width = image.shape
    if height % block or width % block:
        raise InputError(f"an image of {height}x{width} cannot be cut into cells of {block}x{block} pixels")
    if not -image.ndim <= channel_axis <= -3:
        raise InputError(f"channel_axis is {channel_axis}; it must be between {-image.ndim} and -3")
    shape = tuple(image.shape)
    split = image.reshape((*shape[:-2], height // block, block, width // block, block))
    order = list(range(split.ndim))
    axis = image.ndim + channel_axis
    row_in_cell, column_in_cell = split.ndim - 3, split.ndim - 1
    for moved in (row_in_cell, column_in_cell):
        order.remove(moved)
    order[axis + 1 : axis + 1] = [row_in_cell, column_in_cell]
    moved_axes = _permute(split, order)
    return moved_axes.reshape(
        (*shape[:axis], shape[axis] * block * block, *shape[axis + 1 : -2], height // block, width // block)
    )


def camera_condition(cameras: Camera, reference: Camera, block: int = 8) -> Array:
    """(..., 6 * block², H/block, W/block): origin and direction channels of the cameras as seen from `reference`."""
    channels = ray_channels(relative_to(cameras, reference))
    order = [*range(channels.ndim - 3), channels.ndim - 1, channels.ndim - 3, channels.ndim - 2]
    return space_to_channel(_permute(channels, order), block)


def _permute(array: Array, order: list[int]) -> Array:
    return array.permute(order) if hasattr(array, "permute") else array.transpose(order)
