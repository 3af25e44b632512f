"""Retrieval: parity with the reference, and that it finds what it should."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from openlyra.errors import InputError
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import reference_point_map
from openlyra.memory.retrieval import (
    RetrievalConfig,
    best_owners,
    owner_scores,
    retrieve,
    sample_owners,
    sampling_weights,
)

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = load_file(FOLDER / "retrieval.safetensors")
INFO = json.loads((FOLDER / "retrieval_info.json").read_text())
CASES = {case["name"]: case for case in INFO["cases"]}
INDICES = INFO["frame_ids"]
# Frames (by place) and targets of the cases whose name does not tell them.
SPECIAL = {
    "coverage.multi_view": (range(7), ["t0", "t1", "t2"]),
    "coverage.only_seed": ([0], ["t1"]),
    "coverage.seed_plus_one": ([0, 6], ["t2"]),
    "coverage.negative_ids": ([0, 1, 3], ["t1"]),
    "coverage.unsorted_cache": ([6, 0, 1, 2], ["t1"]),
}


def camera(camera_from_world: np.ndarray) -> Camera:
    return Camera(np.linalg.inv(camera_from_world.astype(np.float64)), GOLDEN["in.K"], 64, 48)


def point_maps() -> list[np.ndarray]:
    depths, poses = GOLDEN["in.depth"][:, 0, ::4, ::4], GOLDEN["in.w2c"]
    return [reference_point_map(depth, camera(pose), 4) for depth, pose in zip(depths, poses)]


def inputs(name: str):
    places, targets = SPECIAL.get(name, (range(7), [name.split(".")[1]]))
    maps = point_maps()
    indices = [-1, -2, -3] if name == "coverage.negative_ids" else [INDICES[place] for place in places]
    views = [GOLDEN[f"in.target.{target}"] for target in targets]
    keywords = CASES[name]["kwargs"]
    config = RetrievalConfig.reference(
        keywords["num_latents"], keywords.get("depth_threshold", 0.1), keywords.get("skip_last_n", 0)
    )
    return indices, [maps[place] for place in places], camera(np.stack(views)), config


def test_point_maps():
    for index, points in zip(INDICES, point_maps()):
        np.testing.assert_allclose(points, GOLDEN[f"world_points.{index}"], atol=1e-5)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("coverage")])
def test_coverage(name):
    result = retrieve(*inputs(name))
    assert result.indices == CASES[name]["result_frame_ids"]
    assert result.covered_by == CASES[name].get("pre_covered_frame_id")
    assert result.covered_cells == CASES[name].get("pre_covered_pixels", 0)
    assert result.gains == sorted(result.gains)


@pytest.mark.parametrize("name", ["owner.t0", "owner.t1"])
def test_owners(name):
    indices, points, targets, config = inputs(name)
    scores = owner_scores(indices, points, targets, config)
    assert {str(i): float(score) for i, score in zip(indices, scores)} == CASES[name]["owner_pixel_counts"]
    assert best_owners(indices, scores, config.slots) == CASES[name]["result_frame_ids"]


def test_sampling():
    scores = owner_scores(*inputs("owner.t0"))
    expected = list(INFO["random_mode"]["sampling_weights"].values())
    np.testing.assert_allclose(sampling_weights(scores), expected, rtol=1e-6)
    draws = [sample_owners(INDICES, scores, 3, np.random.default_rng(seed)) for seed in range(200)]
    assert all(len(set(draw)) == 3 for draw in draws)
    # The first drawn frame comes last; frame 0 has the largest weight by far.
    first = [draw[-1] for draw in draws]
    assert max(set(first), key=first.count) == 0
    assert draws[7] == sample_owners(INDICES, scores, 3, np.random.default_rng(7))
    assert sample_owners([4, 5], np.zeros(2, np.int64), 3, np.random.default_rng(0)) == []


def looking(yaw: float) -> Camera:
    cos, sin = np.cos(yaw), np.sin(yaw)
    return Camera.from_fov(48, 64, 0.8, np.array([[cos, 0, sin, 0], [0, 1, 0, 0], [-sin, 0, cos, 0], [0, 0, 0, 1.0]]))


def seen_from(view: Camera, depth: float = 3.0) -> np.ndarray:
    return view.unproject(np.full((48, 64), depth))[2::4, 2::4]


def test_the_frame_that_looks_the_same_way_is_best():
    yaws = [0.0, 0.8, 1.6, 2.4, 3.2]
    points = [seen_from(looking(yaw)) for yaw in yaws]
    for place, yaw in enumerate(yaws):
        result = retrieve(range(5), points, looking(yaw + 0.03), RetrievalConfig(exclude_latest=False))
        assert result.indices[-1] == place


def test_what_is_hidden_does_not_count():
    """A wall behind the nearest surface is no use, however many cells it fills; within the tolerance it is."""
    view = looking(0.0)
    far, near = seen_from(view, 3.0), seen_from(view, 2.0)
    assert retrieve([0, -1], [far, near], view).indices == [-1]
    similar = seen_from(view, 2.05)
    assert retrieve([0, -1], [similar, near], view).indices == [0]


def test_the_tolerance_follows_the_scale_of_the_scene():
    """Our tolerance is relative: scaling the world changes nothing."""
    views = [looking(yaw) for yaw in (0.0, 0.3, 0.6)]
    points = [seen_from(view, 2.0 + 0.08 * place) for place, view in enumerate(views)]
    results = [retrieve(range(3), [scale * p for p in points], looking(0.2)) for scale in (0.01, 1.0, 100.0)]
    assert results[0] == results[1] == results[2]


def test_a_frame_covers_all_cells_of_its_own_view():
    view = looking(0.4)
    result = retrieve([0], [seen_from(view)], view)
    assert result.gains == [12 * 16]


def test_nothing_to_retrieve():
    behind = seen_from(looking(np.pi))
    assert retrieve([], [], looking(0.0)).indices == []
    assert retrieve([0], [behind], looking(0.0)).indices == []
    assert retrieve([0], [np.zeros((0, 3))], looking(0.0)).indices == []
    assert owner_scores([], [], looking(0.0)).size == 0


def test_bad_input():
    with pytest.raises(InputError, match="1 frame indices for 2 point maps"):
        retrieve([0], [np.zeros((1, 3))] * 2, looking(0.0))
    with pytest.raises(InputError, match="target"):
        retrieve([0], [np.zeros((1, 3))], Camera(np.eye(4)[None, None], np.eye(3), 8, 8))
    for setting in ({"slots": 0}, {"stride": 0}, {"relative_tolerance": -1}, {"skip_last": -1}):
        with pytest.raises(InputError, match=next(iter(setting))):
            RetrievalConfig(**setting)
