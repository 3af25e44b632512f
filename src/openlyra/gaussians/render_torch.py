"""The plain twin of the tile renderer: every Gaussian against every pixel, in torch, differentiable, any float type.

For small scenes, tests and gradients to compare with; memory grows with Gaussians times pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from openlyra.gaussians.render import Recolor, RenderResult
from openlyra.gaussians.spherical_harmonics import C0, degree_of, sh_basis
from openlyra.gaussians.splat_rules import ALPHA_MAX, ALPHA_MIN, BLUR, NEAR, TANGENT_MARGIN, TRANSMITTANCE_MIN
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class DenseRender:
    """Tensors that carry gradients."""

    color: torch.Tensor
    """(H, W, 3)"""
    depth: torch.Tensor
    """(H, W), divided by alpha; 0 where alpha is 0."""
    alpha: torch.Tensor
    """(H, W)"""
    contributions: torch.Tensor
    """(N,)"""


@dataclass(frozen=True, eq=False)
class Splats:
    """Projected Gaussians, nearest first."""

    index: torch.Tensor
    """(M,) which Gaussian each is."""
    means: torch.Tensor
    """(M, 2) pixels"""
    covariances: torch.Tensor
    """(M, 2, 2) squared pixels, blur included"""
    depths: torch.Tensor
    """(M,) z"""


def render_dense(
    means: torch.Tensor,
    quaternions: torch.Tensor,
    scales: torch.Tensor,
    opacities: torch.Tensor,
    sh: torch.Tensor,
    camera: Camera,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> DenseRender:
    """Render tensors shaped like the fields of `Gaussians`, all of one float type, for one camera."""
    camera = camera.torch(dtype=means.dtype)
    splats = project(means, quaternions, scales, camera)
    colors = view_colors(means, sh, camera.center)[splats.index]
    weights = blending_weights(splats, opacities[splats.index], camera.height, camera.width)
    alpha = weights.sum(0)
    color = torch.einsum("mhw,mc->hwc", weights, colors) + (1 - alpha)[..., None] * means.new_tensor(background)
    total_depth = torch.einsum("mhw,m->hw", weights, splats.depths)
    seen = alpha > 0
    depth = torch.where(seen, total_depth / torch.where(seen, alpha, 1.0), 0.0)
    contributions = means.new_zeros(len(means)).index_add(0, splats.index, weights.sum((1, 2)))
    return DenseRender(color, depth, alpha, contributions)


def project(means: torch.Tensor, quaternions: torch.Tensor, scales: torch.Tensor, camera: Camera) -> Splats:
    """Splats of the Gaussians beyond the near plane; the projection is linearised at their centres."""
    rotation, translation = camera.camera_from_world[:3, :3], camera.camera_from_world[:3, 3]
    local = means @ rotation.T + translation
    index = torch.nonzero(local[:, 2] > NEAR)[:, 0]
    index = index[torch.argsort(local[index, 2], stable=True)]
    local = local[index]
    z = local[:, 2]
    focal = torch.stack([camera.intrinsics[0, 0], camera.intrinsics[1, 1]])
    principal = camera.intrinsics[:2, 2]
    tangent = local[:, :2] / z[:, None]
    size = means.new_tensor([camera.width, camera.height])
    low, high = -(principal + TANGENT_MARGIN * size) / focal, (size - principal + TANGENT_MARGIN * size) / focal
    clamped = torch.minimum(torch.maximum(tangent, low), high)
    diagonal = torch.diag(focal).expand(len(z), 2, 2)
    jacobian = torch.cat([diagonal, -(focal * clamped)[:, :, None]], -1) / z[:, None, None]
    axes = _rotations(quaternions[index]) * scales[index, None, :]
    spread = jacobian @ rotation @ axes
    covariances = spread @ spread.transpose(1, 2) + BLUR * torch.eye(2, dtype=means.dtype)
    return Splats(index, tangent * focal + principal, covariances, z)


def view_colors(means: torch.Tensor, sh: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """(N, 3) colours seen from `center`, not below 0."""
    directions = torch.nn.functional.normalize(means - center, dim=-1)
    x, y, z = directions.unbind(-1)
    basis = torch.stack(sh_basis(x, y, z, degree_of(sh.shape[1])), -1)
    return (0.5 + torch.einsum("nk,nkc->nc", basis, sh)).clamp_min(0)


def blending_weights(splats: Splats, opacities: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(M, H, W): alpha times the transmittance in front, 0 from the splat on that would leave almost none."""
    y = torch.arange(height, dtype=opacities.dtype) + 0.5
    x = torch.arange(width, dtype=opacities.dtype) + 0.5
    dx = x - splats.means[:, 0, None, None]
    dy = y[:, None] - splats.means[:, 1, None, None]
    conic = torch.linalg.inv(splats.covariances)[:, :, :, None, None]
    s = 0.5 * (conic[:, 0, 0] * dx * dx + conic[:, 1, 1] * dy * dy) + conic[:, 0, 1] * dx * dy
    alpha = (torch.exp(-s) * opacities[:, None, None]).clamp_max(ALPHA_MAX)
    alpha = torch.where(alpha >= ALPHA_MIN, alpha, 0.0)
    after = torch.cumprod(1 - alpha, 0)
    before = torch.cat([torch.ones_like(after[:1]), after[:-1]])
    return torch.where(after > TRANSMITTANCE_MIN, alpha * before, 0.0)


def _rotations(quaternions: torch.Tensor) -> torch.Tensor:
    """(M, 3, 3) of quaternions (M, 4), w x y z, of any length."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, 1)


class TorchRenderer:
    """The twin as a backend: float64 inside, float32 results."""

    def render(self, gaussians: Gaussians, camera: Camera, background: tuple[float, float, float]) -> RenderResult:
        """Colour, depth and alpha of one camera."""
        dense = self._dense(gaussians, camera, background)
        return RenderResult(*(getattr(dense, name).numpy().astype(np.float32) for name in ("color", "depth", "alpha")))

    def recolorable(self, gaussians: Gaussians, camera: Camera, start: int, wanted: np.ndarray) -> Recolor:
        """A function from colours (N - start, 3) to what the camera sees, over black."""

        def recolored(colors: np.ndarray) -> RenderResult:
            sh = gaussians.sh.copy()
            sh[start:] = 0
            sh[start:, 0] = (colors - 0.5) / C0
            return self.render(replace(gaussians, sh=sh), camera, (0.0, 0.0, 0.0))

        return recolored

    def contributions(self, gaussians: Gaussians, camera: Camera) -> np.ndarray:
        """(N,) float32 sums of compositing weight."""
        return self._dense(gaussians, camera, (0.0, 0.0, 0.0)).contributions.numpy().astype(np.float32)

    def _dense(self, g: Gaussians, camera: Camera, background: tuple[float, float, float]) -> DenseRender:
        arrays = (g.means, g.quaternions, g.scales, g.opacities, g.sh)
        means, quaternions, scales, opacities, sh = (torch.from_numpy(array.astype(np.float64)) for array in arrays)
        with torch.no_grad():
            return render_dense(means, quaternions, scales, opacities, sh, camera, background)
