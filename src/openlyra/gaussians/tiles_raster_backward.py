"""The gradient of `tiles_raster.blend` (numba).

The splats of a tile are walked through again, front to back and with the same arithmetic. With q = v . value, what a
splat's colour and depth are worth to a pixel whose output gradients are v, the pixel needs to remember only its
transmittance T and the worth R still to come: d loss / d alpha = T q - R / (1 - alpha), R counted behind the splat.
Gradients go to one row per intersection and are summed per Gaussian afterwards, so nothing is added atomically and
the sums do not depend on the number of threads. What `tiles_raster` says about vectorisation holds here too.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from openlyra.gaussians import splat_rules
from openlyra.gaussians.tiles_layout import (
    BLOCK,
    BLOCK_SHIFT,
    BLOCKS,
    BLOCKS_PER_SIDE,
    BLUE,
    CONIC_A,
    CONIC_C,
    DEPTH,
    FAST,
    GREEN,
    HALF,
    LANES,
    ONE,
    RED,
    TILE,
    ZERO,
    f4,
    prefetch_record,
)
from openlyra.gaussians.tiles_raster import (
    attenuate,
    block_and_lane,
    finished_up_to,
    first_block,
    last_block,
    splat_alpha,
    splat_shape,
    start_tile,
)

GRADIENT = 16
"""Floats a row, one cache line; the first ten are the gradients by mean x and y, conic a, b and c, opacity, red, green,
blue and depth."""
SUMS = 10
_STATE = 6 * LANES
"""Floats a block: transmittance, worth to come, gradients of red, green, blue and summed depth, 16 lanes each."""
_ALPHA_MAX = f4(splat_rules.ALPHA_MAX)
_INDEX = np.uintp
_S1, _S2, _S3, _S4, _S5 = (_INDEX(i * LANES) for i in range(1, 6))
_A1, _A2, _A3, _A4, _A5, _A6, _A7, _A8, _A9 = (_INDEX(i * LANES) for i in range(1, 10))
_LANE_MASK, _LANE_SHIFT = np.int32(BLOCK - 1), np.int32(BLOCK_SHIFT)
_AHEAD = 8


@njit(**FAST)
def _load_gradients(state, top, left, rows, columns, color, depth, alpha, v_color, v_depth, v_alpha):  # type: ignore[no-untyped-def]
    """Fill worth and gradients of a tile's pixels. Depth is a sum divided by alpha: both get a share."""
    for row in range(rows):
        for column in range(columns):
            block, lane = block_and_lane(row, column)
            at = block * _STATE + lane
            i, j = top + row, left + column
            red, green, blue, covered = v_color[i, j, 0], v_color[i, j, 1], v_color[i, j, 2], alpha[i, j]
            v_sum = v_depth[i, j] / covered if covered > ZERO else ZERO
            v_cover = v_alpha[i, j] - v_sum * depth[i, j]
            worth = red * color[i, j, 0] + green * color[i, j, 1] + blue * color[i, j, 2]
            state[at + LANES] = worth + v_sum * depth[i, j] * covered - v_cover * (ONE - covered)
            state[at + 2 * LANES], state[at + 3 * LANES], state[at + 4 * LANES] = red, green, blue
            state[at + 5 * LANES] = v_sum


@njit(**FAST)
def _store_gradient(gradients, k, sums, records, g, b, opacity):  # type: ignore[no-untyped-def]
    """Add up the lanes and turn moments of d loss / d exponent into the gradient row of intersection k."""
    for part in range(SUMS):
        total = ZERO
        for lane in range(LANES):
            total += sums[part * LANES + lane]
        gradients[k, part] = total
    plain, x, y, xx = gradients[k, 0], gradients[k, 1], gradients[k, 2], gradients[k, 3]
    xy, yy = gradients[k, 4], gradients[k, 5]
    gradients[k, 0] = -(records[g, CONIC_A] * x + b * y)
    gradients[k, 1] = -(b * x + records[g, CONIC_C] * y)
    gradients[k, 2], gradients[k, 3], gradients[k, 4] = HALF * xx, xy, HALF * yy
    gradients[k, 5] = -plain / opacity


@njit(parallel=True, **FAST)
def blend_backward(  # type: ignore[no-untyped-def]
    records, splats, tile_starts, tile_order, color, depth, alpha, v_color, v_depth, v_alpha, gradients
):
    """Fill gradients (I, GRADIENT) from the outputs of `blend` and the loss's gradients by them (v_...)."""
    height, width = alpha.shape
    tile_columns = (width + TILE - 1) // TILE
    for job in prange(tile_order.shape[0]):
        tile = tile_order[job]
        tile_row, tile_column = tile // tile_columns, tile % tile_columns
        top, left = tile_row * TILE, tile_column * TILE
        rows, columns = min(TILE, height - top), min(TILE, width - left)
        x0, y0 = f4(left) + HALF, f4(top) + HALF
        state, sums = np.empty(BLOCKS * _STATE, f4), np.empty(SUMS * LANES, f4)
        start_tile(state, _STATE, rows, columns)
        _load_gradients(state, top, left, rows, columns, color, depth, alpha, v_color, v_depth, v_alpha)
        cursor, end = 0, tile_starts[tile + 1]
        for k in range(tile_starts[tile], end):
            prefetch_record(records, np.int64(splats[min(k + _AHEAD, end - 1)]))
            cursor = finished_up_to(state, _STATE, cursor)
            if cursor == BLOCKS * LANES:
                gradients[k, :SUMS] = ZERO
                continue
            g = splats[k]
            mx, my, ex, ey, half_a, b, half_c, opacity = splat_shape(records, g, x0, y0)
            red, green, blue, z = records[g, RED], records[g, GREEN], records[g, BLUE], records[g, DEPTH]
            sums[:] = ZERO
            for block_row in range(first_block(my - ey), last_block(my + ey) + 1):
                by = my - f4(block_row * BLOCK)
                for block_column in range(first_block(mx - ex), last_block(mx + ex) + 1):
                    bx = mx - f4(block_column * BLOCK)
                    base = _INDEX((block_row * BLOCKS_PER_SIDE + block_column) * _STATE)
                    for lane in range(LANES):
                        dx, dy = f4(np.int32(lane) & _LANE_MASK) - bx, f4(np.int32(lane) >> _LANE_SHIFT) - by
                        at, to = base + _INDEX(lane), _INDEX(lane)
                        before = max(state[at], ZERO)
                        alpha_here = splat_alpha(dx, dy, half_a, b, half_c, opacity)
                        weight, left_over = attenuate(state[at], alpha_here)
                        state[at] = left_over
                        v_red, v_green, v_blue, v_sum = (
                            state[at + _S2],
                            state[at + _S3],
                            state[at + _S4],
                            state[at + _S5],
                        )
                        worth = v_red * red + v_green * green + v_blue * blue + v_sum * z
                        behind = state[at + _S1] - weight * worth
                        state[at + _S1] = behind
                        slope = alpha_here * (behind / (ONE - alpha_here) - before * worth)
                        slope = slope if (weight > ZERO) & (alpha_here < _ALPHA_MAX) else ZERO
                        sums[to] += slope
                        sums[to + _A1] += slope * dx
                        sums[to + _A2] += slope * dy
                        sums[to + _A3] += slope * dx * dx
                        sums[to + _A4] += slope * dx * dy
                        sums[to + _A5] += slope * dy * dy
                        sums[to + _A6] += weight * v_red
                        sums[to + _A7] += weight * v_green
                        sums[to + _A8] += weight * v_blue
                        sums[to + _A9] += weight * v_sum
            _store_gradient(gradients, k, sums, records, g, b, opacity)
