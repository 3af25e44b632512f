"""Memory frames, their files, and the memory that holds them."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.memory import MemoryFrame, RetrievalConfig, SpatialMemory
from openlyra.memory.spatial_memory import load_frame, save_frame

HEIGHT, WIDTH = 24, 32


def pose(yaw: float) -> np.ndarray:
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, 0, sin, 0], [0, 1, 0, 0], [-sin, 0, cos, 0], [0, 0, 0, 1.0]])


def frame(index: int, yaw: float = 0.0, **changes) -> MemoryFrame:
    generator = np.random.default_rng(abs(index))
    depth = generator.uniform(2.0, 2.05, (HEIGHT, WIDTH)).astype(np.float32)
    valid = generator.random((HEIGHT, WIDTH)) > 0.1
    depth[~valid] = np.nan
    fields = {
        "index": index,
        "image": generator.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8),
        "depth": depth,
        "valid": valid,
        "sky": generator.random((HEIGHT, WIDTH)) > 0.8,
        "camera": Camera.from_fov(HEIGHT, WIDTH, 0.8, pose(yaw)),
    }
    return MemoryFrame(**{**fields, **changes})


def assert_same(first: MemoryFrame, second: MemoryFrame) -> None:
    assert first.index == second.index
    for name in ("image", "depth", "valid", "sky"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert getattr(first, name).dtype == getattr(second, name).dtype
    np.testing.assert_array_equal(first.camera.world_from_camera, second.camera.world_from_camera)
    np.testing.assert_array_equal(first.camera.intrinsics, second.camera.intrinsics)
    assert (first.width, first.height) == (second.camera.width, second.camera.height)


def test_round_trip_keeps_everything_and_the_order(tmp_path):
    memory = SpatialMemory()
    for index in (48, 0, -1, 8):
        memory.add(frame(index, 0.1 * index))
        path = memory.save_frame(tmp_path)
    assert path.name == "frame_00008.safetensors"
    loaded = SpatialMemory.load(tmp_path)
    assert loaded.indices == [48, 0, -1, 8]
    for first, second in zip(memory, loaded):
        assert_same(first, second)
    assert not [p for p in tmp_path.iterdir() if not p.name.endswith(".safetensors")]


def test_names_with_a_running_number_give_the_order(tmp_path):
    for number, index in enumerate((7, 3, 5)):
        save_frame(frame(index), tmp_path / f"{number:04d}_frame_{index:05d}.safetensors")
    assert SpatialMemory.load(tmp_path).indices == [7, 3, 5]


def test_equal_frames_give_equal_bytes(tmp_path):
    save_frame(frame(3), tmp_path / "a.safetensors")
    save_frame(frame(3), tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert_same(load_frame(tmp_path / "a.safetensors"), frame(3))


def test_retrieve_finds_the_frame_that_looks_the_same_way():
    memory = SpatialMemory(RetrievalConfig(exclude_latest=False))
    for place, yaw in enumerate((0.0, 0.9, 1.8)):
        memory.add(frame(8 * place, yaw))
    assert memory.retrieve(Camera.from_fov(HEIGHT, WIDTH, 0.8, pose(0.95)))[-1] == 8
    assert len(memory.retrieve(Camera.from_fov(HEIGHT, WIDTH, 0.8, pose(0.45)), slots=1)) == 1


def test_the_latest_frame_counts_as_given():
    memory = SpatialMemory()
    for place in range(3):
        memory.add(frame(8 * place, 0.2 * place))
    result = memory.search(Camera.from_fov(HEIGHT, WIDTH, 0.8, pose(0.2)))
    assert result.covered_by == 16 and 16 not in result.indices and 8 in result.indices


def test_replace_changes_what_is_found():
    memory = SpatialMemory()
    memory.add(frame(0, 0.0))
    target = Camera.from_fov(HEIGHT, WIDTH, 0.8, pose(2.0))
    assert memory.retrieve(target) == []
    memory.replace(frame(0, 2.0))
    assert memory.retrieve(target) == [0]


def test_point_map_lies_on_the_valid_pixels():
    source = frame(5, 0.3)
    points = source.point_map(4)
    assert np.isfinite(points).all() and len(points) == source.valid[2::4, 2::4].sum()
    pixels, depth = source.camera.project(points)
    rows, columns = np.nonzero(source.valid[2::4, 2::4])
    np.testing.assert_allclose(pixels, np.stack([columns, rows], -1) * 4 + 2.5, atol=1e-9)
    np.testing.assert_allclose(depth, source.depth[2::4, 2::4][source.valid[2::4, 2::4]])
    reference = source.point_map(4, reference_compat=True)
    assert reference.shape == (6, 8, 3)
    assert (reference[~source.valid[::4, ::4]] == 0).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", np.zeros((HEIGHT, WIDTH), np.uint8)),
        ("image", np.zeros((HEIGHT, WIDTH, 3), np.float32)),
        ("image", np.zeros((HEIGHT, WIDTH, 4), np.uint8)),
        ("depth", np.ones((HEIGHT, WIDTH))),
        ("depth", np.ones((HEIGHT, 3), np.float32)),
        ("depth", np.zeros((HEIGHT, WIDTH), np.float32)),
        ("depth", np.full((HEIGHT, WIDTH), np.nan, np.float32)),
        ("valid", np.ones((HEIGHT, WIDTH), np.uint8)),
        ("sky", [[False]]),
        ("camera", Camera.from_fov(HEIGHT, WIDTH + 1, 0.8)),
        ("camera", Camera.from_fov(HEIGHT, WIDTH, 0.8, np.full((4, 4), np.nan))),
    ],
)
def test_bad_frames_are_named(field, value):
    words = {"camera": "camera|pose"}.get(field, field)
    with pytest.raises(InputError, match=f"memory frame 3: .*({words})") as caught:
        frame(3, **{field: value})
    assert "\n" not in str(caught.value)


def test_bad_use():
    memory = SpatialMemory()
    with pytest.raises(InputError, match="empty"):
        memory.save_frame(".")
    memory.add(frame(3))
    with pytest.raises(InputError, match="already"):
        memory.add(frame(3))
    with pytest.raises(InputError, match="frame 4 is not in the memory"):
        memory.frame(4)
    with pytest.raises(InputError, match="stride"):
        frame(3).point_map(0)


def test_an_empty_folder_is_named(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=str(folder)):
            SpatialMemory.load(folder)


def damage(tensors):
    """Wrong contents for every tensor of a file."""
    yield "missing", {name: tensor for name, tensor in tensors.items() if name != "sky"}
    yield "missing", {**tensors, "extra": np.zeros(1)}
    yield "image", {**tensors, "image": tensors["image"].astype(np.float32)}
    yield "depth", {**tensors, "depth": tensors["depth"][:-1]}
    yield "depth", {**tensors, "depth": np.full_like(tensors["depth"], -1)}
    yield "valid", {**tensors, "valid": tensors["valid"][None]}
    yield "intrinsics", {**tensors, "intrinsics": np.eye(4)}
    yield "pose", {**tensors, "world_from_camera": np.zeros((4, 4))}


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "frame_00003.safetensors"
    save_frame(frame(3), path)
    good = path.read_bytes()
    for words, tensors in damage(load_file(path)):
        save_file(tensors, path)
        with pytest.raises(InputError, match=f"{path.name}: .*{words}") as caught:
            load_frame(path)
        assert "\n" not in str(caught.value)
    for content in (b"", good[:100], good[:-1], good + b"x", b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(InputError, match=path.name):
            load_frame(path)
    with pytest.raises(InputError, match="nothing"):
        load_frame(tmp_path / "nothing.safetensors")
