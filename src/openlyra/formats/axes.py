"""Which way is up in a file: the turns between the scene's own axes and those that files and programs expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from openlyra.errors import InputError

if TYPE_CHECKING:
    from openlyra.gaussians.types import Gaussians

UP: dict[str, np.ndarray] = {
    "y-down": np.eye(3),
    "y-up": np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]]),
    "z-up": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
}
"""(3, 3) proper rotations from OpenCV axes (x right, y down, z forward). y-up: OpenGL, three.js (the view looks along
-z); z-up: Blender, simulators (the view looks along +y)."""

AXES: dict[str, str] = {"y-down": "RDF", "y-up": "RUB", "z-up": "RFU"}
"""Where x, y and z point, as written into files: Right, Left, Up, Down, Forward, Back."""


def up_rotation(up: str) -> np.ndarray:
    """The (3, 3) rotation for one of the names in UP; InputError for any other."""
    if up not in UP:
        raise InputError(f"up is '{up}'; it must be one of {', '.join(UP)}")
    return UP[up]


def turned(gaussians: Gaussians, up: str) -> Gaussians:
    """The same scene in the axes that `up` names; spherical harmonics turn along."""
    rotation = up_rotation(up)
    return gaussians if up == "y-down" else gaussians.transformed(rotation, np.zeros(3))


def turned_back(gaussians: Gaussians, up: str) -> Gaussians:
    """A scene read from a file in the axes that `up` names, in the scene's own axes: undoes `turned`."""
    rotation = up_rotation(up).T
    return gaussians if up == "y-down" else gaussians.transformed(rotation, np.zeros(3))


def stated_up(axes: object) -> str | None:
    """The name in UP for what a file says about its axes, such as "RUB"; None for anything else."""
    return next((up for up, letters in AXES.items() if letters == axes), None)
