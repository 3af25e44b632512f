"""Maps at another size."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

Map = NDArray[np.float32]


def resized(values: Map, height: int, width: int) -> Map:
    """Maps (..., h, w), bilinear, at (..., height, width)."""
    tensor = torch.from_numpy(np.ascontiguousarray(values)).reshape(1, -1, *values.shape[-2:])
    grown = F.interpolate(tensor, size=(height, width), mode="bilinear", align_corners=False)
    return grown.reshape(*values.shape[:-2], height, width).numpy()
