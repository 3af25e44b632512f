"""3D Gaussian scenes: the type and the renderers. Nothing here imports torch or numba until something is rendered."""

from openlyra.gaussians.render import RenderResult, contributions, render
from openlyra.gaussians.types import Gaussians

__all__ = ["Gaussians", "RenderResult", "contributions", "render"]
