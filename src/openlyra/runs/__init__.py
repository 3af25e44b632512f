"""A run folder: manifest, atomic writes, resume."""

from openlyra.runs.folder import RunFolder
from openlyra.runs.manifest import Manifest

__all__ = ["Manifest", "RunFolder"]
