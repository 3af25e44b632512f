"""Cameras, poses, camera paths and their file formats. Nothing here imports torch until a tensor is involved."""

from openlyra.geometry.camera import Camera, Trajectory

__all__ = ["Camera", "Trajectory"]
