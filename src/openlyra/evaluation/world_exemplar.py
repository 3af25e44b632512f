"""The exemplar generator along a true walk: the same first frame, the same path, the true depth of that frame."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from openlyra.depth import FAR_SKY, load_depth
from openlyra.evaluation.true_walk import TrueWalk
from openlyra.generation.base import WalkInput
from openlyra.generation.exemplar import ExemplarGenerator
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.depth_edges import outlines_to_front
from openlyra.runs import Manifest, RunFolder
from openlyra.runs.folder import PHOTO

EXEMPLAR = "exemplar"


def exemplar_video(truth: TrueWalk, seed: int) -> np.ndarray:
    """(F, H, W, 3) uint8 of the exemplar generator, the photo first.

    It completes its memory along the path before it shows a frame, so views that a walk visits again are the same."""
    if truth.origin is not None:
        drawn, places = truth.origin
        return np.asarray(exemplar_video(drawn, seed)[places])
    return _video(truth, seed)


@lru_cache(maxsize=64)
def _video(truth: TrueWalk, seed: int) -> np.ndarray:
    start = np.asarray(truth.cameras[0].world_from_camera)
    cameras = replace(
        truth.cameras, world_from_camera=np.linalg.inv(start) @ np.asarray(truth.cameras.world_from_camera)
    )  # fmt: skip
    photo = truth.frame(0)
    # From here on as `openlyra create` does with a measured depth.
    depth, sky = outlines_to_front(photo.image, photo.depth, photo.sky)
    far = FAR_SKY * float(np.median(depth[~sky])) if (~sky).any() else FAR_SKY
    depth = np.where(sky, far, np.minimum(depth, 0.8 * far)).astype(np.float32)
    path = WalkInput(Trajectory(cameras), far, seed, load_depth("nano"))
    with tempfile.TemporaryDirectory(prefix="openlyra-") as folder:
        store = RunFolder.start(Path(folder), Manifest({}, {}))
        store.remember(replace(photo, index=PHOTO, depth=depth, sky=sky, camera=cameras[0]))
        ExemplarGenerator().walk(path, store, lambda stage, done, total: None)
        made = np.stack([store.read_frame(index) for index in range(len(cameras))])
    made[0] = truth.images[0]
    return made
