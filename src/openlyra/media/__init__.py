"""Photos and videos in and out: EXIF, resizing rules, limits on input, atomic and reproducible files."""

from __future__ import annotations

from openlyra.media.image import FittedPhoto, Photo, fit_photo, read_image, read_photo, write_image

__all__ = ["FittedPhoto", "Photo", "fit_photo", "read_image", "read_photo", "write_image"]
