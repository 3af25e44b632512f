"""Clouds of points without a word on who sees them: a wall with a card before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openlyra.errors import InputError
from openlyra.formats.ply import read_point_cloud
from openlyra.gaussians.point_cloud import shown_points
from openlyra.geometry.camera import Camera
from openlyra.reconstruction.settings import ReconstructSettings
from openlyra.reconstruction.sources import from_photos
from photo_room import draw_room, write_room


def test_what_stands_behind_others_is_not_shown() -> None:
    x, y = np.meshgrid(np.linspace(-3, 3, 60), np.linspace(-2, 2, 40))
    wall = np.stack([x, y, np.full_like(x, 5.0)], -1).reshape(-1, 3)
    card = wall[(np.abs(wall[:, :2]) < 0.6).all(1)] * [0.8, 0.8, 0.4]
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, 2, 3] = 3.0  # between card and wall
    points = np.concatenate([wall, card, [[np.nan, 0, 1]]])
    before, between = shown_points(points, Camera.from_fov(48, 64, 0.7, poses))
    hidden = (before[:, 2] == 5) & (np.abs(before[:, :2]) < 0.9).all(1)
    assert not hidden.any() and (before[:, 2] == 2).sum() == len(card) and (before[:, 2] == 5).sum() > 300
    assert (between[:, 2] == 5).all() and (np.abs(between[:, :2]) < 0.3).all(1).any()


def test_clouds_are_read_in_text_with_colours(tmp_path: Path) -> None:
    text = "ply\nformat ascii 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float {}\n"
    text += "property uint8 red\nproperty uint8 green\nproperty uint8 blue\nend_header\n1 2 3 9 9 9\n-1 0.5 4 0 0 0\n"
    file = tmp_path / "sparse_pc.ply"
    file.write_text(text.format(2, "z"))
    np.testing.assert_array_equal(read_point_cloud(file), [[1, 2, 3], [-1, 0.5, 4]])
    for count, name, words in ((10**9, "z", "promises 1000000000 rows"), (2, "w", "no point cloud")):
        file.write_text(text.format(count, name))
        with pytest.raises(InputError, match=words):
            read_point_cloud(file)


def test_points_of_a_cloud_are_believed(tmp_path: Path) -> None:
    """Where a point is shown, the first scene has its depth exactly, as with points of a COLMAP model."""
    cameras = write_room(tmp_path, 6, 48, 64)
    rows, columns = np.mgrid[3:48:6, 3:64:6]
    points = []
    for camera in cameras:
        depth = draw_room(camera)[1]
        points.append(camera.unproject(depth)[rows, columns].reshape(-1, 3))
    cloud = np.concatenate(points)
    header = f"ply\nformat ascii 1.0\nelement vertex {len(cloud)}\n"
    header += "".join(f"property double {name}\n" for name in "xyz") + "end_header\n"
    transforms = (tmp_path / "transforms.json").read_text()
    found = []
    for points_there in (False, True):
        if points_there:
            (tmp_path / "pc.ply").write_text(header + "\n".join(" ".join(map(repr, p)) for p in cloud.tolist()) + "\n")
            (tmp_path / "transforms.json").write_text(transforms.replace("{", '{"ply_file_path": "pc.ply",', 1))
        material = from_photos(tmp_path, ReconstructSettings(held_out=0), lambda stage, done, total: None)
        assert material.frames.depth is not None and material.frames.valid is not None
        truth = np.stack([draw_room(camera)[1] for camera in cameras])
        valid = material.frames.valid
        error = np.median(np.abs(material.frames.depth / truth - 1)[valid])
        found.append((float(error), float(valid.mean())))
    assert found[1][1] > found[0][1] and found[1][0] < found[0][0]
