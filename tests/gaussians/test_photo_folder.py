"""Photos with transforms.json: sizes, orientation, order, and what is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from colmap_files import write_binary, write_text
from openlyra.errors import InputError
from openlyra.gaussians.photo_folder import is_photo_folder, list_photos, read_photos, working_size
from openlyra.geometry.lens import Lens
from openlyra.media.image import write_image
from photo_room import draw_bent_room, draw_room, write_room


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    write_room(tmp_path / "photos", 3, 48, 64)
    return tmp_path / "photos"


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "transforms.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_photos_come_with_their_cameras(folder: Path) -> None:
    edit(folder, lambda content: content["frames"].reverse())
    photos = list_photos(folder)
    assert is_photo_folder(folder) and is_photo_folder(folder / "transforms.json") and not is_photo_folder(Path("run"))
    assert [file.name for file in photos.files] == ["00000.png", "00001.png", "00002.png"]
    assert working_size(photos, None) == (48, 64) and working_size(photos, (32, 24)) == (24, 32)
    assert working_size(photos, None, longest=32) == (24, 32)
    frames = read_photos(photos, 48, 64)
    again = read_photos(list_photos(folder / "transforms.json"), 48, 64)
    np.testing.assert_array_equal(frames.images[1], np.asarray(Image.open(folder / "images" / "00001.png")))
    np.testing.assert_array_equal(frames.cameras.world_from_camera, again.cameras.world_from_camera)
    # OpenGL axes in the file: the camera's y and z are turned.
    stated = np.array(json.loads((folder / "transforms.json").read_text())["frames"][1]["transform_matrix"])
    np.testing.assert_allclose(frames.cameras.world_from_camera[1, :3, 2], -stated[:3, 2], atol=1e-9)


def test_cameras_for_another_scale_and_a_cut(folder: Path) -> None:
    def double(content: dict[str, Any]) -> None:
        for key in ("w", "h", "fl_x", "fl_y", "cx", "cy"):
            content[key] *= 2

    edit(folder, double)
    frames = read_photos(list_photos(folder), 24, 32)
    k = frames.cameras.intrinsics[0]
    focal = 48 / 2 / np.tan(0.5)
    np.testing.assert_allclose([k[0, 0], k[1, 1], k[0, 2], k[1, 2]], [focal / 2, focal / 2, 16, 12])
    square = read_photos(list_photos(folder), 24, 24)
    np.testing.assert_allclose(square.cameras.intrinsics[0, :2, 2], [12, 12])
    np.testing.assert_allclose(square.cameras.intrinsics[0, 0, 0], focal / 2)


@pytest.mark.parametrize("tall", [False, True])
def test_a_photo_turned_by_exif_goes_by_its_camera(folder: Path, tall: bool) -> None:
    """A camera for the stored pixels gets those; a camera for the upright photo gets that."""
    for index in range(3):
        file = folder / "images" / f"{index:05d}.png"
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(file).save(file, exif=exif)
    stored = np.asarray(Image.open(folder / "images" / "00001.png"))
    if tall:
        edit(folder, lambda content: content.update(w=48, h=64, cx=24, cy=32))
    photos = list_photos(folder)
    size = working_size(photos, None)
    assert size == ((64, 48) if tall else (48, 64))
    frames = read_photos(photos, *size)
    np.testing.assert_array_equal(frames.images[1], np.rot90(stored, -1) if tall else stored)
    edit(folder, lambda content: content.update(w=64, h=64, cx=32, cy=32))
    with pytest.raises(InputError, match="64x48, but its camera is for 64x64"):
        read_photos(list_photos(folder), 48, 64)


def test_frames_may_have_their_own_lens_and_no_suffix(folder: Path) -> None:
    def own(content: dict[str, Any]) -> None:
        for index, frame in enumerate(content["frames"]):
            frame.update(fl_x=50.0 + index, fl_y=60.0, cx=32.0, cy=24.0, w=64, h=48)
            frame["file_path"] = frame["file_path"].removesuffix(".png")
        for key in ("w", "h", "fl_x", "fl_y", "cx", "cy"):
            del content[key]

    edit(folder, own)
    frames = read_photos(list_photos(folder), 48, 64)
    np.testing.assert_allclose(frames.cameras.intrinsics[:, 0, 0], [50, 51, 52])


def skew(content: dict[str, Any]) -> None:
    content["frames"][1]["transform_matrix"][0][0] += 0.5


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda c: [frame.update(file_path=f"images/gone{i}.png") for i, frame in enumerate(c["frames"][1:])],
            "2 of 3 photos do not exist, first .*gone0.png; at least 2",
        ),
        (lambda c: c["frames"][1].pop("file_path"), "frame 1: file_path is missing"),
        (lambda c: c.update(k5=0.1), "lens distortion k5 = 0.1 is not supported"),
        (lambda c: c.update(k1=-40.0), "lens distortion k1 = -40: the lens folds"),
        (lambda c: c.update(camera_model="EQUIRECTANGULAR"), "EQUIRECTANGULAR is not supported"),
        (skew, "not orthonormal"),
        (lambda c: c.update(frames=c["frames"][:1]), "names 1 photo; at least 2"),
        (lambda c: c.update(frames=3), "'frames' must be a list"),
        (lambda c: c.update(h=64, cy=32), "is 64x48, but its camera is for 64x64"),
        (lambda c: [c.pop(k) for k in ("w", "h", "cx", "cy")] + [c.update(cx=64, cy=48)], "for another size"),
    ],
)
def test_mistakes_are_named(folder: Path, change: Callable[[dict[str, Any]], Any], words: str) -> None:
    edit(folder, change)
    with pytest.raises(InputError, match=words) as caught:
        read_photos(list_photos(folder), 48, 64)
    assert "\n" not in str(caught.value)


def test_too_much_is_refused_before_it_is_read(folder: Path) -> None:
    with pytest.raises(InputError, match="more than 400,000,000 pixels"):
        read_photos(list_photos(folder), 20_000, 20_000)
    with pytest.raises(InputError, match=r"holds no transforms\.json and no COLMAP model"):
        list_photos(folder / "images")
    with pytest.raises(InputError, match="no such file"):
        list_photos(folder / "nothing")


@pytest.mark.parametrize("lens", [Lens(), Lens((-0.1, 0.02, 0, 0), (0.002, -0.001))], ids=["pinhole", "bent"])
def test_three_ways_to_say_the_same(tmp_path: Path, lens: Lens) -> None:
    """transforms.json, COLMAP text and COLMAP binary of one capture give the same frames, and the truth."""
    cameras = write_room(tmp_path / "json", 3, 96, 128)
    if lens.bent:
        for index, camera in enumerate(cameras):
            write_image(tmp_path / "json" / "images" / f"{index:05d}.png", draw_bent_room(camera, lens))
        edit(tmp_path / "json", lambda c: c.update(camera_model="OPENCV", k1=-0.1, k2=0.02, p1=0.002, p2=-0.001))
    found = [read_photos(list_photos(tmp_path / "json"), 48, 64)]
    k = cameras.intrinsics[0]
    values = (k[0, 0], k[1, 1], k[0, 2], k[1, 2], *lens.radial[:2], *lens.tangential) if lens.bent else None
    for name, write in (("text", write_text), ("binary", write_binary)):
        write(tmp_path / name / "sparse" / "0", cameras, "OPENCV" if lens.bent else "PINHOLE", values, {5: (0, 0, 1)})
        shutil.copytree(tmp_path / "json" / "images", tmp_path / name / ("images_2" if name == "text" else "images"))
        assert is_photo_folder(tmp_path / name)
        photos = list_photos(tmp_path / name)
        assert photos.points is not None and len(photos.points[2]) == 1
        assert len(list_photos(tmp_path / name / "sparse" / "0")) == 3
        found.append(read_photos(photos, 48, 64))
    for frames in found[1:]:
        np.testing.assert_array_equal(frames.images, found[0].images)
        np.testing.assert_allclose(frames.cameras.world_from_camera, cameras.world_from_camera, atol=1e-9)
        np.testing.assert_allclose(frames.cameras.intrinsics, found[0].cameras.intrinsics, atol=1e-9)
    # The world has no symmetry, so axes that are turned or mirrored would show another picture.
    big = found[0].cameras.resized(192, 256)
    for image, camera in zip(found[0].images, big):
        truth = draw_room(camera)[0].reshape(48, 4, 64, 4, 3).mean((1, 3))
        assert np.abs(truth - image).mean() < 2.5


def test_smaller_copies_and_opening_angles(folder: Path) -> None:
    """Photos that only exist in images_2, and an opening angle without a stated size (instant-ngp)."""
    cameras = read_photos(list_photos(folder), 48, 64).cameras
    angle = float(2 * np.arctan(32 / cameras.intrinsics[0, 0, 0]))
    edit(folder, lambda c: [c.pop(key) for key in ("w", "h", "fl_x", "fl_y", "cx", "cy")])
    edit(folder, lambda c: c.update(camera_angle_x=angle))
    np.testing.assert_allclose(read_photos(list_photos(folder), 48, 64).cameras.intrinsics, cameras.intrinsics)
    (folder / "images").rename(folder / "images_2")
    assert list_photos(folder).files[0].parent.name == "images_2"
    edit(folder, lambda c: c.update(w=128, h=96))
    np.testing.assert_allclose(read_photos(list_photos(folder), 48, 64).cameras.intrinsics, cameras.intrinsics)


def test_mixed_shapes_follow_the_commoner(folder: Path) -> None:
    stored = np.asarray(Image.open(folder / "images" / "00002.png"))
    write_image(folder / "images" / "00002.png", np.ascontiguousarray(np.rot90(stored)))
    edit(folder, lambda c: c["frames"][2].update(w=48, h=64, cx=24, cy=32))
    photos = list_photos(folder)
    assert working_size(photos, None) == (48, 64)
    frames = read_photos(photos, 48, 64)
    wide, tall = frames.cameras.intrinsics[0], frames.cameras.intrinsics[2]
    np.testing.assert_allclose(tall[0, 0], wide[0, 0] * 64 / 48)
    np.testing.assert_allclose(tall[:2, 2], [32, 24])


def test_missing_photos_are_left_out(folder: Path) -> None:
    (folder / "images" / "00001.png").unlink()
    with pytest.warns(UserWarning, match=r"1 of 3 photos do not exist, first .*00001\.png; left out"):
        photos = list_photos(folder)
    assert [file.name for file in photos.files] == ["00000.png", "00002.png"]
    cameras = read_photos(photos, 48, 64).cameras
    stated = [
        np.array(frame["transform_matrix"]) for frame in json.loads((folder / "transforms.json").read_text())["frames"]
    ]
    np.testing.assert_allclose(cameras.center, [stated[0][:3, 3], stated[2][:3, 3]], atol=1e-9)


def test_a_point_cloud_is_named(folder: Path) -> None:
    edit(folder, lambda content: content.update(ply_file_path="sparse_pc.ply"))
    with pytest.warns(UserWarning, match="sparse_pc.ply does not exist"):
        assert list_photos(folder).cloud is None
    (folder / "sparse_pc.ply").write_text("ply\n")
    photos = list_photos(folder)
    assert photos.cloud == folder / "sparse_pc.ply" == photos.select(np.array([2])).cloud
