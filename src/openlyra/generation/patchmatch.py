"""Depth-guided multi-scale patch matching: paints the unknown part of an image with what is known.

Patch matching with random search (Barnes et al. 2009) inside a coarse-to-fine synthesis with voting (Wexler et al.
2007). Ours adds guidance: a patch is a good source only if it lies at a similar depth and if sky stays sky. All loops
read one buffer and write another, with random numbers hashed from (seed, pixel), so the result does not depend on the
number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from scipy import ndimage

from openlyra.depth.filters import dilated, eroded

RADIUS = 3
PATCH_PIXELS = np.float32((2 * RADIUS + 1) ** 2)
FAR_COST = np.float32(1e30)
FAST = {"reassoc", "contract", "arcp", "nsz"}


@dataclass(frozen=True)
class GuidedImage:
    """An image with what guides the matching. Hole pixels carry guesses in ``color`` and completed ``log_depth``."""

    color: np.ndarray
    """(H, W, 3) float32 in [0, 1]."""
    log_depth: np.ndarray
    """(H, W) float32, natural logarithm of z-depth."""
    sky: np.ndarray
    """(H, W) bool."""
    mask: np.ndarray
    """(H, W) bool: in a target, the pixels to paint; in a source, the pixels that may be copied."""


@dataclass(frozen=True)
class PatchMatchSettings:
    """Cost and effort of the patch matching."""

    depth_weight: float = 0.05
    """Cost a patch pixel of a difference of one in log depth, in squared colour units."""
    sky_weight: float = 4.0
    """Cost a patch pixel of matching sky with something that is not."""
    far_weight: float = 0.02
    """Cost a patch pixel of copying from an image height away from the hole's border, in squared colour units."""
    coarsest: int = 40
    """Height in pixels of the coarsest level."""
    rounds: tuple[int, ...] = (2, 3, 5, 8)
    """Match-and-vote rounds a level, finest first; coarser levels use the last number."""


@njit(cache=True, inline="always")
def _hash(a: int, b: int, c: int, d: int) -> np.uint32:
    h = np.uint32(a * 374761393 + b * 668265263 + c * 2246822519 + d * 3266489917)
    h ^= h >> np.uint32(15)
    h *= np.uint32(2246822519)
    h ^= h >> np.uint32(13)
    h *= np.uint32(3266489917)
    h ^= h >> np.uint32(16)
    return h


@njit(cache=True, fastmath=FAST)
def _patch_cost(target, weight, t_depth, t_sky, anchor, source, s_depth, s_sky, y, x, sy, sx, guides, best):
    """Weighted mean squared colour difference of two patches plus guidance: depth, sky, nearness to the border.

    Rows of the source beyond the target's height belong to another view, of which nearness says nothing.
    """
    height, width = weight.shape
    difference = min(abs(t_depth[y, x] - s_depth[sy, sx]), np.float32(1.5))
    guide = guides[0] * difference * difference
    if t_sky[y, x] != s_sky[sy, sx]:
        guide += guides[1]
    if sy < height:
        away_y, away_x = np.float32(sy - anchor[0, y, x]), np.float32(sx - anchor[1, y, x])
        guide += guides[2] * min((away_y * away_y + away_x * away_x) / np.float32(height * height), np.float32(1))
    else:
        guide += np.float32(0.25) * guides[2]
    if guide >= best:
        return FAR_COST
    total = np.float32(0)
    norm = np.float32(0)
    for dy in range(max(-RADIUS, -y), min(RADIUS, height - 1 - y) + 1):
        for dx in range(max(-RADIUS, -x), min(RADIUS, width - 1 - x) + 1):
            w = weight[y + dy, x + dx]
            d0 = target[y + dy, x + dx, 0] - source[sy + dy, sx + dx, 0]
            d1 = target[y + dy, x + dx, 1] - source[sy + dy, sx + dx, 1]
            d2 = target[y + dy, x + dx, 2] - source[sy + dy, sx + dx, 2]
            total += w * (d0 * d0 + d1 * d1 + d2 * d2)
            norm += w
        # Weights are at most one, so the final mean cannot be below this.
        if total * (np.float32(1) / PATCH_PIXELS) + guide >= best:
            return FAR_COST
    return total / norm + guide


@njit(cache=True, fastmath=FAST)
def _best_match(
    target, weight, t_depth, t_sky, anchor, todo, source, s_depth, s_sky, s_ok, s_list, field, y, x, jump, seed, reach,
    guides,
):  # fmt: skip
    """The best of a pixel's match, its neighbours' (``jump`` pixels away) and random ones: row, column, cost."""
    height, width = todo.shape
    by, bx = field[y, x, 0], field[y, x, 1]
    best = _patch_cost(target, weight, t_depth, t_sky, anchor, source, s_depth, s_sky, y, x, by, bx,
                       guides, FAR_COST)  # fmt: skip
    attempt = 0
    while attempt < 6 or reach >= 1:
        cy, cx = -1, -1
        if attempt < 4:
            ny = y + (jump if attempt == 0 else (-jump if attempt == 1 else 0))
            nx = x + (jump if attempt == 2 else (-jump if attempt == 3 else 0))
            if 0 <= ny < height and 0 <= nx < width and todo[ny, nx]:
                cy = field[ny, nx, 0] + y - ny
                cx = field[ny, nx, 1] + x - nx
        else:
            h = _hash(seed, y, x, attempt)
            if attempt < 6:
                pick = h % np.uint32(len(s_list))
                cy, cx = s_list[pick, 0], s_list[pick, 1]
            else:
                cy = by + np.int64(h % np.uint32(2 * reach + 1)) - reach
                cx = bx + np.int64((h >> np.uint32(16)) % np.uint32(2 * reach + 1)) - reach
                reach //= 2
        attempt += 1
        if 0 <= cy < s_ok.shape[0] and 0 <= cx < s_ok.shape[1] and s_ok[cy, cx]:
            c = _patch_cost(target, weight, t_depth, t_sky, anchor, source, s_depth, s_sky, y, x, cy, cx,
                            guides, best)  # fmt: skip
            if c < best:
                best, by, bx = c, cy, cx
    return by, bx, best


@njit(parallel=True, cache=True, fastmath=FAST)
def _match_round(
    target, weight, t_depth, t_sky, anchor, todo, source, s_depth, s_sky, s_ok, s_list, field, new_field, new_cost,
    jump, seed, reach, guides,
):  # fmt: skip
    """One round: every pixel to do looks for a better match; reads ``field``, writes the new arrays."""
    for row in prange(todo.shape[0]):
        y = np.int64(row)  # a parallel index is unsigned, and -y would wrap around
        for x in range(todo.shape[1]):
            if todo[y, x]:
                by, bx, cost = _best_match(
                    target, weight, t_depth, t_sky, anchor, todo, source, s_depth, s_sky, s_ok, s_list, field, y, x,
                    jump, seed, reach, guides,
                )  # fmt: skip
                new_field[y, x, 0] = by
                new_field[y, x, 1] = bx
                new_cost[y, x] = cost


@njit(parallel=True, cache=True, fastmath=FAST)
def _vote(todo, hole, source, field, cost, weight, bandwidth, out):
    """Each pixel to paint becomes the weighted mean of what the overlapping matched patches say of it."""
    height, width = todo.shape
    for row in prange(height):
        y = np.int64(row)
        for x in range(width):
            if not hole[y, x]:
                continue
            r = np.float32(0)
            g = np.float32(0)
            b = np.float32(0)
            norm = np.float32(0)
            for dy in range(max(-RADIUS, -y), min(RADIUS, height - 1 - y) + 1):  # type: ignore[call-overload]
                for dx in range(max(-RADIUS, -x), min(RADIUS, width - 1 - x) + 1):
                    qy, qx = y + dy, x + dx
                    if not todo[qy, qx]:
                        continue
                    near = np.exp(np.float32(-0.5) * (dy * dy + dx * dx) / np.float32(2.25))
                    w = near * weight[qy, qx] * np.exp(-cost[qy, qx] * bandwidth[0]) + np.float32(1e-12)
                    sy, sx = field[qy, qx, 0] - dy, field[qy, qx, 1] - dx
                    r += w * source[sy, sx, 0]
                    g += w * source[sy, sx, 1]
                    b += w * source[sy, sx, 2]
                    norm += w
            out[y, x, 0] = r / norm
            out[y, x, 1] = g / norm
            out[y, x, 2] = b / norm


def _halve(image: GuidedImage, known: np.ndarray) -> tuple[GuidedImage, np.ndarray]:
    """Half the size: colours averaged over known pixels, guidance sampled; also the known mask of the smaller image."""
    height, width = known.shape[0] // 2, known.shape[1] // 2

    def blocks(a: np.ndarray) -> np.ndarray:
        return a[: 2 * height, : 2 * width].reshape(height, 2, width, 2, *a.shape[2:])

    weight = blocks(np.maximum(known.astype(np.float32), 1e-4))
    total = weight.sum((1, 3))
    color = (blocks(image.color) * weight[..., None]).sum((1, 3)) / total[..., None]
    smaller_known = total >= 2.0
    mask = blocks(image.mask).sum((1, 3)) >= 2
    log_depth = blocks(image.log_depth).mean((1, 3))
    sky = blocks(image.sky).sum((1, 3)) >= 2
    return GuidedImage(color.astype(np.float32), log_depth.astype(np.float32), sky, mask), smaller_known


def _copyable(mask: np.ndarray) -> np.ndarray:
    """Centres whose whole patch may be copied."""
    return eroded(mask, 2 * RADIUS + 1)


def _start_field(target: GuidedImage, source: GuidedImage, ok: np.ndarray, seed: int) -> np.ndarray:
    """First matches: a random copyable pixel of the same kind (sky or not) at the nearest depth of a handful."""
    rng = np.random.default_rng(seed)
    field = np.zeros((*target.mask.shape, 2), np.int32)
    for kind in (False, True):
        places = np.argwhere(ok & (source.sky == kind))
        if len(places) == 0:
            places = np.argwhere(ok)
        want = np.argwhere(target.sky == kind)
        if len(want) == 0:
            continue
        picks = places[rng.integers(0, len(places), (len(want), 6))]
        gap = np.abs(source.log_depth[picks[..., 0], picks[..., 1]] - target.log_depth[want[:, 0], want[:, 1], None])
        field[want[:, 0], want[:, 1]] = picks[np.arange(len(want)), gap.argmin(1)]
    return field


def _grow_field(field: np.ndarray, shape: tuple[int, int], ok: np.ndarray) -> np.ndarray:
    """Matches of the next finer level; those that are not copyable there move to the nearest copyable pixel."""
    rows = np.minimum(np.arange(shape[0]) // 2, field.shape[0] - 1)
    columns = np.minimum(np.arange(shape[1]) // 2, field.shape[1] - 1)
    finer = field[rows][:, columns] * 2
    finer[..., 0] += (np.arange(shape[0]) % 2)[:, None].astype(np.int32)
    finer[..., 1] += (np.arange(shape[1]) % 2)[None, :].astype(np.int32)
    np.clip(finer[..., 0], 0, ok.shape[0] - 1, out=finer[..., 0])
    np.clip(finer[..., 1], 0, ok.shape[1] - 1, out=finer[..., 1])
    nearest = ndimage.distance_transform_edt(~ok, return_distances=False, return_indices=True)
    return np.ascontiguousarray(np.moveaxis(nearest[:, finer[..., 0], finer[..., 1]], 0, -1).astype(np.int32))


def _confidence(hole: np.ndarray) -> np.ndarray:
    """Weight of a pixel in a comparison: 1 where known, falling with the way into the hole."""
    return np.maximum(0.93 ** ndimage.distance_transform_edt(hole), 0.02).astype(np.float32)


def _nearest_known(hole: np.ndarray) -> np.ndarray:
    """(2, H, W) int32: row and column of the nearest pixel outside the hole."""
    if hole.all():
        return np.indices(hole.shape, np.int32)
    return ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True).astype(np.int32)


def _synthesise(target, source, ok, field, rounds, seed, settings):
    """Match-and-vote rounds at one level. Returns the painted colours and the matches."""
    hole = target.mask
    todo = dilated(hole, 2 * RADIUS + 1)
    weight = _confidence(hole)
    color = target.color.copy()
    places = np.argwhere(ok).astype(np.int32)
    cost = np.zeros(hole.shape, np.float32)
    reach = max(ok.shape) // 2
    guides = np.array([settings.depth_weight, settings.sky_weight, settings.far_weight], np.float32)
    anchor = _nearest_known(hole)
    for round_index in range(rounds):
        for step, jump in enumerate((8, 4, 2, 1)):
            new_field, new_cost = field.copy(), cost.copy()
            _match_round(
                color, weight, target.log_depth, target.sky, anchor, todo, source.color, source.log_depth, source.sky,
                ok, places, field, new_field, new_cost, jump, (seed * 64 + round_index) * 8 + step, reach, guides,
            )  # fmt: skip
            field, cost = new_field, new_cost
        scale = max(float(np.percentile(cost[hole], 60)), 1e-5)
        _vote(todo, hole, source.color, field, cost, weight, np.array([2.0 / scale], np.float32), color)
    return color, field


def paint(
    target: GuidedImage, source: GuidedImage, seed: int, settings: PatchMatchSettings | None = None
) -> np.ndarray:
    """Colours for the hole of ``target`` made of patches of ``source``.

    Args:
        target: what to paint; ``mask`` is the hole, ``color`` holds a first guess there, depth and sky are already
            complete.
        source: where to copy from; only pixels of its ``mask`` are copied.
        seed: of all random choices; the same seed gives the same bytes.

    Returns:
        (H, W, 3) float32; outside the hole the colours of ``target``. Without any copyable patch the first guess is
        returned.
    """
    settings = settings or PatchMatchSettings()
    levels = [(target, ~target.mask, source, source.mask)]
    while levels[-1][0].mask.shape[0] // 2 >= settings.coarsest:
        t, t_known, s, s_known = levels[-1]
        smaller_t, smaller_known = _halve(t, t_known)
        smaller_s, smaller_s_known = _halve(s, s_known)
        if not _copyable(smaller_s.mask).any() or not smaller_t.mask.any():
            break
        levels.append((smaller_t, smaller_known, smaller_s, smaller_s_known))
    if not _copyable(source.mask).any():
        return target.color
    field, color = None, target.color
    for level in range(len(levels) - 1, -1, -1):
        t, _, s, _ = levels[level]
        ok = _copyable(s.mask)
        if field is None:
            field = _start_field(t, s, ok, seed)
        else:
            field = _grow_field(field, t.mask.shape, ok)
            t = _with_votes(t, s, field)
        rounds = settings.rounds[min(level, len(settings.rounds) - 1)]
        color, field = _synthesise(t, s, ok, field, rounds, seed * 16 + level, settings)
    return color


def _with_votes(target: GuidedImage, source: GuidedImage, field: np.ndarray) -> GuidedImage:
    """The target with the hole repainted from matches that came from the coarser level."""
    todo = dilated(target.mask, 2 * RADIUS + 1)
    color = target.color.copy()
    even = np.zeros(target.mask.shape, np.float32)
    _vote(todo, target.mask, source.color, field, even, np.ones_like(even), np.zeros(1, np.float32), color)
    return GuidedImage(color, target.log_depth, target.sky, target.mask)
