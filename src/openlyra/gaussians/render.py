"""Rendering a Gaussian scene, whatever the backend: one call, one result, one table of backends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from openlyra.errors import InputError
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class RenderResult:
    """What one camera sees. All arrays float32."""

    color: np.ndarray
    """(H, W, 3) RGB over the background, not clipped (spherical harmonics may exceed 1)."""
    depth: np.ndarray
    """(H, W) expected z-depth of what is seen, in scene units (divided by alpha); 0 where alpha is 0."""
    alpha: np.ndarray
    """(H, W) in [0, 1]: how much of the background is covered."""


Recolor = Callable[[np.ndarray], RenderResult]
"""From colours (N - start, 3) of the Gaussians from `start` on, in place of their own, to what is seen over black."""


class Renderer(Protocol):
    """What a backend offers."""

    def render(self, gaussians: Gaussians, camera: Camera, background: tuple[float, float, float]) -> RenderResult: ...

    def recolorable(self, gaussians: Gaussians, camera: Camera, start: int, wanted: np.ndarray) -> Recolor: ...

    def contributions(self, gaussians: Gaussians, camera: Camera) -> np.ndarray: ...


def _cpu() -> Renderer:
    from openlyra.gaussians.tiles import shared_renderer

    return shared_renderer()


def _torch() -> Renderer:
    from openlyra.gaussians.render_torch import TorchRenderer

    return TorchRenderer()


BACKENDS: dict[str, Callable[[], Renderer]] = {"cpu": _cpu, "torch": _torch}
"""Name -> how to get it. 'cpu' is fast (numba tiles); 'torch' is the plain twin for small scenes and comparisons."""


def render(
    gaussians: Gaussians, camera: Camera, background: Sequence[float] = (0.0, 0.0, 0.0), backend: str = "cpu"
) -> RenderResult:
    """Render one camera (no batch axes). background is RGB in [0, 1].

    Gaussians that are behind the camera, outside the image or not finite are left out. InputError for a bad camera,
    background or backend name.
    """
    return _backend(backend).render(gaussians, _single(camera), _rgb(background))


def recolorable(gaussians: Gaussians, camera: Camera, start: int, wanted: np.ndarray, backend: str = "cpu") -> Recolor:
    """For one camera and many colourings: only the blending is done again for each.

    Args:
        start: the first Gaussian whose colour changes; those before keep theirs.
        wanted: (H, W) bool; other pixels may be drawn or stay 0.
    """
    return _backend(backend).recolorable(gaussians, _single(camera), start, wanted)


def contributions(gaussians: Gaussians, camera: Camera, backend: str = "cpu") -> np.ndarray:
    """(N,) float32: for each Gaussian the sum over all pixels of its compositing weight (alpha times transmittance).

    Gaussians that are hidden, too small or out of sight get 0; all together add up to the alpha image.
    """
    return _backend(backend).contributions(gaussians, _single(camera))


def _backend(name: str) -> Renderer:
    if name not in BACKENDS:
        raise InputError(f"renderer '{name}' does not exist; choose one of: {', '.join(BACKENDS)}")
    return BACKENDS[name]()


def _single(camera: Camera) -> Camera:
    if camera.batch_shape:
        raise InputError(f"camera: one camera is needed, not a batch of shape {camera.batch_shape}")
    camera.validate("camera")
    return camera.numpy()


def _rgb(background: Sequence[float]) -> tuple[float, float, float]:
    values = [float(value) for value in background]
    if len(values) != 3 or not np.isfinite(values).all():
        raise InputError(f"background is {tuple(background)}; must be three finite numbers, red green blue in [0, 1]")
    return values[0], values[1], values[2]
