"""Depth Anything V2 (through transformers) and 3 (through its own package): learned depth, weights from the Hub.

V2: arXiv 2406.09414; 3: arXiv 2511.10647. Pre-processing is done here, so torchvision is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import ndimage

from openlyra.depth.base import DepthResult, Float32Map, Mask, Uint8Image, check_image, place_sky
from openlyra.depth.layout import LayoutDepth, find_layout
from openlyra.depth.refine import sharpen_depth
from openlyra.depth.sky import find_sky
from openlyra.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import torch

NEAREST, FARTHEST = 0.3, 200.0
"""Bounds of everything that is not sky, in scene units."""

Meaning = Literal["inverse", "relative", "metres"]


@dataclass(frozen=True)
class ModelInfo:
    """Where a model's weights are and under which licence."""

    repository: str
    licence: str
    package: Literal["transformers", "depth-anything-3"]


MODELS: dict[str, ModelInfo] = {
    "v2-small": ModelInfo("depth-anything/Depth-Anything-V2-Small-hf", "Apache-2.0", "transformers"),
    "v2-outdoor": ModelInfo("depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf", "Apache-2.0", "transformers"),
    "v2-indoor": ModelInfo("depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf", "Apache-2.0", "transformers"),
    "3-small": ModelInfo("depth-anything/DA3-SMALL", "Apache-2.0", "depth-anything-3"),
    "3-base": ModelInfo("depth-anything/DA3-BASE", "Apache-2.0", "depth-anything-3"),
}


@dataclass(frozen=True)
class Prediction:
    """What a network says about one photo."""

    values: Float32Map
    """float32 (H, W)."""
    meaning: Meaning
    """Inverse depth up to scale and shift, depth up to scale, or depth in metres."""
    focal: float | None = None
    """Focal length in pixels if the network estimates it."""


class DepthAnything:
    """The `depth-anything` backend.

    `model` is a name in `MODELS` or a folder with a V2 model in transformers' format; `device` a torch device;
    `sharpen` snaps soft outlines to the photo's edges; `resolution` the shorter side the network sees, in pixels.
    """

    def __init__(
        self, model: str = "v2-small", device: str = "cpu", sharpen: bool = True, resolution: int = 518
    ) -> None:
        if model not in MODELS and not Path(model).is_dir():
            raise InputError(f"depth model {model!r} is unknown; choose one of: {', '.join(MODELS)}, or a folder")
        if not 14 <= resolution <= 2800:
            raise InputError(f"resolution {resolution}: must lie between 14 and 2800 pixels")
        info = MODELS.get(model) or ModelInfo(model, "unknown", "transformers")
        self.licence = info.licence
        self.sharpen = sharpen
        load = _load_v2 if info.package == "transformers" else _load_v3
        self._predict: Callable[[Uint8Image], Prediction] = load(info.repository, device, resolution)

    def estimate(self, image: Uint8Image, focal: float | None = None) -> DepthResult:
        """Depth of a photo, uint8 (H, W, 3); `focal` in pixels if known."""
        assumed = check_image(image, focal)
        prediction = self._predict(image)
        focal = assumed if focal is not None else (prediction.focal or assumed)
        if not np.isfinite(prediction.values).all():
            raise InputError("depth-anything: the network gave values that are not finite; its weights are damaged")
        sky = find_sky(image)
        depth = to_metres(prediction, image, sky, focal)
        if self.sharpen:
            depth = np.where(sky, depth, sharpen_depth(depth, image, sky, reach=0.02))
        depth = place_sky(np.clip(depth, NEAREST, FARTHEST).astype(np.float32), sky)
        confidence = np.where(sky, np.float32(0.9), np.float32(0.8))
        return DepthResult(depth, np.ones(depth.shape, bool), sky, focal, confidence, "depth-anything", self.licence)


def to_metres(prediction: Prediction, image: Uint8Image, sky: Mask, focal: float) -> Float32Map:
    """Depth (H, W) in scene units, positive; the scale of a relative prediction comes from the ground plane.

    Inverse depth is fitted to the layout's ground by scale and shift; where the photo shows too little ground, or the
    fit turns the depth around, the median of everything but the sky is put at 6 units.
    """
    values = prediction.values.astype(np.float64)
    if prediction.meaning == "metres":
        return np.maximum(values, NEAREST).astype(np.float32)
    inverse = values if prediction.meaning == "inverse" else 1.0 / np.maximum(values, 1e-6)
    rest = ~sky if not sky.all() else np.ones_like(sky)
    median = max(float(np.median(inverse[rest])), 1e-6)
    scale, shift = 1.0 / (6.0 * median), 0.0
    ground = find_layout(image).ground & rest
    if ground.mean() > 0.05:
        plane = 1.0 / LayoutDepth().estimate(image, focal).depth[ground].astype(np.float64)
        fitted = _fit(inverse[ground], plane, with_shift=prediction.meaning == "inverse")
        # A shift below zero would send the far end behind infinity, a large one would pull the distance close.
        usable = fitted[0] > 0 and 2.0 <= 1.0 / max(fitted[0] * median + fitted[1], 1e-6) <= 40.0
        if usable and 0.0 <= fitted[1] <= 0.5 * (fitted[0] * median + fitted[1]):
            scale, shift = fitted
        elif usable:
            scale = max(_fit(inverse[ground], plane, with_shift=False)[0], 1e-9)
    return np.clip(1.0 / np.maximum(scale * inverse + shift, 1e-6), NEAREST, FARTHEST).astype(np.float32)


def _fit(x: np.ndarray, y: np.ndarray, with_shift: bool) -> tuple[float, float]:
    """Robust y = scale x + shift: least squares with residuals beyond their median down-weighted in turns."""
    weight = np.ones_like(x)
    scale, shift = 1.0, 0.0
    for _ in range(8):
        mx, my = (np.average(x, weights=weight), np.average(y, weights=weight)) if with_shift else (0.0, 0.0)
        scale = float((weight * (x - mx) * (y - my)).sum() / max((weight * (x - mx) ** 2).sum(), 1e-12))
        shift = float(my - scale * mx)
        residual = np.abs(y - scale * x - shift)
        weight = 1.0 / np.maximum(residual, np.median(residual) + 1e-9)
    return scale, shift


def prepare(image: Uint8Image, resolution: int) -> torch.Tensor:
    """Photo, uint8 (H, W, 3), as the network wants it: (1, 3, h, w), sides multiples of 14, ImageNet-normalised."""
    import torch
    import torch.nn.functional as functional

    height, width = image.shape[:2]
    factor = resolution / min(height, width)
    size = [max(14, round(side * factor / 14) * 14) for side in (height, width)]
    pixels = torch.from_numpy(image.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    pixels = functional.interpolate(pixels, size=size, mode="bicubic", align_corners=False, antialias=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean[:, None, None]) / std[:, None, None]


def _load_v2(repository: str, device: str, resolution: int) -> Callable[[Uint8Image], Prediction]:
    try:
        import torch
        from transformers import AutoModelForDepthEstimation
    except ImportError:
        raise MissingExtraError("transformers", "lyra") from None
    with _hub_errors(repository):
        model = AutoModelForDepthEstimation.from_pretrained(repository, use_safetensors=True).to(device).eval()
    metric = getattr(model.config, "depth_estimation_type", "relative") == "metric"

    def predict(image: Uint8Image) -> Prediction:
        with torch.inference_mode():
            values = model(pixel_values=prepare(image, resolution).to(device)).predicted_depth.float()
            resized = torch.nn.functional.interpolate(
                values[:, None], size=image.shape[:2], mode="bilinear", align_corners=False
            )
        return Prediction(resized[0, 0].cpu().numpy(), "metres" if metric else "inverse")

    return predict


def _load_v3(repository: str, device: str, resolution: int) -> Callable[[Uint8Image], Prediction]:
    try:
        from depth_anything_3.api import DepthAnything3
    except ImportError:
        raise MissingExtraError("depth-anything-3", "depth-anything-3") from None
    with _hub_errors(repository):
        model = DepthAnything3.from_pretrained(repository).to(device).eval()

    def predict(image: Uint8Image) -> Prediction:
        result: Any = model.inference(image=[image], process_res=resolution)
        values = np.asarray(result.depth[0], np.float32)
        zoom = (image.shape[0] / values.shape[0], image.shape[1] / values.shape[1])
        focal = None
        if getattr(result, "intrinsics", None) is not None:
            focal = float(result.intrinsics[0][0, 0]) * zoom[1]
        return Prediction(np.maximum(ndimage.zoom(values, zoom, order=1), 1e-6), "relative", focal)

    return predict


class _hub_errors:
    """Turn everything a download can die of into one line."""

    def __init__(self, repository: str) -> None:
        self.repository = repository

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # The Hub's client raises its own classes, its HTTP library's and plain OSError; none is worth a trace.
        if not isinstance(error, Exception):
            return
        from_network = type(error).__module__.split(".")[0] in {"huggingface_hub", "httpx", "requests", "urllib3"}
        if not (from_network or isinstance(error, (OSError, ValueError))):
            return
        if Path(self.repository).is_dir():
            what = f"depth model {self.repository}: cannot be loaded ({str(error).splitlines()[0]})"
        else:
            what = (
                f"depth model {self.repository}: weights are neither in the cache nor reachable; go online once, or "
                f"run 'hf download {self.repository}' elsewhere, copy the cache (HF_HOME) and set HF_HUB_OFFLINE=1"
            )
        raise InputError(what) from error
