"""The inpaint generator: the exemplar walk, with colours completed by a diffusers inpainting pipeline.

Depth first, then colour, memory and frames: all as in `exemplar.py`. Any pipeline that AutoPipelineForInpainting knows
will do (Stable Diffusion class, 4 to 8 GB of GPU memory); only safetensors are loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from openlyra.errors import InputError, MissingExtraError
from openlyra.generation.exemplar import ExemplarGenerator, ExemplarSettings, HoleView

MULTIPLE = 8
"""Height and width that pipelines take are multiples of this."""
SMALL_GPU = 6e9
"""Bytes of GPU memory below which parts of the pipeline visit the GPU in turn."""
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class InpaintSettings:
    """How holes are painted."""

    inpaint_model: str | None = None
    """Hub id or folder of a diffusers inpainting pipeline."""
    captions: str | None = None
    """What the whole scene shows; helps the pipeline."""
    steps: int | None = None
    """Steps of the pipeline; 30 if not given."""
    guidance: float | None = None
    """How strongly the caption steers; 7.5 if not given and there is a caption, else 1."""

    def check(self) -> None:
        """Raise InputError for what cannot work; downloads nothing."""
        model = self.inpaint_model
        if not model:
            raise InputError("generator 'inpaint' needs --inpaint-model: a Hub id or a folder of a diffusers pipeline")
        if Path(model).exists():
            if not (Path(model) / "model_index.json").is_file():
                raise InputError(f"--inpaint-model {model}: has no model_index.json, so it is no diffusers pipeline")
        elif not HUB_ID.fullmatch(model):
            raise InputError(f"--inpaint-model {model}: is neither a folder nor a Hub id such as owner/name")
        if self.captions is not None and self.captions.endswith(".json"):
            raise InputError(f"--captions {self.captions}: generator 'inpaint' takes one text for the whole scene")
        if self.steps is not None and not 1 <= self.steps <= 1000:
            raise InputError(f"--steps {self.steps}: must be from 1 to 1000")
        if self.guidance is not None and not 0 <= self.guidance <= 100:
            raise InputError(f"--guidance {self.guidance}: must be from 0 to 100")


class InpaintGenerator(ExemplarGenerator):
    """See the module's text. The pipeline is loaded when the first hole is painted."""

    name = "inpaint"

    def __init__(self, settings: InpaintSettings, walk: ExemplarSettings | None = None, pipeline: Any = None) -> None:
        """``pipeline``: one that is loaded already."""
        settings.check()
        super().__init__(walk, self._by_pipeline)
        self.inpaint, self._pipeline = settings, pipeline

    def _by_pipeline(self, view: HoleView, seed: int) -> np.ndarray:
        import torch

        if self._pipeline is None:
            self._pipeline = load_pipeline(str(self.inpaint.inpaint_model))
        height, width = view.target.mask.shape
        size = (_rounded(width), _rounded(height))
        image = Image.fromarray(np.round(view.target.color * 255).clip(0, 255).astype(np.uint8)).resize(size)
        mask = Image.fromarray(view.target.mask.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)
        caption = self.inpaint.captions or ""
        guidance = self.inpaint.guidance if self.inpaint.guidance is not None else (7.5 if caption else 1.0)
        result = self._pipeline(
            prompt=caption, image=image, mask_image=mask, height=size[1], width=size[0], guidance_scale=guidance,
            num_inference_steps=self.inpaint.steps or 30, output_type="np",
            generator=torch.Generator("cpu").manual_seed(seed),
        ).images[0]  # fmt: skip
        painted = np.asarray(result, np.float32)
        if not np.isfinite(painted).all():
            raise InputError(f"--inpaint-model {self.inpaint.inpaint_model}: paints numbers that are not finite")
        if size != (width, height):
            channels = [Image.fromarray(channel).resize((width, height)) for channel in np.moveaxis(painted, -1, 0)]
            painted = np.stack([np.asarray(channel) for channel in channels], -1)
        return painted.clip(0, 1)


def load_pipeline(model: str) -> Any:
    """The inpainting pipeline of that name, where it fits. Raises InputError, MissingExtraError."""
    import torch

    try:
        from diffusers import AutoPipelineForInpainting
    except ImportError:
        raise MissingExtraError("diffusers", "lyra") from None
    try:
        pipeline: Any = AutoPipelineForInpainting.from_pretrained(model, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"--inpaint-model {model}: cannot be loaded ({first})") from error
    pipeline.set_progress_bar_config(disable=True)
    if torch.cuda.is_available():
        pipeline.to(dtype=torch.float16)
        if torch.cuda.get_device_properties(0).total_memory < SMALL_GPU:
            pipeline.enable_model_cpu_offload()
        else:
            pipeline.to("cuda")
    return pipeline


def _rounded(side: int) -> int:
    return max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE)
