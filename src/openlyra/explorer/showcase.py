"""A finished scene for the eye: a flight along the given cameras, one beside them, and pictures next to renders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.render import render
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.interpolate import constant_speed_path
from openlyra.geometry.presets import measure_center_depth, preset
from openlyra.media.image import write_image
from openlyra.media.video import VideoWriter

FPS = 16.0
FRAMES_A_PHOTO, MOST_FRAMES = 6, 241
NOVEL_MOVE, NOVEL_FRAMES = "swing", 81
TILES, TILE_WIDTH = 6, 320

Advance = Callable[[str, int, int], None]


def flight_through(scene: Gaussians, cameras: Camera) -> Trajectory:
    """An even flight through the (F,) cameras in their order."""
    frames = min(MOST_FRAMES, FRAMES_A_PHOTO * (len(cameras) - 1) + 1)
    return Trajectory(constant_speed_path(cameras, frames, center_depth(scene, cameras)), FPS, "flythrough")


def novel_path(scene: Gaussians, cameras: Camera) -> Trajectory:
    """A swing to both sides of the middle camera about what it looks at: views that no frame was taken from."""
    middle = cameras[len(cameras) // 2].numpy()
    return preset(NOVEL_MOVE, NOVEL_FRAMES, middle, center_depth(scene, cameras))


def center_depth(scene: Gaussians, cameras: Camera) -> float:
    """How far the middle camera's nearer surfaces are; 1 if it sees none."""
    seen = render(scene, cameras[len(cameras) // 2])
    solid = seen.alpha > 0.9
    return measure_center_depth(seen.depth, solid) if solid.any() else 1.0


def write_flight(
    scene: Gaussians, path: Trajectory, file: Path, background: Sequence[float], advance: Advance | None = None
) -> None:
    """Draw a scene along a path into an .mp4, frame by frame; intrinsics are used as they are."""
    with VideoWriter(file, path.fps, (path.cameras.height, path.cameras.width)) as video:
        for index in range(len(path)):
            color = render(scene, path[index], background).color
            video.write(np.round(np.clip(color, 0, 1) * 255).astype(np.uint8))
            if advance is not None:
                advance("frames", index + 1, len(path))


def write_comparison(scene: Gaussians, frames: PosedFrames, file: Path) -> None:
    """One picture of up to six frames, evenly spread: above as they are, then as the scene shows them, then three times
    the difference."""
    height, width = frames.size
    tile = (TILE_WIDTH, max(1, round(height * TILE_WIDTH / width)))
    columns = []
    for index in np.unique(np.linspace(0, len(frames) - 1, TILES).round().astype(int)):
        seen = np.round(255 * np.clip(render(scene, frames.cameras[int(index)]).color, 0, 1)).astype(np.uint8)
        wrong = np.minimum(3 * np.abs(seen.astype(int) - frames.images[index]), 255).astype(np.uint8)
        shown = [Image.fromarray(part).resize(tile, Image.Resampling.LANCZOS) for part in
                 (frames.images[index], seen, wrong)]  # fmt: skip
        columns.append(np.concatenate([np.pad(np.asarray(part), ((2, 2), (2, 2), (0, 0))) for part in shown]))
    write_image(file, np.concatenate(columns, 1))
