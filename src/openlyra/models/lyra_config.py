"""The size of a Lyra 2.0 network: one dataclass for the released 14B model, the 1.3B variant, the toy, anything else.

Source: network specification, section 1.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from openlyra.errors import InputError
from openlyra.models.frame_packing import Layout

RELEASED_LAYOUT = "f1k1f4s2f1s1f16k4f2k2f1k1_g20"
SLOT_CHANNELS = 256
"""Channels of one correspondence slot at latent resolution: (x, y, z, depth) of 8x8 pixels."""
MAX_CONFIG_BYTES = 1 << 20
MAX_SIZE = 1 << 20
"""Largest value of any size: a mistyped one must not allocate the machine away."""


@dataclass(frozen=True)
class LyraConfig:
    """Sizes of the video transformer. The defaults are the released 14B model."""

    width: int = 5120
    """D, channels of a token."""
    heads: int = 40
    """Attention heads; their width D / heads is a multiple of 2."""
    ffn_width: int = 13824
    """Hidden width of the feed-forward part."""
    blocks: int = 40
    """Transformer blocks."""
    latent_channels: int = 16
    """Channels of a latent, which are also those of the output."""
    input_channels: int = 36
    """Channels that enter a patch embedding: latent, mask (4) and conditioning latent."""
    text_width: int = 4096
    """Channels of a text token."""
    text_tokens: int = 512
    """Rows of the context that are text."""
    image_width: int = 1280
    """Channels of an image token."""
    time_width: int = 256
    """Width of the time sinusoid."""
    layout: str | None = RELEASED_LAYOUT
    """Frame packing, None for the plain image-to-video network without history."""
    camera_channels: int = 384
    """Camera-ray channels at latent resolution, 0 for a network without camera encoders."""
    buffer_channels: int = 5 * SLOT_CHANNELS
    """Correspondence channels at latent resolution, 0 for a network without them."""
    buffer_octaves: int = 2
    """Octaves of the sin-cos encoding of the correspondences."""
    squeeze_width: int = 256
    """Width between the two layers of a block's correspondence encoder."""
    eps: float = 1e-6
    """Of all norms except those of the image projection."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_field(field.name, getattr(self, field.name))
        if self.width % (2 * self.heads):
            raise _wrong(f"width {self.width} for {self.heads} heads", f"a multiple of {2 * self.heads}")
        if self.head_width < 6:
            raise _wrong(f"heads are {self.head_width} wide", "at least 6")
        if self.time_width % 2:
            raise _wrong(f"time_width is {self.time_width}", "an even number")
        if self.input_channels <= self.latent_channels:
            raise _wrong(
                f"input_channels is {self.input_channels}", f"more than latent_channels, {self.latent_channels},"
            )
        if self.layout is not None:
            Layout.parse(self.layout)
        elif self.camera_channels or self.buffer_channels:
            raise _wrong("camera or buffer channels without a layout", "a layout or 0 channels")

    @property
    def head_width(self) -> int:
        """d, channels of a head."""
        return self.width // self.heads

    @property
    def packing(self) -> Layout | None:
        """The layout as data, None for the plain network."""
        return None if self.layout is None else Layout.parse(self.layout)

    @property
    def condition_channels(self) -> int:
        """Mask and conditioning-latent channels."""
        return self.input_channels - self.latent_channels

    def without_conditioning(self) -> LyraConfig:
        """The plain Wan 2.1 image-to-video network of the same size."""
        return replace(self, layout=None, camera_channels=0, buffer_channels=0)

    def to_json(self) -> str:
        """The configuration as JSON text; `from_json` reads it back."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @staticmethod
    def from_json(text: str, name: str = "network configuration") -> LyraConfig:
        """Parse JSON text; missing fields get the released values. Raises InputError that begins with `name`."""
        try:
            values: Any = json.loads(text)
        except ValueError as error:
            raise InputError(f"{name}: not JSON ({error})") from error
        if not isinstance(values, dict):
            raise InputError(f"{name}: a JSON object with the fields of the network is needed")
        known = {field.name for field in fields(LyraConfig)}
        if unknown := sorted(values.keys() - known):
            raise InputError(f"{name}: field {unknown[0]!r} is unknown; fields are {', '.join(sorted(known))}")
        try:
            return LyraConfig(**values)
        except InputError as error:
            raise InputError(f"{name}: {str(error).removeprefix('network configuration: ')}") from error

    @staticmethod
    def read(path: Path) -> LyraConfig:
        """Read a JSON file. Raises InputError."""
        if not path.is_file():
            raise InputError(f"{path}: no such file; a network configuration in JSON is needed")
        if (size := path.stat().st_size) > MAX_CONFIG_BYTES:
            raise InputError(f"{path}: {size} bytes; a network configuration has at most {MAX_CONFIG_BYTES}")
        return LyraConfig.from_json(path.read_text(errors="replace"), str(path))


def _wrong(what: str, needed: str) -> InputError:
    return InputError(f"network configuration: {what}; {needed} is needed")


def _check_field(name: str, value: object) -> None:
    if name == "layout":
        if value is not None and not isinstance(value, str):
            raise _wrong(f"layout is {value!r}", f"text such as {RELEASED_LAYOUT}, or null,")
    elif name == "eps":
        if not isinstance(value, int | float) or not 0 < value < 1:
            raise _wrong(f"eps is {value!r}", "a number between 0 and 1")
    else:
        least = 0 if name in ("camera_channels", "buffer_channels") else 1
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_SIZE:
            raise _wrong(f"{name} is {value!r}", f"an integer from {least} to {MAX_SIZE}")


RELEASED = LyraConfig()
"""The published 14B model: 17,029,871,424 parameters."""
SMALL = LyraConfig(width=1536, heads=12, ffn_width=8960, blocks=30)
"""The 1.3B variant; no weights of it are public."""
TOY = LyraConfig(
    width=96, heads=3, ffn_width=256, blocks=3, text_width=32, image_width=32, squeeze_width=16
)  # fmt: skip
"""Complete in kind, small enough for the walk on a CPU in tests; its weights come from a seed."""
SIZES: dict[str, LyraConfig] = {"lyra-14b": RELEASED, "lyra-1.3b": SMALL, "toy": TOY}
"""Configurations by name."""
