"""`cameras*`: camera paths, the zoom script, look-at, quaternions, trajectory files, intrinsics of resized images."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare, compare_exact
from openlyra.generation.history import mirrored_frames, repeated_frames
from openlyra.generation.pose_alignment import separated
from openlyra.geometry import poses
from openlyra.geometry.camera import Camera
from openlyra.geometry.presets import measure_center_depth
from openlyra.geometry.reference_paths import PATHS, reference_path, reference_zoom
from openlyra.geometry.trajectory_io import read_trajectory

TOLERANCE = 1e-5
PIXELS = 1e-3
"""For intrinsics, which are hundreds of pixels in single precision."""
SIZE = (48, 64)
DEGREES = 30.0
STRENGTH = 0.5


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Everything the file holds."""
    facts = file.facts()
    for key in sorted(file.keys):
        if match := re.fullmatch(r"(\w+)\.(left|right|up|down)(\..+)?\.w2c", key):
            if match[1] in PATHS:
                yield from _path(file, key.removesuffix(".w2c"), match, float(facts.get("center_depth", 2.5)))
    yield from _zoom(file)
    yield from _rotations(file)
    yield from _files(file)
    for name, frames in facts.items():
        if match := re.fullmatch(r"(mirror|pad)_indices_(\d+)_to_(\d+)", name):
            order = mirrored_frames if match[1] == "mirror" else repeated_frames
            yield compare_exact(name, order(int(match[2]), int(match[3])), frames)


def _path(file: GoldenFile, name: str, match: re.Match[str], depth: float) -> Iterator[Comparison]:
    """One path in one direction; what follows the direction says what is special."""
    path, direction, special = match[1], match[2], match[3] or ""
    expected = file[f"{name}.w2c"]
    strength = DEGREES if path.startswith("rotate_spot") else STRENGTH
    if given := re.search(r"_s([\d.]+?)(?:_|$)", special):
        strength = float(given[1])
    pose = np.eye(4) if "identity" in special else np.linalg.inv(file["in.initial_w2c"].double().numpy())
    start = Camera(pose, file["in.K"].numpy(), SIZE[1], SIZE[0])
    frames = (len(expected) + 1) // 2 if path.startswith("back") else len(expected)
    found = reference_path(path, frames, depth, strength, direction, start).cameras
    # Noise is drawn from another generator: within eight standard deviations is all that can be asked.
    noisy = "noise" in path and path != "rotate_spot_noise"
    tolerance = 8e-4 * strength * depth if noisy else TOLERANCE
    yield compare(f"{name}.w2c", found.camera_from_world, expected, tolerance)
    yield compare(f"{name}.K", found.intrinsics, file[f"{name}.K"], TOLERANCE)


def _zoom(file: GoldenFile) -> Iterator[Comparison]:
    if "zoom.depth" not in file:
        return
    depth = measure_center_depth(file["zoom.depth"].numpy(), file["zoom.mask"].numpy() > 0)
    yield compare("zoom_center_depth", depth, file.facts().get("zoom_center_depth", depth), TOLERANCE)
    home = Camera(np.eye(4), file["in.K"].numpy(), SIZE[1], SIZE[0])
    for key in sorted(file.keys):
        if match := re.fullmatch(r"zoom\.(in|out)(_default|_ground)?\.w2c", key):
            ground = file["zoom.ground_normal"].numpy() if match[2] == "_ground" else None
            found = reference_zoom(match[1], len(file[key]), depth, home, ground_normal=ground)
            yield compare(key, found.cameras.camera_from_world, file[key], TOLERANCE)


def _rotations(file: GoldenFile) -> Iterator[Comparison]:
    if "look_at.w2c" in file:
        seen = poses.look_at(file["look_at.pos"].double().numpy(), file["look_at.target"].double().numpy())
        yield compare("look_at.w2c", poses.invert(seen), file["look_at.w2c"], TOLERANCE)
    if "quat.q1_wxyz" in file:
        first, second = file["quat.q1_wxyz"].double().numpy(), file["quat.q2_wxyz"].double().numpy()
        rotation = poses.matrix_from_quaternion(first)
        yield compare("quat.matrix_q1", rotation, file["quat.matrix_q1"][:3, :3], TOLERANCE)
        for key in sorted(file.keys):
            if match := re.fullmatch(r"quat\.slerp_([\d.]+)", key):
                # A quaternion and its negative are the same rotation.
                mixed = poses.matrix_from_quaternion(poses.slerp(first, second, float(match[1])))
                expected = poses.matrix_from_quaternion(file[key].double().numpy())
                yield compare(key, mixed, expected, TOLERANCE)
    if "centers.w2c" in file:
        centers = np.linalg.inv(file["centers.w2c"].double().numpy())[:, :3, 3]
        yield compare("centers.out", centers, file["centers.out"], TOLERANCE)
    if "tiny_offsets.in" in file:
        moved = separated(np.linalg.inv(file["tiny_offsets.in"].double().numpy()))
        yield compare("tiny_offsets.out", np.linalg.inv(moved), file["tiny_offsets.out"], 1e-7)


def _files(file: GoldenFile) -> Iterator[Comparison]:
    if "k33.in" in file:
        fx, fy, cx, cy = np.moveaxis(file["k33.in"].numpy(), -1, 0)
        zero = np.zeros_like(fx)
        rows = [np.stack([fx, zero, cx], -1), np.stack([zero, fy, cy], -1), np.stack([zero, zero, zero + 1], -1)]
        yield compare("k33.out", np.stack(rows, -2), file["k33.out"], 0.0)
    if "load_traj.in_w2c" in file:
        with tempfile.TemporaryDirectory(prefix="openlyra-parity-") as folder:
            path = Path(folder) / "trajectory.npz"
            np.savez(
                path, w2c=file["load_traj.in_w2c"].numpy(), intrinsics=file["load_traj.in_K"].numpy(),
                image_height=704, image_width=1280,
            )  # fmt: skip
            read = read_trajectory(path, 480, 832, pose_scale=1.1).head(len(file["load_traj.w2c"])).cameras
        yield compare("load_traj.w2c", read.camera_from_world, file["load_traj.w2c"], TOLERANCE)
        yield compare("load_traj.K", read.intrinsics, file["load_traj.K"], PIXELS)
    if "resize_K.in" in file:
        camera = Camera(np.eye(4), file["resize_K.in"].numpy(), 1280, 704)
        ours = camera.resized(480, 854).cropped(0, 11, 480, 832)
        yield compare("resize_K.out", ours.intrinsics.reshape(file["resize_K.out"].shape), file["resize_K.out"], PIXELS)
