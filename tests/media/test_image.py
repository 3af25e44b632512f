from __future__ import annotations

import errno
import io
import math
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from openlyra.errors import InputError
from openlyra.media.image import Photo, fit_photo, read_image, read_photo, write_image


def gradient(height: int, width: int) -> np.ndarray:
    """Smooth picture whose corners differ, so that flips and rotations show."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), 90 + 0 * x], -1).astype(np.uint8)


def save(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_agrees_with_pillow(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", Image.fromarray(gradient(20, 30)), exif=exif)
    with Image.open(path) as source:
        expected = np.asarray(ImageOps.exif_transpose(source))
    assert np.array_equal(read_photo(path).image, expected)


@pytest.mark.parametrize(("tag", "expected"), [(27, 27.0), (0, None), (None, None), (60000, None)])
def test_focal_length_from_exif(tmp_path: Path, tag: int | None, expected: float | None) -> None:
    exif = Image.Exif()
    if tag is not None:
        exif.get_ifd(0x8769)[0xA405] = tag
    photo = read_photo(save(tmp_path / "a.jpg", Image.fromarray(gradient(40, 60)), exif=exif))
    assert photo.focal_35mm == expected
    assert photo.path == str(tmp_path / "a.jpg")


def test_damaged_exif_counts_as_none(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.fromarray(gradient(40, 60)), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    photo = read_photo(path)
    assert photo.focal_35mm is None
    assert photo.image.shape == (40, 60, 3)


def test_grey_palette_cmyk_and_16_bit(tmp_path: Path) -> None:
    picture = Image.fromarray(gradient(32, 48))
    grey = np.asarray(picture.convert("L"))
    assert np.array_equal(read_image(save(tmp_path / "l.png", picture.convert("L"))), np.repeat(grey[..., None], 3, 2))
    palette = picture.quantize(16)
    assert np.array_equal(read_image(save(tmp_path / "p.png", palette)), np.asarray(palette.convert("RGB")))
    flat = Image.new("RGB", (32, 32), (200, 60, 30))
    cmyk = read_image(save(tmp_path / "c.jpg", flat.convert("CMYK"), quality=95))
    assert np.abs(cmyk.astype(int) - (200, 60, 30)).max() <= 3
    deep = np.linspace(0, 65535, 32 * 48).reshape(32, 48).astype(np.uint16)
    read = read_image(save(tmp_path / "d.png", Image.fromarray(deep)))
    assert np.array_equal(read[..., 1], np.rint(deep / 257.0).astype(np.uint8))


def test_alpha_lies_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., 0], rgba[:4, :, 3], rgba[4:, :, 3] = 255, 0, 128
    for name in ("a.png", "a.webp"):
        read = read_image(save(tmp_path / name, Image.fromarray(rgba), lossless=True))
        assert (read[:4] == 255).all()
        assert np.abs(read[4:].astype(int) - (255, 127, 127)).max() <= 1
    transparent = Image.fromarray(np.zeros((8, 8), np.uint8)).convert("P")
    assert (read_image(save(tmp_path / "p.png", transparent, transparency=0)) == 255).all()


def test_colour_profile_is_converted(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = gradient(32, 32)
    same = read_image(save(tmp_path / "s.png", Image.fromarray(image), icc_profile=srgb))
    assert np.abs(same.astype(int) - image).max() <= 1
    broken = read_image(save(tmp_path / "b.png", Image.fromarray(image), icc_profile=b"no profile"))
    assert np.array_equal(broken, image)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_truncated_files(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(noise))
    whole = path.read_bytes()
    for share in (0.02, 0.3, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=f"a.{suffix}"):
            read_photo(path)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_flipped_bytes_never_escape_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    Image.fromarray(gradient(24, 24)).save(buffer, kind)
    data = bytearray(buffer.getvalue())
    for position in rng.integers(0, len(data), 6):
        data[position] = rng.integers(256)
    path = tmp_path_factory.getbasetemp() / "fuzz.bin"
    path.write_bytes(bytes(data))
    try:
        image = read_image(path)
    except InputError:
        return
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def test_refusals_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("hello, this is no picture")
    Image.fromarray(gradient(8, 8)).save(tmp_path / "a.gif")
    cases = {
        "missing.jpg": "no such file",
        ".": "folder",
        "empty.jpg": "empty",
        "text.png": "not a PNG",
        "a.gif": "not a PNG",
    }
    for name, reason in cases.items():
        with pytest.raises(InputError, match=reason) as caught:
            read_photo(tmp_path / name)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("width", "height"), [(8001, 8000), (12000, 12000), (60000, 60000)])
def test_too_many_pixels_are_refused_from_the_header(tmp_path: Path, width: int, height: int) -> None:
    # The file holds no pixels: had anything been decoded, the error would be another one.
    (tmp_path / "big.png").write_bytes(png_header(width, height))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="64 million"):
            read_photo(tmp_path / "big.png")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 70), st.integers(1, 70), st.sampled_from(["crop", "pad"]))
def test_fit_gives_the_size_and_keeps_the_centre(h: int, w: int, height: int, width: int, fit: str) -> None:
    fitted = fit_photo(Photo(np.full((h, w, 3), 77, np.uint8), 30.0, "x"), height, width, fit)
    assert fitted.image.shape == (height, width, 3)
    assert (fitted.image == 77).all()
    assert fitted.valid.any()
    assert math.isclose(w / 2 * fitted.scale + fitted.left, width / 2, abs_tol=1e-9)
    assert math.isclose(h / 2 * fitted.scale + fitted.top, height / 2, abs_tol=1e-9)
    assert fitted.valid.all() == (fit == "crop" or fitted.valid.mean() == 1)
    assert fitted.focal is not None
    assert math.isclose(fitted.focal, 30 / math.hypot(36, 24) * math.hypot(h, w) * fitted.scale)


def test_fit_puts_content_where_scale_and_offset_say() -> None:
    image = np.zeros((120, 200, 3), np.uint8)
    image[30:50, 140:160] = 255
    for fit in ("crop", "pad"):
        fitted = fit_photo(Photo(image, None, "x"), 90, 90, fit)
        rows, columns = np.nonzero(fitted.image[..., 0] > 127)
        assert abs(rows.mean() + 0.5 - (40 * fitted.scale + fitted.top)) < 1
        assert fitted.focal is None
        if fit == "pad":
            assert abs(columns.mean() + 0.5 - (150 * fitted.scale + fitted.left)) < 1


def test_fit_is_antialiased_and_survives_extreme_shapes() -> None:
    checks = (np.indices((400, 400)).sum(0) % 2 * 255).astype(np.uint8)
    fitted = fit_photo(Photo(np.repeat(checks[..., None], 3, 2), None, "x"), 40, 40)
    assert np.abs(fitted.image.astype(int) - 127).max() < 12
    strip = fit_photo(Photo(np.zeros((1, 200_000, 3), np.uint8), None, "x"), 48, 80)
    assert strip.image.shape == (48, 80, 3)
    with pytest.raises(InputError, match="crop"):
        fit_photo(Photo(np.zeros((9, 9, 3), np.uint8), None, "x"), 4, 4, "stretch")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="0x4"):
        fit_photo(Photo(np.zeros((9, 9, 3), np.uint8), None, "x"), 0, 4)


def test_written_png_is_lossless_and_reproducible(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (33, 47, 3), np.uint8)
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, image)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert np.array_equal(read_image(tmp_path / "a.png"), image)
    write_image(tmp_path / "c.JPG", gradient(40, 40))
    assert np.abs(read_image(tmp_path / "c.JPG").astype(int) - gradient(40, 40)).mean() < 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png", "c.JPG"]


def test_full_disk_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, gradient(8, 8))
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with open(self, "wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_image(path, gradient(16, 16))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_targets(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png or \.jpg"):
        write_image(tmp_path / "a.bmp", gradient(4, 4))
    with pytest.raises(InputError, match="does not exist"):
        write_image(tmp_path / "no" / "a.png", gradient(4, 4))
    (tmp_path / "d.png").mkdir()
    with pytest.raises(InputError, match="folder"):
        write_image(tmp_path / "d.png", gradient(4, 4))
    with pytest.raises(ValueError, match="uint8"):
        write_image(tmp_path / "a.png", gradient(4, 4).astype(np.float32))
