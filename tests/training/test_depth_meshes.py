from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openlyra.errors import InputError
from openlyra.training import depth_meshes
from openlyra.training.depth_meshes import Meshes, read_textured_mesh
from openlyra.training.depth_settings import TrainDepthSettings

pytest.importorskip("embreex")

CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
FOCAL, CAMERA_HEIGHT = 120.0, 1.5


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    """A folder with one cube of side 1, its corner at the origin; its picture is red above and green below."""
    lines = [f"v {x} {y} {z}" for x, y, z in CORNERS]
    lines += [f"vt 0.5 {y}" for _, y, _ in CORNERS]
    lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in side) for side in SIDES]
    (tmp_path / "cube.obj").write_text("\n".join(lines) + "\n")
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :, 0] = picture[32:, :, 1] = 200
    Image.fromarray(picture).save(tmp_path / "cube.png")
    return tmp_path


def floor(height: int = 96, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Grey picture and depth of a level floor under a sky."""
    rgb, depth = np.full((height, width, 3), 100, np.uint8), np.zeros((height, width), np.float32)
    rows = np.arange(height) + 0.5 - height / 2
    below = rows > 8
    depth[below] = (CAMERA_HEIGHT * FOCAL / rows[below])[:, None]
    return rgb, depth


def points(depth: np.ndarray) -> np.ndarray:
    rows, columns = depth.shape
    y, x = np.mgrid[:rows, :columns] + 0.5
    return np.stack([(x - columns / 2) / FOCAL * depth, (y - rows / 2) / FOCAL * depth, depth], -1)


def test_a_cube_stands_on_the_floor_and_only_comes_nearer(cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen points of a cube of 0.6 m lie between the floor and 0.6 m above it, at most its diagonal apart."""
    monkeypatch.setattr(depth_meshes, "MOST_MESHES", 1)
    monkeypatch.setattr(depth_meshes, "METRES", (0.6, 0.6))
    meshes, (rgb, before) = Meshes(cube), floor()
    drawn = 0
    for seed in range(12):
        picture, depth = meshes.stood_into(rgb, before, FOCAL, np.random.default_rng(seed))
        mine = depth != before
        drawn += int(mine.any())
        assert (depth[mine] > 0).all() and ((depth < before) | (before == 0))[mine].all()
        where = points(depth)[mine]
        assert (where[:, 1] < CAMERA_HEIGHT + 1e-3).all() and (where[:, 1] > CAMERA_HEIGHT - 0.61).all()
        assert np.linalg.norm(where - where[:1], axis=1).max(initial=0) < 0.6 * 3**0.5 + 0.01
        untouched = ~mine & (before == 0)
        assert (picture[untouched] == 100).all()
    assert drawn >= 10


def test_pictures_stand_upright_and_shadows_fall_on_the_floor_alone(
    cube: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth_meshes, "MOST_MESHES", 1)
    monkeypatch.setattr(depth_meshes, "LOOKS", (0.4, 0.5))
    meshes, (rgb, before) = Meshes(cube), floor()
    shadows = 0
    for seed in range(8):
        picture, depth = meshes.stood_into(rgb, before, FOCAL, np.random.default_rng(seed))
        mine = depth != before
        row = np.nonzero(mine)[0]
        red, green = (mine & (picture[..., a] > picture[..., b]) for a, b in ((0, 1), (1, 0)))
        if red.any() and green.any() and row.max() < 95:
            assert np.nonzero(red)[0].mean() < np.nonzero(green)[0].mean()
        shadows += int(((picture[..., 0] < 100) & ~mine).sum())
        assert (picture[~mine] <= 100).all()
    assert shadows > 100


def test_a_mesh_is_made_to_stand_on_the_origin_at_size_one(cube: Path) -> None:
    corners = read_textured_mesh(cube / "cube.obj").corners.reshape(-1, 3)
    assert np.allclose(corners.min(0), (-0.5, -1, -0.5)) and np.allclose(corners.max(0), (0.5, 0, 0.5))


def test_without_a_floor_nothing_happens(cube: Path) -> None:
    rgb, depth = np.full((64, 64, 3), 9, np.uint8), np.full((64, 64), 2.0, np.float32)
    picture, same = Meshes(cube).stood_into(rgb, depth, FOCAL, np.random.default_rng(0))
    assert (picture == rgb).all() and (same == depth).all()


def test_bad_folders_and_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="holds no meshes"):
        Meshes(tmp_path)
    with pytest.raises(InputError, match=r"--meshes .*: no such folder"):
        TrainDepthSettings(meshes=tmp_path / "none").check()
    (tmp_path / "bad.glb").write_bytes(b"glTF" + bytes(40))
    with pytest.raises(InputError, match=r"bad\.glb: not a readable mesh"):
        Meshes(tmp_path)
    (tmp_path / "bad.glb").unlink()
    (tmp_path / "none.obj").write_text("v 0 0 0\n")
    with pytest.raises(InputError, match=r"none\.obj"):
        Meshes(tmp_path)
    monkeypatch.setattr(depth_meshes, "MOST_BYTES", 3)
    with pytest.raises(InputError, match="bytes"):
        Meshes(tmp_path)
