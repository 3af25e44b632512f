"""Camera paths to files and back, foreign formats, and files that must be refused."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.poses import invert, quaternion_from_matrix, se3_exp
from openlyra.geometry.trajectory_files import npz_bytes
from openlyra.geometry.trajectory_io import read_trajectory, write_trajectory

FILES = {
    "lyra": "cameras.npz",
    "openlyra": "cameras.json",
    "nerfstudio": "camera_path.json",
    "transforms": "transforms.json",
}


def path_of(frames: int = 6, varying: bool = True, seed: int = 0) -> Trajectory:
    rng = np.random.default_rng(seed)
    focal = rng.uniform(300, 500, frames) if varying else np.full(frames, 400.0)
    intrinsics = np.tile(np.array([[0.0, 0, 416], [0, 0, 240], [0, 0, 1]]), (frames, 1, 1))
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    return Trajectory(Camera(se3_exp(rng.normal(size=(frames, 6))), intrinsics, 832, 480), fps=12.0, name="mine")


def same(ours: Trajectory, theirs: Trajectory, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(ours.cameras.world_from_camera, theirs.cameras.world_from_camera, atol=tolerance)
    np.testing.assert_allclose(ours.cameras.intrinsics, theirs.cameras.intrinsics, atol=tolerance * 1e3)
    assert (ours.cameras.width, ours.cameras.height) == (theirs.cameras.width, theirs.cameras.height)


@pytest.mark.parametrize("varying", [True, False])
@pytest.mark.parametrize("format", list(FILES))
def test_round_trip(format: str, varying: bool, tmp_path: Path) -> None:
    path = path_of(varying=varying)
    file = tmp_path / FILES[format]
    write_trajectory(path, file)
    back = read_trajectory(file)
    same(back, path)
    assert back.fps == (16.0 if format == "transforms" else 12.0)
    same(read_trajectory(tmp_path), path)
    write_trajectory(path, tmp_path / "again.bin", format)
    assert (tmp_path / "again.bin").read_bytes() == file.read_bytes(), "equal paths give equal bytes"
    assert {entry.name for entry in tmp_path.iterdir()} == {file.name, "again.bin"}, "no temporary file stays behind"


def test_own_format_is_readable_by_people(tmp_path: Path) -> None:
    write_trajectory(path_of(2, varying=False), tmp_path / "cameras.json")
    content = json.loads((tmp_path / "cameras.json").read_text())
    assert content["format"] == "openlyra-cameras" and content["width"] == 832 and "OpenCV" in content["axes"]
    assert len(content["frames"]) == 2 and len((tmp_path / "cameras.json").read_text().splitlines()) < 50


def test_results_can_be_asked_for_in_another_size(tmp_path: Path) -> None:
    write_trajectory(path_of(), tmp_path / "a.npz")
    half = read_trajectory(tmp_path / "a.npz", height=240, width=416)
    same(half, path_of().resized(240, 416))
    with pytest.raises(InputError, match="both height and width"):
        read_trajectory(tmp_path / "a.npz", height=240)


def test_lyra_files_as_the_reference_loads_them(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    file = tmp_path / "trajectory.npz"
    np.savez(
        file, w2c=golden["load_traj.in_w2c"], intrinsics=golden["load_traj.in_K"], image_height=704, image_width=1280
    )
    path = read_trajectory(file, 480, 832, pose_scale=1.1).head(5)
    np.testing.assert_allclose(path.cameras.camera_from_world, golden["load_traj.w2c"], atol=1e-5)
    np.testing.assert_allclose(path.cameras.intrinsics, golden["load_traj.K"], atol=1e-3)
    with pytest.raises(InputError, match="has 7 frames; 81 were asked for"):
        read_trajectory(file).head(81)


def lyra_arrays(frames: int = 4) -> dict[str, Any]:
    cameras = path_of(frames).cameras
    return {
        "w2c": np.array(cameras.camera_from_world),
        "intrinsics": np.array(cameras.intrinsics),
        "image_height": np.array(480),
        "image_width": np.array(832),
    }


def without(arrays: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in arrays.items() if name not in names}


def edited(name: str, index: Any, value: float) -> dict[str, Any]:
    arrays = lyra_arrays()
    arrays[name][index] = value
    return arrays


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (without(lyra_arrays(), "w2c"), "has no array 'w2c'"),
        (without(lyra_arrays(), "intrinsics"), "has no array 'intrinsics'"),
        (without(lyra_arrays(), "image_height", "image_width"), "give height and width"),
        (without(lyra_arrays(), "image_height"), "has image_width only"),
        ({**lyra_arrays(), "w2c": np.zeros((4, 3, 4))}, r"shape \(4, 3, 4\)"),
        ({**lyra_arrays(), "w2c": np.zeros((0, 4, 4)), "intrinsics": np.zeros((0, 3, 3))}, "holds 0 cameras"),
        ({**lyra_arrays(), "intrinsics": np.zeros((5, 3, 3))}, "4 poses but 5 intrinsics"),
        ({**lyra_arrays(), "image_height": np.array([480, 480])}, "image_height has shape"),
        ({**lyra_arrays(), "image_height": np.array(480.5)}, "image_height is 480.5"),
        ({**lyra_arrays(), "w2c": np.array(["a"])}, "numbers are needed"),
        ({**lyra_arrays(), "image_height": np.array(720), "image_width": np.array(200)}, "far from the middle"),
        (edited("w2c", (2, 0, 3), np.nan), "frame 2: the pose holds NaN"),
        (edited("w2c", (2, slice(None, 3), 0), 0.3), "frame 2: the rotation of the pose is not orthonormal"),
        (edited("intrinsics", (3, 0, 0), np.inf), "frame 3: the intrinsics hold NaN"),
    ],
)
def test_bad_lyra_files(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = tmp_path / "t.npz"
    np.savez(file, **arrays)
    with np.errstate(all="raise"), pytest.raises(InputError, match=words) as caught:
        read_trajectory(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_intrinsics_for_another_size_without_saying_so(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **without(lyra_arrays(), "image_height", "image_width"))
    same(read_trajectory(tmp_path / "t.npz", 480, 832), path_of(4))
    with pytest.raises(InputError, match=r"principal point \(416, 240\) is far from the middle of a 1280x720 image"):
        read_trajectory(tmp_path / "t.npz", 720, 1280)


def test_archives_that_lie_about_their_size_or_carry_objects(tmp_path: Path) -> None:
    file = tmp_path / "t.npz"
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 4, 4), }".ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w2c.npy", header + bytes(64))
    with pytest.raises(InputError, match=r"declares .* bytes but holds 64"):
        read_trajectory(file)
    np.savez(file, w2c=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="numbers are needed"):
        read_trajectory(file)
    for content in (b"", b"PK\x03\x04 broken", npz_bytes(lyra_arrays())[:-50]):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"not a readable \.npz"):
            read_trajectory(file)


def test_nerfstudio_axes_and_field_of_view(tmp_path: Path) -> None:
    """A camera at the origin of an OpenGL world looks along -z; its up is +y."""
    content = {
        "camera_type": "perspective",
        "render_height": 100,
        "render_width": 200,
        "fps": 30,
        "camera_path": [{"camera_to_world": np.eye(4).ravel().tolist(), "fov": 90.0, "aspect": 2.0}],
    }
    (tmp_path / "p.json").write_text(json.dumps(content))
    path = read_trajectory(tmp_path / "p.json")
    np.testing.assert_allclose(path[0].forward, [0, 0, -1])
    np.testing.assert_allclose(path[0].intrinsics, [[50, 0, 100], [0, 50, 50], [0, 0, 1]])
    assert path.fps == 30.0
    content["camera_type"] = "equirectangular"
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="only perspective"):
        read_trajectory(tmp_path / "p.json")


def test_nerfstudio_paths_cannot_hold_every_camera(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frame 0 has non-square pixels"):
        write_trajectory(path_of().resized(480, 1000), tmp_path / "camera_path.json")
    assert not list(tmp_path.iterdir())


def transforms(**changes: Any) -> dict[str, Any]:
    frame = {"file_path": "a.png", "transform_matrix": np.eye(4).tolist()}
    return {
        "fl_x": 400.0,
        "fl_y": 410.0,
        "cx": 410.0,
        "cy": 240.0,
        "w": 832.0,
        "h": 480,
        "k1": 0.0,
        "frames": [frame],
    } | changes


def test_instant_ngp_field_of_view(tmp_path: Path) -> None:
    content = transforms(camera_angle_x=np.pi / 2)
    for key in ("fl_x", "fl_y", "cx", "cy"):
        del content[key]
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    np.testing.assert_allclose(read_trajectory(tmp_path)[0].intrinsics, [[416, 0, 416], [0, 416, 240], [0, 0, 1]])


def frames_of(**changes: Any) -> list[dict[str, Any]]:
    return [{"transform_matrix": np.eye(4).tolist()}, {"transform_matrix": np.eye(4).tolist(), **changes}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2", "not a JSON file"),
        ("[" * 100_000, "not a JSON file"),
        ([1, 2], "not a camera path"),
        ({"frames": []}, "'frames' must be a list"),
        (transforms(k1=0.1), "frame 0: lens distortion k1 = 0.1"),
        (transforms(camera_model="OPENCV_FISHEYE"), "OPENCV_FISHEYE is not supported"),
        (transforms(fl_x="wide"), "fl_x is 'wide'"),
        (transforms(fl_x=10**400), "fl_x is not a finite number"),
        (transforms(w=0), "w is 0"),
        (
            transforms(frames=frames_of(transform_matrix=[[1, 2], [3]])),
            "frame 1: transform_matrix is not a 16 flat or 4x4",
        ),
        (transforms(frames=frames_of(transform_matrix=(2 * np.eye(4)).tolist())), "frame 1: the last row"),
        (transforms(frames=frames_of(w=100)), "different image sizes"),
        ({"frames": frames_of()}, "no focal length"),
        ({"format": "openlyra-cameras", "version": 2}, "version 2"),
        ({"format": "openlyra-cameras", "version": 1, "frames": [{}]}, "frame 0: world_from_camera"),
        (
            {"camera_path": [{"camera_to_world": [1]}], "render_height": 1, "render_width": 1},
            "frame 0: camera_to_world",
        ),
        ({"camera_path": [{}], "render_height": None, "render_width": 1}, "render_height is 'None'"),
    ],
)
def test_bad_json(content: Any, words: str, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=words) as caught:
        read_trajectory(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def write_colmap(folder: Path, path: Trajectory, camera_line: str = "1 PINHOLE 832 480 400 410 416 240") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.txt").write_text(f"# Camera list\n{camera_line}\n")
    lines = ["# Image list"]
    order = [2, 0, 1, *range(3, len(path))]
    for number, index in enumerate(order):
        pose = invert(path[index].world_from_camera)
        numbers = [*quaternion_from_matrix(pose[:3, :3]), *pose[:3, 3]]
        lines += [
            f"{number + 1} {' '.join(map(repr, map(float, numbers)))} 1 frame {index + 8}.png",
            "" if index % 2 else "1 2 -1",
        ]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")


def test_colmap_is_written_as_it_is_read(tmp_path: Path) -> None:
    for varying in (False, True):
        original = path_of(12, varying=varying)
        write_trajectory(original, tmp_path / "model")
        same(read_trajectory(tmp_path / "model"), original, 1e-12)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        write_trajectory(path_of(2), tmp_path / "file")


@pytest.mark.parametrize("place", [".", "sparse/0"])
def test_colmap_text_in_the_order_of_names(place: str, tmp_path: Path) -> None:
    write_colmap(tmp_path / place, path_of(5))
    path = read_trajectory(tmp_path)
    np.testing.assert_allclose(path.cameras.world_from_camera, path_of(5).cameras.world_from_camera, atol=1e-9)
    np.testing.assert_allclose(path[0].intrinsics, [[400, 0, 416], [0, 410, 240], [0, 0, 1]])
    same(read_trajectory(tmp_path / place / "images.txt"), path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 OPENCV 832 480 400 410 416 240 0.1 0 0 0", "lens distortion k1 = 0.1"),
        ("1 OPENCV_FISHEYE 832 480 400 410 416 240 0 0 0 0", "OPENCV_FISHEYE is not supported"),
        ("1 PINHOLE 832 480 400 410 416", "PINHOLE has 4 parameters"),
        ("1 PINHOLE 832 480 400 410 416 x", "'x' is not a number"),
        ("1 PINHOLE 83.2 480 400 410 416 240", "'83.2' is not a whole number"),
        ("2 PINHOLE 832 480 400 410 416 240", "camera 1 is not in cameras.txt"),
        ("", "holds no camera"),
    ],
)
def test_bad_colmap(line: str, words: str, tmp_path: Path) -> None:
    write_colmap(tmp_path, path_of(4), line)
    with pytest.raises(InputError, match=words):
        read_trajectory(tmp_path)


def test_colmap_without_distortion_and_with_one_focal_length(tmp_path: Path) -> None:
    for line in ("1 SIMPLE_PINHOLE 832 480 400 416 240", "1 SIMPLE_RADIAL 832 480 400 416 240 0.0"):
        write_colmap(tmp_path, path_of(4), line)
        np.testing.assert_allclose(read_trajectory(tmp_path)[0].intrinsics, [[400, 0, 416], [0, 400, 240], [0, 0, 1]])


def test_paths_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_trajectory(tmp_path / "missing.npz")
    with pytest.raises(InputError, match="holds no camera path"):
        read_trajectory(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(InputError, match="not a camera path"):
        read_trajectory(tmp_path / "a.mp4")
    (tmp_path / "images.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"cameras\.bin: cannot be read"):
        read_trajectory(tmp_path)
    with pytest.raises(InputError, match="cannot tell"):
        write_trajectory(path_of(), tmp_path / "a.txt")
    with pytest.raises(InputError, match="unknown camera path format 'usd'"):
        write_trajectory(path_of(), tmp_path / "a.npz", "usd")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "cameras.json"
    write_trajectory(path_of(), file)
    before = file.read_bytes()
    poses = np.array(path_of().cameras.world_from_camera)
    poses[1, 0, 0] = np.nan
    broken = Trajectory(Camera(poses, path_of().cameras.intrinsics, 832, 480), name="bent")
    with pytest.raises(InputError, match="trajectory 'bent': frame 1"):
        write_trajectory(broken, file)
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_shipped_examples() -> None:
    folder = Path(__file__).parents[2] / "examples" / "trajectories"
    files = sorted(folder.glob("*.json"))
    assert files
    for file in files:
        path = read_trajectory(file)
        np.testing.assert_allclose(path[0].world_from_camera, np.eye(4), atol=1e-9)
