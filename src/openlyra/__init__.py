"""OpenLyra: one photo to a world you can walk through.

The public names are loaded when first used, so that ``import openlyra`` is quick.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Both are read when PyTorch and numba are first imported. Threads that wait for others otherwise do so at full speed,
# and where another program wants a processor too, those that compute wait for those that wait: several times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# numba's first loop gives PyTorch its own number of threads, and last bits depend on that number. (torchrun says 1 to
# all its processes unasked, of which the first has loops that need more.)
_threads = os.environ.get("OMP_NUM_THREADS", "")
if _threads.isdecimal() and int(_threads) > 0 and "LOCAL_RANK" not in os.environ:
    os.environ.setdefault("NUMBA_NUM_THREADS", _threads)

if TYPE_CHECKING:
    from openlyra.errors import InputError, MissingExtraError, OpenLyraError, OutputExistsError
    from openlyra.formats import read_gaussians, write_gaussians
    from openlyra.gaussians.merge import Chunk, merge
    from openlyra.gaussians.mesh import MeshSettings, build_mesh
    from openlyra.gaussians.render import render
    from openlyra.gaussians.types import Gaussians
    from openlyra.geometry.camera import Camera, Trajectory
    from openlyra.geometry.presets import preset
    from openlyra.geometry.trajectory_io import read_trajectory, write_trajectory
    from openlyra.reconstruction import ReconstructSettings, reconstruct
    from openlyra.world import CreateSettings, World, create

__version__ = "0.1.0"

_HOMES = {
    "openlyra.errors": ("InputError", "MissingExtraError", "OpenLyraError", "OutputExistsError"),
    "openlyra.formats": ("read_gaussians", "write_gaussians"),
    "openlyra.gaussians.merge": ("Chunk", "merge"),
    "openlyra.gaussians.mesh": ("MeshSettings", "build_mesh"),
    "openlyra.gaussians.render": ("render",),
    "openlyra.gaussians.types": ("Gaussians",),
    "openlyra.geometry.camera": ("Camera", "Trajectory"),
    "openlyra.geometry.presets": ("preset",),
    "openlyra.geometry.trajectory_io": ("read_trajectory", "write_trajectory"),
    "openlyra.reconstruction": ("ReconstructSettings", "reconstruct"),
    "openlyra.world": ("CreateSettings", "World", "create"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Camera", "Chunk", "CreateSettings", "Gaussians", "InputError", "MeshSettings", "MissingExtraError",
    "OpenLyraError", "OutputExistsError", "ReconstructSettings", "Trajectory", "World", "build_mesh", "create", "merge",
    "preset", "read_gaussians", "read_trajectory", "reconstruct", "render", "write_gaussians", "write_trajectory",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'openlyra' has no attribute '{name}'")
    return getattr(import_module(_HOME_OF[name]), name)
