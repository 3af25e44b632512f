"""Depth from the small network the package ships; no download.

The network sees the photo at two sizes, each plain and mirrored: both say where things are, the larger adds their
detail. What follows runs on the photo's own pixels: near-planes are made planes, the sky is cut out, outlines
are snapped to edges of the photo, and things get back what is theirs by colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from openlyra.depth.base import DepthResult, Float32Map, Mask, Uint8Image, check_image, place_sky
from openlyra.depth.filters import guided_filter, opened, opponent
from openlyra.depth.outlines import grow_outlines
from openlyra.depth.planes import flatten_planes
from openlyra.depth.refine import mend_sky_rim, sharpen_depth
from openlyra.depth.resample import resized
from openlyra.depth.sky import find_sky, find_thin, parts_with, without_specks
from openlyra.models.depth_net import STRIDE, DepthNet, DepthPrediction
from openlyra.models.depth_weights import load_depth_net
from openlyra.models.threads import torch_threads

NEAREST, FARTHEST = 0.25, 250.0
"""Bounds of everything that is not sky, in metres."""
METRES = 0.85
"""What the network takes for a metre. Without it, depths of 128 views outside trainings and evaluations are 1.13 times
the truth in the median (1.30 where no sky is in the picture, 0.94 elsewhere)."""
DOUBT = -1.0
"""Sky logit above which the network does not contradict what colours say."""
SURE = 1.5
"""Sky logit that some pixel of a piece of sky must reach, unless its colours say sky. A wall far away does less harm
than a hole in it, and a night sky is hardly told from a dark wall."""
DETAIL = 0.02
"""Deviation of the blur, in heights of the photo, that tells detail from place."""
CLOSER = 1 / 3
"""How much the closer look's opinion of places counts; detail is its alone, and the sky a matter of both alike."""
LEAST_FOV, GREATEST_FOV = 15.0, 110.0
"""Bounds in degrees of what is believed of the vertical field of view."""


@dataclass(frozen=True)
class RawDepth:
    """What the network says, at its own resolution."""

    inverse: Float32Map
    """(h, w) inverse depth times focal length over diagonal."""
    sky: Float32Map
    """(h, w) logits."""
    spread: Float32Map
    """(h, w) expected absolute error of log depth."""
    focal: float
    """Focal length over image diagonal."""


class NanoDepth:
    """The `nano` backend.

    Args of the constructor:
        weights: another file of weights, None for the package's.
        sizes: about how many pixels the network sees at a time: overview, closer look.
        planes: whether near-planes are made planes.
        net: a network to use instead of weights from a file.
    """

    def __init__(
        self,
        weights: str | None = None,
        sizes: tuple[int, int] = (60_000, 160_000),
        planes: bool = True,
        net: DepthNet | None = None,
    ) -> None:
        self.net = net or load_depth_net(None if weights is None else Path(weights))
        self.sizes = sizes
        self.planes = planes

    def estimate(self, image: Uint8Image, focal: float | None = None) -> DepthResult:
        """Depth in metres of a photo, uint8 (H, W, 3); `focal` in pixels if known, else the network's guess."""
        given = focal
        check_image(image, focal)
        raw = look(self.net, image, self.sizes)
        height, width = image.shape[:2]
        diagonal = math.hypot(height, width)
        focal = given if given is not None else believed_focal(raw.focal * diagonal, height)
        with ThreadPoolExecutor(1) as beside:
            flat = beside.submit(flatten_planes, raw.inverse) if self.planes else None
            sky = _sky_mask(raw, image)
            inverse = flat.result() if flat else raw.inverse
        full = mend_sky_rim(resized(inverse, height, width), sky, height // 24)
        full, sky = _with_thin_things(full, sky, image)
        depth = np.clip(METRES * focal / diagonal / full, NEAREST, FARTHEST).astype(np.float32)
        depth, sky = grow_outlines(sharpen_depth(depth, image, sky), image, sky)
        confidence = np.exp(-2.0 * resized(raw.spread, height, width))
        return DepthResult(
            depth=place_sky(depth, sky),
            valid=np.ones(depth.shape, bool),
            sky=sky,
            focal=float(focal),
            confidence=np.clip(confidence, 0, 1).astype(np.float32),
            backend="nano",
            licence="Apache-2.0",
        )


def look(net: DepthNet, image: Uint8Image, sizes: tuple[int, int]) -> RawDepth:
    """Run the network on a photo, uint8 (H, W, 3), at about so many pixels: an overview and, at the size of the result,
    a closer look.

    Two sizes err differently, so their mean is better than either (after Miangoleh et al., Boosting monocular depth
    estimation, 2021); outlines are those of the closer look.
    """
    overview, closer = _looks(net, image, sizes)
    rows, columns = closer.inverse.shape
    there = (overview.inverse, overview.sky, overview.spread)
    inverse, sky, spread = (resized(values, rows, columns) for values in there)
    change = np.log(closer.inverse / inverse)
    place = ndimage.gaussian_filter(change, DETAIL * rows, mode="nearest")
    return RawDepth(
        inverse=inverse * np.exp(change - (1 - CLOSER) * place),
        sky=np.float32(0.5) * (sky + closer.sky),
        spread=np.float32(0.5) * (spread + closer.spread),
        focal=overview.focal,
    )


def _looks(net: DepthNet, image: Uint8Image, sizes: Sequence[int]) -> list[RawDepth]:
    """What the network says at each size, the mean of plain and mirrored.

    Plain on one half of the processor's cores and mirrored on the other: less waiting than all cores on one layer.
    """
    photos = [_photo(image, pixels) for pixels in sizes]
    cores = torch.get_num_threads()
    with torch_threads(max(1, cores // 2)), ThreadPoolExecutor(min(2, cores)) as pool:
        said = list(pool.map(lambda flip: [_ask(net, photo, flip) for photo in photos], (False, True)))
    return [_mean(plain, mirrored) for plain, mirrored in zip(*said)]


def _photo(image: Uint8Image, pixels: int) -> torch.Tensor:
    """(1, 3, h, w) of about so many pixels, in [0, 1]."""
    photo = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    size = network_size(image.shape[0], image.shape[1], pixels)
    return F.interpolate(photo, size=size, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def _ask(net: DepthNet, photo: torch.Tensor, flip: bool) -> DepthPrediction:
    """What the network says of a photo or of its mirror image, mirrored back."""
    with torch.inference_mode():
        said = net((photo.flip(-1) if flip else photo).contiguous(memory_format=torch.channels_last))
        return DepthPrediction(*(field.flip(-1) if flip and field.ndim > 1 else field for field in said))


def _mean(plain: DepthPrediction, mirrored: DepthPrediction) -> RawDepth:
    def averaged(one: torch.Tensor, other: torch.Tensor) -> NDArray[np.float32]:
        return ((one[0] + other[0]) / 2).numpy()

    return RawDepth(
        inverse=averaged(plain.inverse, mirrored.inverse),
        sky=averaged(plain.sky, mirrored.sky),
        spread=averaged(plain.spread.clamp(-6, 2).exp(), mirrored.spread.clamp(-6, 2).exp()),
        focal=math.exp((float(plain.log_focal) + float(mirrored.log_focal)) / 2),
    )


def network_size(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Rows and columns, multiples of 32, of about `pixels` pixels and the photo's shape (sides within 1:4)."""
    ratio = min(max(width / height, 0.25), 4.0)
    rows = max(2, round(math.sqrt(pixels / ratio) / STRIDE))
    columns = max(2, round(math.sqrt(pixels * ratio) / STRIDE))
    return rows * STRIDE, columns * STRIDE


def believed_focal(focal: float, height: int) -> float:
    """A guessed focal length in pixels, within the bounds of the vertical field of view."""
    longest = height / 2 / math.tan(math.radians(LEAST_FOV) / 2)
    shortest = height / 2 / math.tan(math.radians(GREATEST_FOV) / 2)
    return min(max(focal, shortest), longest)


def _sky_mask(raw: RawDepth, image: Uint8Image) -> Mask:
    """bool (H, W): where the sky is more likely than not, its outline drawn along the photo's edges."""
    height, width = image.shape[:2]
    if not (raw.sky > 0).any():
        return np.zeros((height, width), bool)
    brightness = opponent(image)[..., 0]
    logits = resized(np.clip(raw.sky, -4, 4), height, width)
    # Bright clouds and haze: where colour and smoothness say sky, the network need only not be sure of the contrary.
    coloured = find_sky(image) & (logits > DOUBT)
    sure = coloured | (logits > SURE)
    logits = np.where(coloured, np.maximum(logits, 1.0), logits)
    fine = guided_filter(brightness, logits, max(2, height // 120), 4e-4)
    mask = opened(fine > 0, 2)
    # Two thresholds, as for edges in Canny, A computational approach to edge detection, 1986.
    mask = parts_with(without_specks(mask, height * width // 8000), sure)
    # A cloud taken for a thing is an island in the sky; real things stand on something.
    return ~without_specks(~mask, height * width // 150)


def _with_thin_things(inverse: Float32Map, sky: Mask, image: Uint8Image) -> tuple[Float32Map, Mask]:
    """Take thin things out of the sky; they are as far away as the nearest thing beside them in the picture."""
    thin = find_thin(image, sky)
    if not thin.any() or sky.all():
        return inverse, sky
    # The nearest pixel that is not sky is beside the sky.
    rim = np.argwhere(~sky & ndimage.binary_dilation(sky))
    rows, columns = rim[KDTree(rim).query(np.argwhere(thin))[1]].T
    mended = inverse.copy()
    mended[thin] = inverse[rows, columns]
    return mended, sky & ~thin
