"""One HTML file that holds a whole scene: it opens from the disk in any browser with WebGL 2 and loads nothing else."""

from __future__ import annotations

import base64
import html
import json
import math
import os
import re
import tempfile
import webbrowser
from importlib import resources
from pathlib import Path

import numpy as np

from openlyra.errors import InputError
from openlyra.explorer.payload import encode
from openlyra.explorer.surroundings import surroundings
from openlyra.formats import read_gaussians
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.media.atomic import write_bytes_atomic

MAX_PAYLOAD_BYTES = 360 * 1024 * 1024
"""Compressed scene data that still fits into one JavaScript string as base64."""
DEFAULT_FOCUS = 3.0
"""Distance of the orbit point when nothing lies ahead of the camera, in scene units."""


def export_viewer(
    gaussians: Gaussians | str | os.PathLike[str],
    output_html: str | os.PathLike[str],
    trajectory: Trajectory | None = None,
    title: str = "OpenLyra",
    focus: float | None = None,
) -> None:
    """Write a self-contained viewer page, whole or not at all, with the same bytes for the same input.

    `gaussians` in the scene's own axes (x right, y down, z forward), or the path of a scene file. The page starts at
    the first camera of `trajectory` with its framing, or at the origin with a 50 degree view. `focus` is the distance
    from that camera to the point around which dragging turns; by default the median depth in the middle of the view.
    Raises InputError for an empty scene, values that are not finite, or a scene too large for one page.
    """
    what = os.fspath(output_html)
    scene = gaussians if isinstance(gaussians, Gaussians) else read_gaussians(gaussians)
    _check(scene, what)
    path = trajectory if trajectory is not None else _default_trajectory()
    path.cameras.validate("trajectory")
    if not (math.isfinite(path.fps) and path.fps > 0):
        raise InputError(f"trajectory: fps is {path.fps}; it must be positive")
    distance = focus if focus is not None else focus_distance(scene, path[0].numpy())
    if not (math.isfinite(distance) and distance > 0):
        raise InputError(f"focus is {distance}; it must be a positive distance")
    payload = encode(scene)
    if len(payload.data) > MAX_PAYLOAD_BYTES:
        raise InputError(
            f"{what}: {scene.count} Gaussians are too many for one page; prune the scene or view the PLY file"
        )
    around = surroundings(scene, path[0].numpy())
    info = {
        "count": scene.count,
        "encoding": payload.encoding,
        "focus": _short(distance),
        "path": _path_record(path),
        "surroundings": None if around is None else _picture_record(around),
    }
    static = resources.files("openlyra.explorer") / "static"
    page = _fill(
        (static / "viewer.html").read_text("utf-8"),
        {
            "title": html.escape(title),
            # A "<" in JSON could end the script element.
            "info": json.dumps(info, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c"),
            "scene": base64.b64encode(payload.data).decode("ascii"),
            "bundle": (static / "viewer.js").read_text("utf-8"),
        },
    )
    write_bytes_atomic(output_html, page.encode("utf-8"))


def _check(scene: Gaussians, what: str) -> None:
    if not scene.count:
        raise InputError(f"{what}: the scene holds no Gaussians")
    scene.validate(what)


def _default_trajectory() -> Trajectory:
    camera = Camera.from_fov(480, 832, math.radians(50.0))
    return Trajectory(Camera(camera.world_from_camera[None], camera.intrinsics[None], camera.width, camera.height))


def focus_distance(scene: Gaussians, camera: Camera) -> float:
    """Opacity-weighted median z-depth of the Gaussians in the middle ninth of the view, in scene units."""
    pixels, depth = camera.project(scene.means.astype(np.float64))
    offset = np.abs(pixels / [camera.width, camera.height] - 0.5).max(-1)
    middle = (depth > 1e-3) & (offset < 1.0 / 6.0)
    if not middle.any():
        return DEFAULT_FOCUS
    order = np.argsort(depth[middle], kind="stable")
    weight = np.cumsum(scene.opacities[middle][order].astype(np.float64))
    return float(depth[middle][order][np.searchsorted(weight, weight[-1] / 2.0)])


def _short(value: float) -> float:
    """Nine significant digits: exact for float32, and short in the page."""
    return float(f"{float(value):.9g}")


def _path_record(path: Trajectory) -> dict[str, object]:
    cameras = path.cameras.numpy()
    frames = []
    for pose, k in zip(cameras.world_from_camera, cameras.intrinsics, strict=True):
        numbers = [_short(value) for value in pose[:3].ravel()]
        frames.append({"pose": numbers, "k": [_short(v) for v in (k[0, 0], k[1, 1], k[0, 2], k[1, 2])]})
    return {
        "name": path.name,
        "fps": _short(path.fps),
        "width": cameras.width,
        "height": cameras.height,
        "frames": frames,
    }


def _picture_record(colors: np.ndarray) -> dict[str, object]:
    rows, columns = colors.shape[:2]
    return {"rows": rows, "columns": columns, "colors": base64.b64encode(colors.tobytes()).decode("ascii")}


def _fill(template: str, values: dict[str, str]) -> str:
    """Replace {{name}} in one pass, so that a value may hold braces of its own."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def open_viewer(run_or_scene: str | os.PathLike[str], *, launch: bool = True) -> Path:
    """Show an exported page, a scene file or a run folder in the default browser; returns the page.

    A run folder shows its viewer.html, or else its scene.ply. For a scene file the page goes beside it (scene.ply ->
    scene.html), or into a temporary folder where that is forbidden; a cameras.json beside it gives the camera path.
    """
    source = Path(run_or_scene)
    if source.is_dir():
        page = source / "viewer.html"
        source = page if page.is_file() else source / "scene.ply"
    if not source.is_file():
        raise InputError(f"{source}: does not exist; give a run folder, a scene file or an exported page")
    page = source if source.suffix.lower() == ".html" else _export_beside(source)
    if launch:
        webbrowser.open(page.resolve().as_uri())
    return page


def _export_beside(scene: Path) -> Path:
    from openlyra.geometry.trajectory_io import read_trajectory

    cameras = scene.parent / "cameras.json"
    trajectory = read_trajectory(cameras) if cameras.is_file() else None
    page = scene.with_suffix(".html")
    if not os.access(scene.parent, os.W_OK):
        page = Path(tempfile.mkdtemp(prefix="openlyra-")) / page.name
    export_viewer(scene, page, trajectory, title=scene.resolve().parent.name)
    return page
