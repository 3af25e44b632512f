"""COLMAP models: text and binary say the same, lenses get their coefficients, files that lie take no memory."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from colmap_files import write_binary, write_text
from openlyra.errors import InputError
from openlyra.geometry.colmap_model import MODELS, ColmapModel, read_model, read_points
from openlyra.geometry.trajectory_io import read_trajectory
from photo_room import room_cameras

CAMERAS = room_cameras(3, 48, 64)


def poses_of(model: ColmapModel) -> np.ndarray:
    return np.stack([image.world_from_camera for image in model.images])


def test_text_and_binary_say_the_same(tmp_path: Path) -> None:
    points = {7: (0.5, -1.0, 2.0), 3: (0.1, 0.2, 0.3)}
    write_text(tmp_path / "text", CAMERAS, points=points)
    write_binary(tmp_path / "binary", CAMERAS, points=points)
    text, binary = read_model(tmp_path / "text"), read_model(tmp_path / "binary")
    np.testing.assert_allclose(poses_of(text), CAMERAS.world_from_camera, atol=1e-12)
    np.testing.assert_allclose(poses_of(binary), CAMERAS.world_from_camera, atol=1e-12)
    for model, folder in ((text, "text"), (binary, "binary")):
        assert [image.name for image in model.images] == ["00000.png", "00001.png", "00002.png"]
        np.testing.assert_allclose(model.cameras[1].intrinsics, CAMERAS.intrinsics[0])
        assert model.cameras[1].size == (48, 64) and not model.cameras[1].lens.bent
        seen = read_points(tmp_path / folder)
        np.testing.assert_allclose(seen.of(model.images[1].points), [[0.5, -1.0, 2.0], [0.1, 0.2, 0.3]])
        np.testing.assert_allclose(seen.of(np.array([4, 7])), [[0.5, -1.0, 2.0]])
        path = read_trajectory(tmp_path / folder)
        np.testing.assert_allclose(path.cameras.world_from_camera, CAMERAS.world_from_camera, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "values", "radial", "tangential", "below", "fisheye"),
    [
        ("SIMPLE_RADIAL", (50, 32, 24, 0.1), (0.1, 0, 0, 0), (0, 0), (), False),
        ("RADIAL", (50, 32, 24, 0.1, 0.2), (0.1, 0.2, 0, 0), (0, 0), (), False),
        ("OPENCV", (50, 51, 32, 24, 0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0, 0), (0.3, 0.4), (), False),
        ("OPENCV_FISHEYE", (50, 51, 32, 24, 0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4), (0, 0), (), True),
        ("SIMPLE_RADIAL_FISHEYE", (50, 32, 24, 0.1), (0.1, 0, 0, 0), (0, 0), (), True),
        ("FULL_OPENCV", (50, 51, 32, 24, 1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 5), (3, 4), (6, 7, 8), False),
    ],
)
def test_lenses(
    model: str, values: tuple, radial: tuple, tangential: tuple, below: tuple, fisheye: bool, tmp_path: Path
) -> None:
    for write in (write_text, write_binary):
        write(tmp_path / write.__name__, CAMERAS, model, values)
        camera = read_model(tmp_path / write.__name__).cameras[1]
        lens = camera.lens
        assert (lens.radial, lens.tangential, lens.below, lens.fisheye) == (radial, tangential, below, fisheye)
        np.testing.assert_allclose(camera.intrinsics[[0, 0, 1], [0, 2, 2]], [50, 32, 24])


@pytest.mark.parametrize("number", [7, 10, 11])
def test_other_models_are_refused_by_name(number: int, tmp_path: Path) -> None:
    write_binary(tmp_path, CAMERAS)
    (tmp_path / "cameras.bin").write_bytes(struct.pack("<QiiQQ16d", 1, 1, number, 64, 48, *[1.0] * 16))
    with pytest.raises(InputError, match=f"camera model {MODELS[number][0]} is not supported"):
        read_model(tmp_path)
    (tmp_path / "cameras.bin").write_bytes(struct.pack("<QiiQQ16d", 1, 1, 99, 64, 48, *[1.0] * 16))
    with pytest.raises(InputError, match="camera model number 99 is not known"):
        read_model(tmp_path)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin"])
def test_every_cut_and_every_lie_is_one_line(name: str, tmp_path: Path) -> None:
    write_binary(tmp_path, CAMERAS, points={1: (0.0, 0.0, 1.0)})
    whole = (tmp_path / name).read_bytes()

    def read() -> None:
        read_model(tmp_path)
        read_points(tmp_path)

    read()
    for length in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(InputError) as caught:
            read()
        assert name in str(caught.value) and "\n" not in str(caught.value)
    for count in (10**9, 2**64 - 1):
        (tmp_path / name).write_bytes(struct.pack("<Q", count) + whole[8:])
        with pytest.raises(InputError, match=f"states {count} records"):
            read()


def test_a_point_count_that_lies(tmp_path: Path) -> None:
    write_binary(tmp_path, CAMERAS)
    whole = (tmp_path / "images.bin").read_bytes()
    at = whole.index(b".png\0") + 5
    (tmp_path / "images.bin").write_bytes(whole[:at] + struct.pack("<Q", 2**60) + whole[at + 8 :])
    with pytest.raises(InputError, match="states 1152921504606846976 records"):
        read_model(tmp_path)
    (tmp_path / "images.bin").write_bytes(struct.pack("<Q", 0))
    with pytest.raises(InputError, match="holds no image"):
        read_model(tmp_path)
