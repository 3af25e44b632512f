from __future__ import annotations

import numpy as np
import pytest
from gaussian_scenes import camera, random_scene
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.gaussians import Gaussians, render
from openlyra.gaussians.spherical_harmonics import (
    basis_matrix,
    degree_of,
    rotate_sh,
    rotation_matrix_of_degree,
    sh_basis,
)
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import so3_exp

rotation_vectors = st.lists(st.floats(-3, 3), min_size=3, max_size=3).map(np.array)


def test_colors_are_those_it_was_made_from() -> None:
    g = random_scene(0)
    colors = np.random.default_rng(1).uniform(0, 1, (g.count, 3)).astype(np.float32)
    made = Gaussians.from_colors(g.means, g.quaternions, g.scales, g.opacities, colors)
    assert made.sh_degree == 0
    np.testing.assert_allclose(made.colors, colors, atol=1e-6)


def test_select_and_concatenate_give_the_parts_back() -> None:
    g, other = random_scene(0, 20, 1), random_scene(1, 7, 2)
    whole = Gaussians.concatenate([g, other])
    assert (whole.count, len(whole), whole.sh_degree) == (27, 27, 2)
    back = whole.select(np.arange(27) >= 20)
    for name in ("means", "quaternions", "scales", "opacities", "sh"):
        np.testing.assert_array_equal(getattr(back, name), getattr(other, name))
    first = whole.select(slice(0, 20))
    np.testing.assert_array_equal(first.sh[:, :4], g.sh)
    assert not first.sh[:, 4:].any()
    assert Gaussians.concatenate([]).count == 0


def test_with_sh_degree_cuts_and_fills() -> None:
    g = random_scene(0, 5, 3)
    assert g.with_sh_degree(1).sh.shape == (5, 4, 3)
    np.testing.assert_array_equal(g.with_sh_degree(1).with_sh_degree(3).sh[:, :4], g.sh[:, :4])


def test_sh_basis_is_orthonormal() -> None:
    # Gauss-Legendre in z and an even circle in angle integrate products of degree 6 exactly.
    z, weight = np.polynomial.legendre.leggauss(8)
    angle = 2 * np.pi * np.arange(16) / 16
    x = np.sqrt(1 - z[:, None] ** 2) * np.cos(angle)
    y = np.sqrt(1 - z[:, None] ** 2) * np.sin(angle)
    basis = np.stack(sh_basis(x, y, np.broadcast_to(z[:, None], x.shape), 3))
    products = np.einsum("iab,jab,a->ij", basis, basis, weight * 2 * np.pi / 16)
    np.testing.assert_allclose(products, np.eye(16), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(rotation_vectors, st.integers(1, 3))
def test_rotated_sh_is_the_turned_function(vector: np.ndarray, degree: int) -> None:
    rotation = so3_exp(vector)
    rng = np.random.default_rng(3)
    sh = rng.normal(size=(2, (degree + 1) ** 2, 3))
    directions = rng.normal(size=(9, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    before = basis_matrix(directions, degree) @ sh
    after = basis_matrix(directions @ rotation.T, degree) @ rotate_sh(sh, rotation)
    np.testing.assert_allclose(after, before, atol=1e-10)
    matrix = rotation_matrix_of_degree(rotation, degree)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(2 * degree + 1), atol=1e-10)


def test_half_turns_flip_the_documented_signs() -> None:
    # Turning x right, y down, z forward into x right, y up, z back: half a turn about x.
    turned = rotate_sh(np.ones((1, 16, 3)), np.diag([1.0, -1.0, -1.0]))
    signs = "--+" + "-++-+" + "-+--+-+"
    np.testing.assert_allclose(turned[0, 1:, 0], [1.0 if sign == "+" else -1.0 for sign in signs], atol=1e-12)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(rotation_vectors, st.integers(0, 3), st.floats(0.2, 5.0))
def test_moving_scene_and_camera_together_changes_nothing(vector: np.ndarray, degree: int, scale: float) -> None:
    scene, view = random_scene(7, 40, degree), camera(32, 32)
    rotation, translation = so3_exp(vector), np.array([0.7, -1.2, 2.0])
    pose = np.eye(4)
    pose[:3, :3] = rotation @ view.world_from_camera[:3, :3]
    pose[:3, 3] = scale * rotation @ view.world_from_camera[:3, 3] + translation
    before = render(scene, view, backend="torch")
    moved = scene.transformed(rotation, translation, scale)
    after = render(moved, Camera(pose, view.intrinsics, 32, 32), backend="torch")
    # A few pixels sit on a threshold (1/255, the order of two depths), which float32 rounding may tip.
    assert np.mean(np.abs(after.color - before.color).max(-1) > 2e-4) < 0.01
    assert np.mean(np.abs(after.depth / scale - before.depth) > 1e-3) < 0.01


def test_transformed_refuses_what_is_no_similarity() -> None:
    g = random_scene(0, 3)
    for rotation, scale in ((np.diag([1.0, 1.0, -1.0]), 1.0), (2 * np.eye(3), 1.0), (np.eye(3), 0.0), (np.eye(2), 1.0)):
        with pytest.raises(InputError):
            g.transformed(rotation, np.zeros(3), scale)


def test_wrong_shapes_are_named() -> None:
    g = random_scene(0, 4)
    with pytest.raises(InputError, match="scales has shape"):
        Gaussians(g.means, g.quaternions, g.scales[:3], g.opacities, g.sh)
    with pytest.raises(InputError, match=r"sh has shape \(4, 5, 3\)"):
        Gaussians(g.means, g.quaternions, g.scales, g.opacities, np.zeros((4, 5, 3)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("means", np.nan, "means of Gaussian 2"),
        ("scales", -1.0, "scales of Gaussian 2 .*not logarithms"),
        ("opacities", 1.5, "opacities of Gaussian 2 .*not logits"),
        ("quaternions", 0.0, "quaternions of Gaussian 2 .*length 1"),
        ("sh", np.inf, "sh of Gaussian 2"),
    ],
)
def test_validate_names_the_bad_one(field: str, value: float, message: str) -> None:
    g = random_scene(0, 4)
    g.validate()
    Gaussians.empty().validate()
    arrays = {name: getattr(g, name).copy() for name in ("means", "quaternions", "scales", "opacities", "sh")}
    arrays[field][2] = value
    with pytest.raises(InputError, match=message):
        Gaussians(**arrays).validate("room.ply")


def test_only_square_coefficient_counts_have_a_degree() -> None:
    assert [degree_of(count) for count in (1, 4, 9, 16)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="must be 1, 4, 9 or 16"):
        degree_of(25)
