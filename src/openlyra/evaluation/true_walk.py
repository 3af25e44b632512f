"""Walks through procedural worlds of which everything is known: what generated videos are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.poses import so3_exp
from openlyra.memory.frame import MemoryFrame
from openlyra.worlds.cameras import choose_view, free_around
from openlyra.worlds.dataset import DatasetSettings, film, scene_and_walk
from openlyra.worlds.render import Scene
from openlyra.worlds.sample import sample_world

HELD_OUT = 900_000_000
"""Seed of the first world; trainings use seeds far below."""
FINER = 2
"""Pictures are drawn this many times finer and scaled down, as those of a training are."""
PAN = np.radians(2.0)
"""Turn of a loop's camera, radians a frame: in a chunk of 16 frames half of a usual picture."""
SIDE_STEP = 0.15
"""How far a loop's camera moves sideways, in median depths of its first view ..."""
FARTHEST = 2.0
"""... and in metres."""
SPEED = 0.05
"""Metres a frame on a long walk."""
SAME_SURFACE = 0.05
"""Relative difference of depth up to which two views show the same point."""


@dataclass(frozen=True, eq=False)
class TrueWalk:
    """F frames with their truth."""

    name: str
    """Kind and seed of the world."""
    images: np.ndarray
    """(F, H, W, 3) uint8."""
    depth: np.ndarray
    """(F, H, W) float32 z-depth in metres; the sky is at `worlds.draw.FAR_SKY`."""
    sky: np.ndarray
    """(F, H, W) bool."""
    cameras: Camera
    """(F,)."""
    origin: tuple[TrueWalk, np.ndarray] | None = None
    """The walk that was drawn and the places (F,) of these frames in it, None for such a walk itself."""

    def __len__(self) -> int:
        return len(self.images)

    def frame(self, index: int) -> MemoryFrame:
        """A frame with its geometry."""
        known = np.ones(self.sky[index].shape, np.bool_)
        return MemoryFrame(index, self.images[index], self.depth[index], known, self.sky[index], self.cameras[index])

    def along(self, order: Sequence[int]) -> TrueWalk:
        """The walk that visits these frames in this order."""
        places = np.asarray(order)
        return replace(
            self, images=self.images[places], depth=self.depth[places], sky=self.sky[places],
            cameras=self.cameras[places], origin=(self, places),
        )  # fmt: skip

    def revealed(self, index: int) -> np.ndarray:
        """(H, W) bool: what a frame shows and the first frame, the photo, does not: beyond its borders or hidden."""
        first, here = self.cameras[0], self.cameras[index]
        pixels, z = (np.asarray(part) for part in first.project(np.asarray(here.unproject(self.depth[index]))))
        rows, columns = np.floor(pixels[..., 1]), np.floor(pixels[..., 0])
        inside = (z > 0) & (rows >= 0) & (rows < first.height) & (columns >= 0) & (columns < first.width)
        seen = self.depth[0][np.where(inside, rows, 0).astype(int), np.where(inside, columns, 0).astype(int)]
        return ~inside | (z > (1 + SAME_SURFACE) * seen)


def there_and_back(turn: int, frames: int) -> list[int]:
    """Frames 0 to `turn` and back again, as often as it takes: `frames` in all."""
    period = [*range(turn), *range(turn, 0, -1)]
    return [period[place % len(period)] for place in range(frames)]


def pan(seed: int, frames: int, height: int, width: int) -> TrueWalk:
    """A camera that turns away and moves a little aside; walked `there_and_back` it closes a loop."""
    scene, rng = Scene(sample_world(seed)), np.random.default_rng([seed, 7])
    start = choose_view(scene, rng, FINER * height, FINER * width).camera.numpy()
    side, depth = rng.choice([-1.0, 1.0]), scene.truth(start.resized(height, width)).depth
    step = min(SIDE_STEP * float(np.median(depth)), FARTHEST)
    aside = side * start.world_from_camera[:3, 0]
    while step > 0.01 and not free_around(scene, start.center + step * aside, 0.1):
        step /= 2
    poses = np.tile(start.world_from_camera, (frames, 1, 1))
    for index, pose in enumerate(poses):
        # The world's y points down, so a positive turn is to the right.
        pose[:3, :3] = np.asarray(so3_exp(np.array([0.0, side * PAN * index, 0.0]))) @ start.world_from_camera[:3, :3]
        pose[:3, 3] += step * aside * index / max(1, frames - 1)
    path = Trajectory(Camera(poses, start.intrinsics, start.width, start.height))
    return _filmed(f"{scene.world.kind}-{seed}", scene, path, seed, height, width)


def stroll(seed: int, frames: int, height: int, width: int) -> TrueWalk:
    """A long walk as a data set has them."""
    settings = DatasetSettings(frames=frames, height=FINER * height, width=FINER * width, speed=SPEED)
    scene, path, own = scene_and_walk(settings, seed)
    return _filmed(f"{scene.world.kind}-{seed}", scene, path, own, height, width)


def _filmed(name: str, scene: Scene, path: Trajectory, seed: int, height: int, width: int) -> TrueWalk:
    frames = []
    for index, (image, truth) in enumerate(film(scene, path, seed)):
        known = np.ones(truth.sky.shape, np.bool_)
        frame = MemoryFrame(index, image, truth.depth, known, truth.sky, path[index])
        frames.append(frame.resized(height, width))
    return TrueWalk(
        name, np.stack([frame.image for frame in frames]), np.stack([frame.depth for frame in frames]),
        np.stack([frame.sky for frame in frames]), path.cameras.resized(height, width),
    )  # fmt: skip
