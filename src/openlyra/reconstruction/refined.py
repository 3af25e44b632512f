"""Cameras after a fit that moved them: brought back to where they were given, and found for held-out frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from openlyra.gaussians.optimise import OptimiseSettings, optimise
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import angle_between

MENDING_LOOKS = 25
"""Steps a held-out frame to find its pose in the finished scene."""


def settled(scene: Gaussians, found: Camera, given: Camera) -> tuple[Gaussians, Camera]:
    """Scene and refined cameras brought back to where the given cameras are as a whole.

    Refining leaves free where the world lies, how it is turned and how large it is; the mean of all poses decides.
    """
    refined, wanted = found.numpy(), given.numpy()
    if np.array_equal(refined.world_from_camera, wanted.world_from_camera):
        return scene, found
    turns = wanted.world_from_camera[:, :3, :3] @ refined.world_from_camera[:, :3, :3].swapaxes(1, 2)
    rotation = Rotation.from_matrix(turns).mean().as_matrix()
    middle, aim = refined.center.mean(0), wanted.center.mean(0)
    apart, apart_wanted = (refined.center - middle) @ rotation.T, wanted.center - aim
    spread = float((apart**2).sum())
    scale = float((apart * apart_wanted).sum()) / spread if spread > 0 else 1.0
    scale = scale if 0.9 < scale < 1.1 else 1.0
    translation = aim - scale * rotation @ middle
    poses = np.array(refined.world_from_camera)
    poses[:, :3, :3] = rotation @ poses[:, :3, :3]
    poses[:, :3, 3] = scale * refined.center @ rotation.T + translation
    return scene.transformed(rotation, translation, scale), replace(found, world_from_camera=poses)


def with_cameras(all_cameras: Camera, which: list[int], cameras: Camera) -> Camera:
    """(F,) cameras, those at some places replaced."""
    poses = np.array(all_cameras.numpy().world_from_camera)
    poses[which] = cameras.numpy().world_from_camera
    return replace(all_cameras.numpy(), world_from_camera=poses)


def mended(scene: Gaussians, held: PosedFrames, settings: OptimiseSettings, effort: float = 1.0) -> PosedFrames:
    """Frames that were not learnt from, their poses fitted to the finished scene as those of the others were.

    `effort` is a factor on the number of steps.
    """
    steps = max(1, round(effort * MENDING_LOOKS * len(held)))
    only_cameras = replace(settings, steps=steps, budget=None, depth=0, coarse=1)
    return replace(held, cameras=optimise(scene, held, only_cameras, fixed_scene=True).cameras)


def moved(found: Camera, given: Camera) -> dict[str, float]:
    """How far refining moved (F,) cameras: medians of the turn in degrees and of the distance in scene units."""
    turns = angle_between(found.numpy().world_from_camera[:, :3, :3], given.numpy().world_from_camera[:, :3, :3])
    steps = np.linalg.norm(found.numpy().center - given.numpy().center, axis=1)
    return {"degrees": round(float(np.degrees(np.median(turns))), 4), "distance": round(float(np.median(steps)), 6)}
