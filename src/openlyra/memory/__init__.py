"""Spatial memory: the frames seen so far with their geometry, retrieval of the useful ones, dense correspondences."""

from openlyra.memory.frame import MemoryFrame
from openlyra.memory.retrieval import RetrievalConfig, RetrievalResult, retrieve
from openlyra.memory.spatial_memory import SpatialMemory

__all__ = ["MemoryFrame", "RetrievalConfig", "RetrievalResult", "SpatialMemory", "retrieve"]
