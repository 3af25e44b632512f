"""Reference numbers for camera geometry."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """Camera paths, look-at, quaternions and file loading of the reference."""
    return load_file(GOLDEN / "cameras.safetensors")


@pytest.fixture(scope="session")
def golden_rays() -> dict[str, np.ndarray]:
    """Rays and space-to-channel of the reference."""
    return load_file(GOLDEN / "plucker_coords.safetensors")
