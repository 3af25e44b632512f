"""One call, one training example: a photo-like view of a random world with its exact truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.worlds.cameras import choose_view
from openlyra.worlds.kinds import GROUPS, KINDS
from openlyra.worlds.photo_look import PhotoLook, develop, random_look
from openlyra.worlds.render import Scene
from openlyra.worlds.types import World

MAX_SIDE = 4096


@dataclass(frozen=True, eq=False)
class View:
    """A picture of a world and what is true about it."""

    rgb: NDArray[np.uint8]
    """(H, W, 3) sRGB."""
    depth: NDArray[np.float32]
    """(H, W) z-depth in metres; `draw.FAR_SKY` in the sky."""
    normal: NDArray[np.float32]
    """(H, W, 3) unit normals in camera axes; 0 in the sky."""
    sky: NDArray[np.bool_]
    """(H, W)."""
    plane: NDArray[np.int32]
    """(H, W) one number a flat face, 0 for curved surfaces and sky."""
    camera: Camera
    """In the world's axes."""
    vertical_fov: float
    """Radians."""
    camera_height: float
    """Metres above what the camera stands on."""
    kind: str
    seed: int


def kind_names(kind: str | None) -> tuple[str, ...]:
    """The kinds that a name stands for: itself, those of a group, or all for None. Raises InputError."""
    if kind is None:
        return tuple(KINDS)
    if kind in KINDS:
        return (kind,)
    if kind in GROUPS:
        return GROUPS[kind]
    raise InputError(f"kind '{kind}' is not known; there are {', '.join(sorted({*GROUPS, *KINDS}))}")


def sample_world(seed: int, kind: str | None = None) -> World:
    """The world of a seed; `kind` names a kind or a group of them. Raises InputError for an unknown one."""
    names = kind_names(kind)
    weights = np.array([KINDS[name][1] for name in names], np.float64)
    name = str(np.random.default_rng([seed, 1]).choice(names, p=weights / weights.sum()))
    return KINDS[name][0](np.random.default_rng([seed, 2]))


def sample_view(
    seed: int, kind: str | None = None, *, height: int = 192, width: int = 336, look: PhotoLook | None = None
) -> View:
    """A view of a new world: the same for the same arguments. `kind` is a name of
    `KINDS` or `GROUPS`; any if None.

    Raises InputError for an unknown kind or an unusable size.
    """
    if not (8 <= height <= MAX_SIDE and 8 <= width <= MAX_SIDE):
        raise InputError(f"views of {height}x{width} pixels cannot be drawn; sides must be 8 to {MAX_SIDE}")
    world = sample_world(seed, kind)
    scene = Scene(world)
    chosen = choose_view(scene, np.random.default_rng([seed, 3]), height, width)
    light, truth = scene.draw(chosen.camera)
    rng = np.random.default_rng([seed, 4])
    rgb = develop(light, look or random_look(rng), rng)
    fov = float(chosen.camera.vertical_fov)
    return View(
        rgb, truth.depth, truth.normal, truth.sky, truth.plane, chosen.camera, fov, chosen.height, world.kind, seed
    )
