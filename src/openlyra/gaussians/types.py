"""The 3D Gaussian scene as one value: five arrays, checked once, never changed in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from openlyra.errors import InputError
from openlyra.gaussians.spherical_harmonics import C0, degree_of, rotate_sh
from openlyra.geometry.poses import quaternion_from_matrix

ORTHONORMAL_TOLERANCE = 1e-3
"""How far R Rᵀ may be from the identity for R to count as a rotation."""


@dataclass(frozen=True, eq=False)
class Gaussians:
    """N Gaussians in world axes (x right, y down, z forward).

    Arrays are float32, C-contiguous and not to be written to. Construction converts the arrays and checks their
    shapes (InputError); `validate` also checks the values.
    """

    means: np.ndarray
    """(N, 3) centres in scene units."""
    quaternions: np.ndarray
    """(N, 4) unit quaternions w x y z that turn the Gaussian's own axes into world axes."""
    scales: np.ndarray
    """(N, 3) standard deviations along the own axes, in scene units (linear, not logarithms)."""
    opacities: np.ndarray
    """(N,) in (0, 1) (linear, not logits)."""
    sh: np.ndarray
    """(N, K, 3) spherical harmonics coefficients, K = 1, 4, 9 or 16; see `spherical_harmonics`."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = np.ascontiguousarray(getattr(self, field.name), dtype=np.float32)
            object.__setattr__(self, field.name, value)
        count = len(self.means) if self.means.ndim else 0
        expected = {"means": (count, 3), "quaternions": (count, 4), "scales": (count, 3), "opacities": (count,)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"Gaussians: {name} has shape {getattr(self, name).shape}; must be {shape}")
        if self.sh.ndim != 3 or self.sh.shape[::2] != (count, 3) or self.sh.shape[1] not in (1, 4, 9, 16):
            raise InputError(f"Gaussians: sh has shape {self.sh.shape}; must be ({count}, K, 3) with K = 1, 4, 9 or 16")

    @staticmethod
    def from_colors(
        means: np.ndarray, quaternions: np.ndarray, scales: np.ndarray, opacities: np.ndarray, colors: np.ndarray
    ) -> Gaussians:
        """Gaussians of the same colour from every side; colors (N, 3) are RGB in [0, 1]."""
        sh = (np.asarray(colors, dtype=np.float32)[:, None, :] - np.float32(0.5)) / np.float32(C0)
        return Gaussians(means, quaternions, scales, opacities, sh)

    @staticmethod
    def empty(sh_degree: int = 0) -> Gaussians:
        """No Gaussians at all."""
        nothing = np.zeros((0, 3))
        return Gaussians(nothing, np.zeros((0, 4)), nothing, np.zeros(0), np.zeros((0, (sh_degree + 1) ** 2, 3)))

    @staticmethod
    def concatenate(parts: Sequence[Gaussians]) -> Gaussians:
        """All parts in their order; lower SH degrees are filled up with zeros. An empty sequence gives no Gaussians."""
        if not parts:
            return Gaussians.empty()
        degree = max(part.sh_degree for part in parts)
        raised = [part.with_sh_degree(degree) for part in parts]
        names = [field.name for field in fields(Gaussians)]
        return Gaussians(*(np.concatenate([getattr(part, name) for part in raised]) for name in names))

    def __len__(self) -> int:
        return len(self.means)

    @property
    def count(self) -> int:
        """N."""
        return len(self.means)

    @property
    def sh_degree(self) -> int:
        """0 (one colour from every side) to 3."""
        return degree_of(self.sh.shape[1])

    @property
    def colors(self) -> np.ndarray:
        """(N, 3) RGB of the direction-independent part; not clipped."""
        return np.float32(0.5) + np.float32(C0) * self.sh[:, 0]

    def select(self, which: np.ndarray | slice) -> Gaussians:
        """The Gaussians picked by a boolean mask (N,), an index array or a slice, in that order."""
        return Gaussians(*(getattr(self, field.name)[which] for field in fields(self)))

    def with_sh_degree(self, degree: int) -> Gaussians:
        """The same scene with spherical harmonics cut off after, or filled up with zeros to, `degree` (0 to 3)."""
        wanted = (degree + 1) ** 2
        sh = np.zeros((self.count, wanted, 3), np.float32)
        kept = min(wanted, self.sh.shape[1])
        sh[:, :kept] = self.sh[:, :kept]
        return Gaussians(self.means, self.quaternions, self.scales, self.opacities, sh)

    def transformed(self, rotation: np.ndarray, translation: np.ndarray, scale: float = 1.0) -> Gaussians:
        """The scene after p -> scale * rotation @ p + translation, spherical harmonics turned along.

        rotation (3, 3) must be a proper rotation: a mirrored scene has no quaternions. InputError otherwise.
        """
        rotation = np.asarray(rotation, dtype=np.float64)
        _check_similarity(rotation, scale)
        means = scale * (self.means.astype(np.float64) @ rotation.T) + np.asarray(translation, dtype=np.float64)
        quaternions = _quaternion_product(quaternion_from_matrix(rotation), self.quaternions.astype(np.float64))
        return Gaussians(means, quaternions, self.scales * scale, self.opacities, rotate_sh(self.sh, rotation))

    def validate(self, what: str = "Gaussians") -> None:
        """Raise an InputError naming `what`, the field and the first bad Gaussian unless all values make sense."""
        for field in fields(self):
            values = getattr(self, field.name)
            finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
            _require(finite, what, field.name, values, "must be finite")
        positive = np.asarray((self.scales > 0).all(axis=1))
        _require(positive, what, "scales", self.scales, "must be positive standard deviations (not logarithms)")
        inside = (self.opacities >= 0) & (self.opacities <= 1)
        _require(np.asarray(inside), what, "opacities", self.opacities, "must be in [0, 1] (not logits)")
        norm = np.linalg.norm(self.quaternions, axis=1)
        _require(np.abs(norm - 1) < 1e-3, what, "quaternions", self.quaternions, "must have length 1")


def _require(good: np.ndarray, what: str, name: str, values: np.ndarray, rule: str) -> None:
    if not good.all():
        first = int(np.argmin(good))
        shown = np.array2string(np.ravel(values[first])[:4], precision=6)
        bad = int((~good).sum())
        raise InputError(f"{what}: {name} of Gaussian {first} is {shown} ({bad} bad of {len(good)}); {rule}")


def _check_similarity(rotation: np.ndarray, scale: float) -> None:
    if rotation.shape != (3, 3):
        raise InputError(f"rotation has shape {rotation.shape}; must be (3, 3)")
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if not error <= ORTHONORMAL_TOLERANCE or np.linalg.det(rotation) < 0:
        raise InputError(f"rotation is not a proper rotation matrix (off by {error:.2g}, determinant must be +1)")
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"scale is {scale}; must be positive and finite")


def _quaternion_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left (4,) times right (N, 4), w x y z: first turn by right, then by left."""
    a, b, c, d = left
    w, x, y, z = right.T
    return np.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        -1,
    )
