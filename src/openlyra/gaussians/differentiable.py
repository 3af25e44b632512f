"""Rendering that gradients flow through: torch tensors in and out, one call, one table of backends.

Everything that `render` draws has gradients by means, scales, quaternions, opacities, spherical harmonics and the
camera's pose. The plain twin of all backends is `render_torch.render_dense`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch

from openlyra.errors import InputError, OpenLyraError
from openlyra.gaussians.tiles import Backward, TileRenderer
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera

Background = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class SceneTensors:
    """The fields of `Gaussians` as tensors of one float type on one device; scales and opacities linear."""

    means: torch.Tensor
    """(N, 3)"""
    quaternions: torch.Tensor
    """(N, 4) w x y z, of any length but zero."""
    scales: torch.Tensor
    """(N, 3)"""
    opacities: torch.Tensor
    """(N,)"""
    sh: torch.Tensor
    """(N, K, 3)"""

    @staticmethod
    def of(gaussians: Gaussians, dtype: torch.dtype = torch.float32, device: str = "cpu") -> SceneTensors:
        """Copies of a scene's arrays."""
        arrays = (getattr(gaussians, field.name) for field in fields(Gaussians))
        return SceneTensors(*(torch.tensor(array, dtype=dtype, device=device) for array in arrays))

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """All five, in order."""
        return self.means, self.quaternions, self.scales, self.opacities, self.sh

    def gaussians(self) -> Gaussians:
        """The scene as arrays; on the CPU they share memory with the tensors where types allow."""
        return Gaussians(*(tensor.detach().cpu().numpy() for tensor in self.tensors()))


@dataclass(frozen=True, eq=False)
class DifferentiableRender:
    """What one camera sees, with gradients; as `RenderResult`."""

    color: torch.Tensor
    """(H, W, 3)"""
    depth: torch.Tensor
    """(H, W) expected z-depth, divided by alpha; 0 where alpha is 0."""
    alpha: torch.Tensor
    """(H, W)"""


class DifferentiableRenderer(Protocol):
    """What a backend offers. The camera is single; its tensors may carry gradients."""

    def __call__(self, scene: SceneTensors, camera: Camera, background: Background) -> DifferentiableRender: ...


class TileFunction(torch.autograd.Function):
    """The tile kernels as a node of torch's graph."""

    @staticmethod
    def forward(ctx: Any, renderer: TileRenderer, camera: Camera, background: Background, *inputs: Any) -> Any:  # type: ignore[override]
        """inputs: the five scene tensors, then camera_from_world (4, 4) and the camera centre (3,)."""
        gaussians = Gaussians(*(tensor.detach().numpy() for tensor in inputs[:5]))
        result, ctx.backward_of_tiles = renderer.render_and_gradient(gaussians, camera, background)
        ctx.pose_type = inputs[5].dtype
        return tuple(torch.from_numpy(array) for array in (result.color, result.depth, result.alpha))

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> Any:
        """Gradients by the seven tensors; the first three arguments have none."""
        run: Backward = ctx.backward_of_tiles
        found = run(*(gradient.contiguous().numpy() for gradient in outputs))
        pose = torch.from_numpy(found.pose).to(ctx.pose_type)
        by_matrix = pose.new_zeros(4, 4)
        by_matrix[:3, :3], by_matrix[:3, 3] = pose[:9].reshape(3, 3), pose[9:12]
        scene = (found.means, found.quaternions, found.scales, found.opacities, found.sh)
        return None, None, None, *(torch.from_numpy(array) for array in scene), by_matrix, pose[12:]


class CpuRenderer:
    """The numba tiles; float32 scenes on the CPU. Keeps its buffers, so one instance serves a whole optimisation."""

    def __init__(self) -> None:
        self.tiles = TileRenderer()

    def __call__(self, scene: SceneTensors, camera: Camera, background: Background) -> DifferentiableRender:
        for tensor in scene.tensors():
            if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
                raise InputError(f"the cpu renderer needs float32 tensors on the CPU, not {tensor.dtype}")
        moving = camera if isinstance(camera.world_from_camera, torch.Tensor) else camera.torch(torch.float64)
        fixed = camera_values(camera)
        pose = (moving.camera_from_world, moving.center)
        return DifferentiableRender(*TileFunction.apply(self.tiles, fixed, background, *scene.tensors(), *pose))


def camera_values(camera: Camera) -> Camera:
    """The camera as NumPy float64, without gradients."""
    if not isinstance(camera.world_from_camera, torch.Tensor):
        return camera.numpy()
    pose, intrinsics = (t.detach().cpu().double().numpy() for t in (camera.world_from_camera, camera.intrinsics))
    return Camera(pose, intrinsics, camera.width, camera.height)


def _torch() -> DifferentiableRenderer:
    from openlyra.gaussians.render_torch import render_dense

    def dense(scene: SceneTensors, camera: Camera, background: Background) -> DifferentiableRender:
        found = render_dense(*scene.tensors(), camera, background)
        return DifferentiableRender(found.color, found.depth, found.alpha)

    return dense


def _cuda() -> DifferentiableRenderer:
    from openlyra.gaussians.render_gsplat import GsplatRenderer

    return GsplatRenderer()


BACKENDS: dict[str, Callable[[], DifferentiableRenderer]] = {"cpu": CpuRenderer, "cuda": _cuda, "torch": _torch}
"""Name -> how to get it: numba tiles, gsplat on a GPU, the plain twin."""


def load_differentiable(backend: str = "auto") -> DifferentiableRenderer:
    """A renderer by name; 'auto' is 'cuda' if gsplat and a GPU are there, else 'cpu'. InputError for other names."""
    if backend == "auto":
        return BACKENDS[best_backend()]()
    if backend not in BACKENDS:
        raise InputError(f"renderer '{backend}' does not exist; choose one of: auto, {', '.join(BACKENDS)}")
    return BACKENDS[backend]()


def best_backend() -> str:
    """'cuda' if it works here, else 'cpu'."""
    if not torch.cuda.is_available():
        return "cpu"
    try:
        _cuda()
    except OpenLyraError:
        return "cpu"
    return "cuda"
