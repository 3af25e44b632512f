"""Differentiable rendering on a GPU with gsplat (Apache-2.0), set to the rules of `splat_rules`."""

from __future__ import annotations

import torch

from openlyra.errors import InputError, MissingExtraError
from openlyra.gaussians.differentiable import Background, DifferentiableRender, SceneTensors
from openlyra.gaussians.spherical_harmonics import degree_of
from openlyra.gaussians.splat_rules import BLUR, NEAR
from openlyra.geometry.camera import Camera


class GsplatRenderer:
    """gsplat's classic rasterisation of one camera: colour and expected depth. Needs CUDA and `openlyra[gpu]`.

    gsplat has the other rules (alpha from 1/255 to 0.999, transmittance down to 1e-4) built in.
    """

    def __init__(self, device: str = "cuda") -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("renderer 'cuda': no CUDA GPU was found; use 'cpu'")
        try:
            from gsplat import rasterization
        except ImportError:
            raise MissingExtraError("gsplat", "gpu") from None
        self.device = device
        self._rasterization = rasterization

    def __call__(self, scene: SceneTensors, camera: Camera, background: Background) -> DifferentiableRender:
        """All tensors are moved to the GPU if they are not there; gradients flow back to where they came from."""
        means, quaternions, scales, opacities, sh = (t.to(self.device, torch.float32) for t in scene.tensors())
        view = camera.torch(torch.float32, self.device)
        images, alphas, _ = self._rasterization(
            means,
            quaternions,
            scales,
            opacities,
            sh,
            view.camera_from_world[None],
            view.intrinsics[None],
            camera.width,
            camera.height,
            near_plane=NEAR,
            eps2d=BLUR,
            sh_degree=degree_of(sh.shape[1]),
            packed=False,
            render_mode="RGB+ED",
        )
        alpha = alphas[0, ..., 0]
        color = images[0, ..., :3] + (1 - alpha)[..., None] * images.new_tensor(background)
        return DifferentiableRender(color, images[0, ..., 3], alpha)
