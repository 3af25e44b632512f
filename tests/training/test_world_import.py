"""Sources of all kinds become data sets that training reads, through the command line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from world_case import FRAMES, HEIGHT, WIDTH, cameras, images, make_walls

from colmap_files import write_binary
from openlyra.cli.main import main
from openlyra.errors import InputError
from openlyra.geometry.camera import Trajectory
from openlyra.geometry.trajectory_io import write_trajectory
from openlyra.media.video import VideoWriter
from openlyra.training.world_data import LIST, PosedVideo, check_dataset, open_dataset
from openlyra.training.world_released import read_exr_depth, read_released
from photo_room import draw_room, write_room


def truth_error(video: PosedVideo) -> tuple[float, float]:
    """Median relative error of the stored depth of the room, and the part of the pixels that have one."""
    path = video.cameras()
    kept = list(range(0, len(path), 4))
    found = video.depth(kept)
    true = np.stack([draw_room(path[index])[1] for index in kept])
    known = found > 0
    return float(np.median(np.abs(found / true - 1)[known])), float(known.mean())


def test_photos_and_videos_with_cameras_become_videos_with_depth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write_room(tmp_path / "room.1", count=12), tmp_path / "set"
    write_binary(tmp_path / "colmap" / "sparse" / "0", path)
    (tmp_path / "room.1" / "images").rename(tmp_path / "colmap" / "images")
    (tmp_path / "room.1" / "images").symlink_to(tmp_path / "colmap" / "images")
    sources = [str(tmp_path / "room.1" / "transforms.json"), str(tmp_path / "colmap")]
    assert main(["train", "import", *sources, "-o", str(out), "--max-frames", "9"]) == 0
    with VideoWriter(tmp_path / "walk.mp4", 16, (72, 96)) as film:
        for camera in path:
            film.write(draw_room(camera)[0])
    write_trajectory(Trajectory(path), tmp_path / "walk.json")
    walk = ["train", "import", str(tmp_path / "walk.mp4"), "-o", str(out)]
    assert main(walk) == 2 and "--cameras FILE" in capsys.readouterr().err
    walk += ["--cameras", str(tmp_path / "walk.json"), "--size", "48x64"]
    assert main([*walk, "--every", "0"]) == 2 and main([*walk, "--name", "x", "--size", "49x64"]) == 2
    assert main(walk) == 0 and main(walk) == 2 and "give another --name" in capsys.readouterr().err
    videos = open_dataset(out)
    assert [video.name for video in videos] == ["room-1", "colmap", "walk"]
    assert check_dataset(out) == []
    for video, count in zip(videos, (9, 9, 12)):
        own = video.cameras()
        np.testing.assert_allclose(own.world_from_camera, path.world_from_camera[:count], atol=1e-6)
        error, share = truth_error(video)
        assert error < 0.04 and share > 0.5, video.name
    assert (videos[2].cameras().height, videos[2].cameras().width) == (48, 64)
    with pytest.raises(InputError, match="has no frame 2"):
        videos[0].depth([2])


def test_what_is_no_source_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "import", str(tmp_path), "-o", str(tmp_path / "set")]) == 2
    assert "is no run, no video" in capsys.readouterr().err
    two = ["train", "import", str(tmp_path), str(tmp_path), "-o", str(tmp_path / "set"), "--name", "x"]
    assert main(two) == 2 and "for one source" in capsys.readouterr().err


def test_the_check_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walls = make_walls(tmp_path / "walls")
    assert main(["train", "check", str(walls)]) == 0
    assert capsys.readouterr().out == "2 videos, 0 that cannot be trained on\n"
    (walls / "depth" / "wall-1.npz").unlink()
    assert main(["train", "check", str(walls)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("wall-1: ") and last == "2 videos, 1 that cannot be trained on"


def released_set(folder: Path) -> Path:
    """Two walls as the release lays them out: `rgb` in a folder below for one, depth at half the size in a zip."""
    openexr = pytest.importorskip("OpenEXR")
    make_walls(folder)
    (folder / "part").mkdir()
    for kind in ("rgb", "pose", "intrinsics", "depth"):
        (folder / "part" / kind).mkdir()
        for path in (folder / kind).glob("wall-1.*"):
            path.rename(folder / "part" / kind / path.name)
    (folder / LIST).write_text("wall-0.anything\nwall-1\n")
    for place, name in ((folder, "wall-0"), (folder / "part", "wall-1")):
        (place / "depth" / f"{name}.npz").unlink()
        with zipfile.ZipFile(place / "depth" / f"{name}.zip", "w") as archive:
            for index in range(0, FRAMES, 2):
                depth = np.full((HEIGHT // 2, WIDTH // 2), 3, np.float16)
                depth[0, :] = np.inf
                depth[:, 0] = 2
                made = openexr.File({"type": openexr.scanlineimage}, {"Z": depth})
                made.write(str(folder / "one.exr"))
                archive.write(folder / "one.exr", f"{index:05d}.exr")
    return folder


def test_a_released_set_is_read(tmp_path: Path) -> None:
    source, out = released_set(tmp_path / "released"), tmp_path / "set"
    assert main(["train", "import", str(source), "-o", str(out), "--every", "2"]) == 0
    assert main(["train", "import", str(source), "-o", str(out), "--every", "2"]) == 0  # nothing new
    assert check_dataset(out) == [] and [video.name for video in open_dataset(out)] == ["wall-0", "wall-1"]
    for seed, video in enumerate(open_dataset(out)):
        np.testing.assert_allclose(video.cameras().world_from_camera, cameras().world_from_camera[::2])
        seen = np.stack(list(video.images(9))).astype(float)
        # H.264 twice, of colours that change from pixel to pixel.
        assert np.corrcoef(seen.ravel(), np.stack(images(cameras(), seed)[::2]).ravel())[0, 1] > 0.9
        depth = video.depth([0, 4, 8])
        assert (depth[:, :2, 2:] == 0).all() and (depth[:, :, :2][:, 2:] == 2).all() and (depth[:, 2:, 2:] == 3).all()


def test_a_released_picture_is_cut_with_its_camera(tmp_path: Path) -> None:
    """Cut to a square: what is left of picture, depth and camera still belong together."""
    frames = read_released(released_set(tmp_path), "wall-0", (32, 32), 2, 3, 1, lambda *_: None)
    assert frames.depth is not None and frames.valid is not None and frames.size == (32, 32)
    assert frames.valid[:, 2:].all() and not frames.valid[:, :2].any() and (frames.depth[:, 2:] == 3).all()
    np.testing.assert_allclose(frames.cameras.intrinsics[0, 0, 2], 16)


def test_damaged_openexr_is_refused() -> None:
    openexr = pytest.importorskip("OpenEXR")
    with pytest.raises(InputError, match="not a readable OpenEXR picture"):
        read_exr_depth(b"v/1\x01" + bytes(200), "x")
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "y.exr"
        openexr.File({"type": openexr.scanlineimage}, {"Y": np.zeros((4, 4), np.float32)}).write(str(path))
        content = path.read_bytes()
    with pytest.raises(InputError, match="has no channel Z but Y"):
        read_exr_depth(content, "x")
    huge = content.replace(bytes([3, 0, 0, 0, 3, 0, 0, 0]), bytes([255, 255, 255, 63] * 2))
    with pytest.raises(InputError):
        read_exr_depth(huge, "x")
