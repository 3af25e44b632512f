"""Photos and images: what may come in, what comes out.

Only PNG, JPEG and WebP up to 64 million pixels are read; the size is taken from the header, before anything is decoded.
"""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from openlyra.errors import InputError
from openlyra.media.atomic import write_bytes_atomic

MAX_PIXELS = 64_000_000
"""Largest photo that is decoded, in pixels."""

FORMATS = ("PNG", "JPEG", "WEBP")
FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
_EXIF_IFD, _ORIENTATION, _FOCAL_35MM = 0x8769, 0x0112, 0xA405
# What Pillow's decoders raise on damaged files, besides OSError: the plug-ins leak their own parsing errors.
_BROKEN_FILE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)

Uint8Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Photo:
    """A photo as the eye should see it: upright, RGB, sRGB."""

    image: Uint8Image
    """uint8 (H, W, 3)."""
    focal_35mm: float | None
    """35 mm-equivalent focal length in millimetres from EXIF, None if unknown."""
    path: str
    """Where it was read from."""


@dataclass(frozen=True)
class FittedPhoto:
    """A photo scaled to a fixed size with its aspect kept; photo (x, y) lies at (x, y) * scale + (left, top)."""

    image: Uint8Image
    """uint8 (height, width, 3)."""
    valid: NDArray[np.bool_]
    """bool (height, width); False in padding."""
    focal: float | None
    """Focal length in pixels of the fitted image, None if the photo does not say."""
    scale: float
    """Pixels of the fitted image per pixel of the photo."""
    top: float
    """Row of the photo's upper edge in the fitted image; negative when rows were cropped away."""
    left: float
    """Column of the photo's left edge in the fitted image; negative when columns were cropped away."""


def read_photo(path: str | os.PathLike[str], upright: bool = True) -> Photo:
    """Read a PNG, JPEG or WebP photo: EXIF orientation applied, alpha over white, colour profile converted to sRGB.

    With `upright` False the pixels come as they are stored, whatever EXIF says. Raises InputError when the file is
    missing, no such image, damaged, or larger than 64 million pixels.
    """
    with _opened(path) as source:
        orientation, focal = _read_exif(source)
        try:
            image = _to_rgb(source)
        except MemoryError:
            raise
        except _BROKEN_FILE as error:
            raise InputError(
                f"{path}: the image is damaged or cut short ({error}); save or download it again"
            ) from None
    return Photo(_orient(image, orientation) if upright else image, focal, str(path))


def read_image(path: str | os.PathLike[str], upright: bool = True) -> Uint8Image:
    """Read an image as uint8 (H, W, 3) under the rules and limits of `read_photo`."""
    return read_photo(path, upright).image


def stored_size(path: str | os.PathLike[str]) -> tuple[tuple[int, int], int]:
    """(height, width) of the pixels as they are stored and their EXIF orientation (1 to 8), from the header alone."""
    with _opened(path) as source:
        return (source.height, source.width), _read_exif(source)[0]


def fit_photo(photo: Photo, height: int, width: int, fit: Literal["crop", "pad"] = "crop") -> FittedPhoto:
    """Scale a photo to (height, width), aspect kept, antialiased: `crop` cuts the excess, `pad` adds invalid borders.

    The optical axis is taken to pass through the photo's centre, which stays the centre of the result.
    """
    if height < 1 or width < 1:
        raise InputError(f"size {height}x{width}: height and width must be at least 1")
    if fit not in ("crop", "pad"):
        raise InputError(f"fit {fit!r}: must be 'crop' or 'pad'")
    rows, columns = photo.image.shape[:2]
    source = Image.fromarray(photo.image)
    valid = np.ones((height, width), bool)
    if fit == "crop":
        scale = max(height / rows, width / columns)
        half_x, half_y = min(width / scale, columns) / 2, min(height / scale, rows) / 2
        box = (columns / 2 - half_x, rows / 2 - half_y, columns / 2 + half_x, rows / 2 + half_y)
        # The box resamples only what is kept: a 1 x 60,000,000 strip must not be enlarged as a whole first.
        image = np.asarray(source.resize((width, height), Image.Resampling.LANCZOS, box=box))
    else:
        scale = min(height / rows, width / columns)
        inner_h = min(max(round(rows * scale), 1), height)
        inner_w = min(max(round(columns * scale), 1), width)
        inner = np.asarray(source.resize((inner_w, inner_h), Image.Resampling.LANCZOS))
        top, left = (height - inner_h) // 2, (width - inner_w) // 2
        margins = ((top, height - inner_h - top), (left, width - inner_w - left), (0, 0))
        image = np.pad(inner, margins, mode="edge")
        valid[:] = False
        valid[top : top + inner_h, left : left + inner_w] = True
    focal = None
    if photo.focal_35mm is not None:
        focal = photo.focal_35mm / FILM_DIAGONAL_MM * math.hypot(rows, columns) * scale
    return FittedPhoto(
        np.ascontiguousarray(image), valid, focal, scale, (height - rows * scale) / 2, (width - columns * scale) / 2
    )


def scaled(image: Uint8Image, height: int, width: int) -> Uint8Image:
    """An image (H, W, 3) at another size."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def write_image(path: str | os.PathLike[str], image: Uint8Image) -> None:
    """Write uint8 (H, W, 3) as .png or .jpg/.jpeg: atomically, and with the same bytes for the same pixels."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"{path}: cannot write images as {suffix or 'a file without suffix'!s}; use .png or .jpg")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"image must be uint8 (H, W, 3), is {image.dtype} {image.shape}")
    encoded = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(image))
    if suffix == ".png":
        # Level 6 takes twice as long for files smaller by a twenty-fifth.
        picture.save(encoded, "PNG", compress_level=3)
    else:
        picture.save(encoded, "JPEG", quality=95, subsampling=0)
    write_bytes_atomic(path, encoded.getvalue())


def _opened(path: str | os.PathLike[str]) -> Image.Image:
    """Open the header of an image, check kind and size; the caller closes it."""
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{path}: is a folder; give a PNG, JPEG or WebP file")
    try:
        if file.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty; give a PNG, JPEG or WebP file")
        with warnings.catch_warnings():
            # Pillow warns above 89 million pixels, where the limit here is lower and an error, and of damaged EXIF.
            warnings.simplefilter("ignore")
            source = Image.open(file, formats=FORMATS)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path}: more than 64 million pixels; scale the photo down first") from None
    except Image.UnidentifiedImageError:
        raise InputError(f"{path}: not a PNG, JPEG or WebP image") from None
    except _BROKEN_FILE as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"{path}: cannot be read as an image ({reason})") from None
    if source.width * source.height > MAX_PIXELS:
        size = f"{source.width}x{source.height}"
        source.close()
        raise InputError(f"{path}: {size} is more than 64 million pixels; scale the photo down first")
    return source


def _read_exif(source: Image.Image) -> tuple[int, float | None]:
    """Orientation (1..8) and 35 mm-equivalent focal length; damaged EXIF counts as none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif = source.getexif()
            orientation = exif.get(_ORIENTATION, 1)
            focal = exif.get_ifd(_EXIF_IFD).get(_FOCAL_35MM)
        focal = None if focal is None else float(focal)
    except (*_BROKEN_FILE, AttributeError, ZeroDivisionError):
        return 1, None
    # 0 stands for "unknown"; beyond the bounds no lens exists and the tag is a mistake.
    usable = focal is not None and math.isfinite(focal) and 4.0 <= focal <= 2000.0
    return (orientation if orientation in range(1, 9) else 1), (focal if usable else None)


def _to_rgb(source: Image.Image) -> Uint8Image:
    """Decode to uint8 (H, W, 3), sRGB, alpha over white."""
    profile = source.info.get("icc_profile")
    source.load()
    if source.mode.startswith(("I", "F")):
        # Grey PNG with 16 bits: Pillow's own conversion would clip instead of scale.
        grey = np.rint(np.clip(np.asarray(source, np.float64) / 257.0, 0.0, 255.0)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    alpha = None
    if source.has_transparency_data:
        rgba = source.convert("RGBA")
        alpha = np.asarray(rgba.getchannel("A"))
        source = rgba.convert("RGB")
    if source.mode == "CMYK":
        rgb = _to_srgb(source, profile).convert("RGB")
    else:
        rgb = _to_srgb(source.convert("RGB"), profile)
    image = np.array(rgb)
    if alpha is not None and alpha.min() < 255:
        weight = alpha[..., None].astype(np.uint32)
        image = ((image * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)
    return image


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert from an embedded colour profile to sRGB; a profile that does not fit the pixels is ignored."""
    if not profile:
        return picture
    try:
        converted = ImageCms.profileToProfile(
            picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    return converted if converted is not None else picture


def _orient(image: Uint8Image, orientation: int) -> Uint8Image:
    """Undo an EXIF orientation (1..8): the stored pixels as they should be looked at."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
