"""`plucker*`: camera rays, space-to-channel, canonical coordinate maps."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare
from openlyra.geometry.camera import Camera
from openlyra.geometry.rays import plucker_channels, ray_channels, space_to_channel
from openlyra.memory.correspondence import canonical_maps

TOLERANCE = 1e-5


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Whatever of the three the file holds."""
    if "in.c2w" in file:
        height, width = file["rays_origin_direction"].shape[-3:-1]
        fx, fy, cx, cy = np.moveaxis(file["in.K_fxfycxcy"].double().numpy(), -1, 0)
        zero = np.zeros_like(fx)
        rows = [np.stack([fx, zero, cx], -1), np.stack([zero, fy, cy], -1), np.stack([zero, zero, zero + 1], -1)]
        cameras = Camera(file["in.c2w"].numpy(), np.stack(rows, -2), width, height)
        yield compare("rays_origin_direction", ray_channels(cameras), file["rays_origin_direction"], TOLERANCE)
        if "rays_moment_direction" in file:
            expected = file["rays_moment_direction"]
            yield compare(
                "rays_moment_direction", plucker_channels(cameras)[:, : expected.shape[1]], expected, TOLERANCE
            )
    for key in sorted(file.keys):
        if match := re.fullmatch(r"canonical_coords\.n(\d+)", key):
            height, width = file[key].shape[-2:]
            yield compare(key, canonical_maps(int(match[1]), height, width), file[key], TOLERANCE)
        elif key.endswith(".in") and f"{key[:-3]}.out" in file:
            given, expected = file[key], file[f"{key[:-3]}.out"]
            block = given.shape[-1] // expected.shape[-1]
            yield compare(f"{key[:-3]}.out", space_to_channel(given, block, channel_axis=-4), expected, 0.0)
