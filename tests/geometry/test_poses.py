"""Group axioms and conversions of rotations and rigid transforms, over batch shapes and both array kinds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.geometry import poses

BATCHES = st.sampled_from([(), (1,), (4,), (2, 3)])
SEEDS = st.integers(0, 10_000)


def twists(batch: tuple[int, ...], seed: int, angle: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    result = rng.normal(size=(*batch, 6))
    axis = result[..., 3:] / np.linalg.norm(result[..., 3:], axis=-1, keepdims=True)
    result[..., 3:] = axis * rng.uniform(0, angle, (*batch, 1))
    return result


@settings(max_examples=30, deadline=None)
@given(BATCHES, SEEDS)
def test_group_axioms(batch: tuple[int, ...], seed: int) -> None:
    a, b, c = (poses.se3_exp(twists(batch, seed + i)) for i in range(3))
    identity = np.broadcast_to(np.eye(4), a.shape)
    np.testing.assert_allclose(poses.compose(a, poses.invert(a)), identity, atol=1e-12)
    np.testing.assert_allclose(poses.compose(poses.compose(a, b), c), poses.compose(a, poses.compose(b, c)), atol=1e-11)
    inverse_of_product = poses.compose(poses.invert(b), poses.invert(a))
    np.testing.assert_allclose(poses.invert(poses.compose(a, b)), inverse_of_product, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(a), 1.0, atol=1e-12)
    points = np.random.default_rng(seed).normal(size=(*batch, 5, 3))
    back = poses.transform_points(poses.invert(a), poses.transform_points(a, points))
    np.testing.assert_allclose(back, points, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(BATCHES, SEEDS, st.sampled_from([1e-12, 1e-7, 1e-4, 2e-4, 1e-2, 1.0, 3.0, np.pi - 1e-6]))
def test_logarithm_inverts_exponential(batch: tuple[int, ...], seed: int, angle: float) -> None:
    twist = twists(batch, seed, angle)
    np.testing.assert_allclose(poses.so3_log(poses.so3_exp(twist[..., 3:])), twist[..., 3:], atol=1e-8)
    np.testing.assert_allclose(poses.se3_log(poses.se3_exp(twist)), twist, atol=1e-7)


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [-1, 2, 3]])
def test_half_turns(axis: list[float]) -> None:
    vector = np.pi * np.array(axis) / np.linalg.norm(axis)
    rotation = poses.so3_exp(vector)
    np.testing.assert_allclose(poses.so3_exp(poses.so3_log(rotation)), rotation, atol=1e-9)


def test_exponential_against_the_power_series() -> None:
    k = poses.skew(np.array([0.3, -0.4, 0.5]))
    term, total = np.eye(3), np.eye(3)
    for order in range(1, 25):
        term = term @ k / order
        total = total + term
    np.testing.assert_allclose(poses.so3_exp([0.3, -0.4, 0.5]), total, atol=1e-14)


@settings(max_examples=30, deadline=None)
@given(BATCHES, SEEDS)
def test_quaternions_round_trip(batch: tuple[int, ...], seed: int) -> None:
    rotation = poses.so3_exp(twists(batch, seed, np.pi)[..., 3:])
    quaternion = poses.quaternion_from_matrix(rotation)
    assert (quaternion[..., 0] >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(quaternion, axis=-1), 1.0, atol=1e-12)
    np.testing.assert_allclose(poses.matrix_from_quaternion(quaternion), rotation, atol=1e-12)
    np.testing.assert_allclose(poses.matrix_from_quaternion(-3.0 * quaternion), rotation, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0.0, 1.0))
def test_slerp_turns_at_even_speed(seed: int, fraction: float) -> None:
    start, end = poses.so3_exp(twists((2,), seed)[:, 3:])
    a, b = poses.quaternion_from_matrix(start), poses.quaternion_from_matrix(end)
    middle = poses.matrix_from_quaternion(poses.slerp(a, b, fraction))
    total = poses.angle_between(start, end)
    assert poses.angle_between(start, middle) == pytest.approx(fraction * total, abs=1e-7)
    np.testing.assert_allclose(poses.slerp(a, -b, fraction), poses.slerp(a, b, fraction), atol=1e-12)


def test_slerp_of_nearly_equal_quaternions() -> None:
    a = np.array([1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(poses.slerp(a, a, 0.3), a)
    b = poses.quaternion_from_matrix(poses.so3_exp([2e-5, 0.0, 0.0]))
    np.testing.assert_allclose(poses.slerp(a, b, 0.5)[1], 0.5e-5, rtol=1e-6)


def test_reference_quaternions_and_look_at(golden: dict[str, np.ndarray]) -> None:
    q1, q2 = golden["quat.q1_wxyz"], golden["quat.q2_wxyz"]
    ours = poses.matrix_from_quaternion(q1)
    np.testing.assert_allclose(ours, golden["quat.matrix_q1"][:3, :3], atol=1e-5)
    mixed, expected = poses.slerp(q1, q2, 0.3), golden["quat.slerp_0.3"]
    np.testing.assert_allclose(mixed * np.sign(mixed @ expected), expected, atol=1e-5)
    seen = poses.look_at(golden["look_at.pos"], golden["look_at.target"])
    np.testing.assert_allclose(poses.invert(seen), golden["look_at.w2c"], atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(BATCHES, SEEDS)
def test_look_at_sees_its_target_in_the_middle(batch: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    position, target = rng.normal(size=(*batch, 3)), rng.normal(size=(*batch, 3)) + 5.0
    camera_from_world = poses.invert(poses.look_at(position, target))
    seen = poses.transform_points(camera_from_world, target[..., None, :])[..., 0, :]
    np.testing.assert_allclose(seen[..., :2], 0.0, atol=1e-10)
    np.testing.assert_allclose(seen[..., 2], np.linalg.norm(target - position, axis=-1), atol=1e-10)
    assert (camera_from_world[..., 1, 1] > 0).all(), "the image's down axis leans to the world's down"


def test_look_at_refuses_what_it_cannot_do() -> None:
    with pytest.raises(InputError, match="same point"):
        poses.look_at([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="parallel"):
        poses.look_at([0.0, 0.0, 0.0], [0.0, 2.0, 0.0])


@settings(max_examples=15, deadline=None)
@given(BATCHES, SEEDS)
def test_torch_twin(batch: tuple[int, ...], seed: int) -> None:
    twist = twists(batch, seed)
    tensor = torch.from_numpy(twist)
    transform = poses.se3_exp(twist)
    for function, argument in [
        (poses.se3_exp, twist),
        (poses.se3_log, transform),
        (poses.invert, transform),
        (poses.quaternion_from_matrix, transform[..., :3, :3]),
    ]:
        ours, theirs = function(argument), function(torch.from_numpy(np.ascontiguousarray(argument)))
        assert isinstance(theirs, torch.Tensor)
        np.testing.assert_allclose(theirs.numpy(), ours, atol=1e-12)
    target = poses.look_at(tensor[..., :3], tensor[..., :3] + torch.tensor([0.1, 0.2, 1.0], dtype=torch.float64))
    np.testing.assert_allclose(
        target.numpy(), poses.look_at(twist[..., :3], twist[..., :3] + [0.1, 0.2, 1.0]), atol=1e-12
    )


@pytest.mark.parametrize("size", [0.0, 1e-9, 0.9e-4, 1.1e-4, 0.5])
def test_gradients_of_the_exponential(size: float) -> None:
    """Finite and right at 0 and on both sides of where the series takes over."""
    twist = size * torch.tensor([0.3, -0.5, 0.2, 0.6, -0.64, 0.48], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(poses.se3_exp, twist)
    step = 1e-6
    for k in range(6):
        shift = step * torch.eye(6, dtype=torch.float64)[k]
        slope = (poses.se3_exp(twist + shift) - poses.se3_exp(twist - shift)) / (2 * step)
        np.testing.assert_allclose(jacobian[..., k].numpy(), slope.numpy(), atol=1e-8)
