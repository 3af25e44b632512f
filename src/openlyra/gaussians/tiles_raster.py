"""Blending the splats of each tile, front to back (numba).

A tile's pixels live in one flat float32 array, block after block of 16 lanes, so that everything a splat touches is
in the first-level cache. Transmittance is stored with a minus sign once a pixel is finished. The innermost loops must
be vectorised or they are five times slower: a fixed trip count of 16, one base index with constant offsets (no
aliasing to check), unsigned indices, selections instead of branches, every constant float32.
`benchmarks/bench_render.py --guard` shows whether they still are.
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
    CONIC_B,
    CONIC_C,
    DEPTH,
    EXTENT_X,
    EXTENT_Y,
    FAST,
    GREEN,
    HALF,
    LANES,
    MEAN_X,
    MEAN_Y,
    ONE,
    OPACITY,
    RED,
    TILE,
    ZERO,
    f4,
    prefetch_record,
)

_ALPHA_MAX, _ALPHA_MIN = f4(splat_rules.ALPHA_MAX), f4(splat_rules.ALPHA_MIN)
_TRANSMITTANCE_MIN = f4(splat_rules.TRANSMITTANCE_MIN)
_BLEND_STATE = 5 * LANES
"""Floats a block for `blend`: transmittance, red, green, blue, depth, 16 lanes each."""
_WEIGH_STATE = 2 * LANES
"""Floats a block for `weigh`: transmittance, weight of the splat at hand."""
_INDEX = np.uintp
_FIRST, _SECOND, _THIRD, _FOURTH = _INDEX(LANES), _INDEX(2 * LANES), _INDEX(3 * LANES), _INDEX(4 * LANES)
_LANE_MASK, _LANE_SHIFT = np.int32(BLOCK - 1), np.int32(BLOCK_SHIFT)
_AHEAD = 8
"""How many splats ahead records are fetched."""
_LAST = f4(TILE - 1)
_ALMOST_ONE = f4(0.9999)
# exp(-s) is the 8th power of a polynomial in q = -s / 8, fitted for s in 0 ... 6 (relative error about 1e-5).
# Beyond 6 alpha is below 1/255 whatever the opacity, so s may as well stop there.
_S_MAX, _EIGHTH = f4(6), f4(-0.125)
_E1, _E2, _E3 = f4(0.9999926686286926), f4(0.49986937642097473), f4(0.16589199006557465)
_E4, _E5 = f4(0.03960749879479408), f4(0.00573915196582675)


@njit(**FAST)
def splat_alpha(dx, dy, half_a, b, half_c, opacity):  # type: ignore[no-untyped-def]
    """Opacity of a splat (dx, dy) pixels from its centre; 0 where it is too faint to count."""
    s = min((half_a * dx + b * dy) * dx + half_c * dy * dy, _S_MAX)
    q = s * _EIGHTH
    p = ((((_E5 * q + _E4) * q + _E3) * q + _E2) * q + _E1) * q + ONE
    p = p * p
    p = p * p
    p = p * p
    alpha = min(p * opacity, _ALPHA_MAX)
    return alpha if alpha >= _ALPHA_MIN else ZERO


@njit(**FAST)
def attenuate(stored, alpha):  # type: ignore[no-untyped-def]
    """(compositing weight, new stored transmittance) of a pixel that a splat of opacity `alpha` covers."""
    before = max(stored, ZERO)
    weight = alpha * before
    after = before - weight
    done = after <= _TRANSMITTANCE_MIN
    return ZERO if done else weight, -abs(stored) if done else after


@njit(**FAST)
def splat_shape(records, g, x0, y0):  # type: ignore[no-untyped-def]
    """Centre relative to the pixel centre (x0, y0), reach, half conic a, conic b, half conic c, opacity of a splat."""
    mx, my = records[g, MEAN_X] - x0, records[g, MEAN_Y] - y0
    half_a, b, half_c = HALF * records[g, CONIC_A], records[g, CONIC_B], HALF * records[g, CONIC_C]
    return mx, my, records[g, EXTENT_X], records[g, EXTENT_Y], half_a, b, half_c, records[g, OPACITY]


@njit(**FAST)
def first_block(low):  # type: ignore[no-untyped-def]
    """Along one axis, the first block with a pixel at or after `low` (tile coordinates); rather one too early."""
    return np.int32(min(max(low + _ALMOST_ONE, ZERO), _LAST)) >> BLOCK_SHIFT


@njit(**FAST)
def last_block(high):  # type: ignore[no-untyped-def]
    """Along one axis, the last block with a pixel at or before `high`."""
    return np.int32(min(max(high, ZERO), _LAST)) >> BLOCK_SHIFT


@njit(**FAST)
def block_and_lane(row, column):  # type: ignore[no-untyped-def]
    """Where a pixel of the tile is kept."""
    block = (row // BLOCK) * BLOCKS_PER_SIDE + column // BLOCK
    return block, (row % BLOCK) * BLOCK + column % BLOCK


@njit(**FAST)
def start_tile(state, stride, rows, columns):  # type: ignore[no-untyped-def]
    """Clear the state; pixels beyond the image (only rows x columns of the tile are inside) count as finished."""
    state[:] = ZERO
    for row in range(TILE):
        for column in range(TILE):
            block, lane = block_and_lane(row, column)
            state[block * stride + lane] = ONE if row < rows and column < columns else -ONE


@njit(**FAST)
def finished_up_to(state, stride, cursor):  # type: ignore[no-untyped-def]
    """The first unfinished lane at or after `cursor`. Finished lanes stay so, hence none is looked at twice."""
    while cursor < BLOCKS * LANES and state[(cursor // LANES) * stride + cursor % LANES] <= ZERO:
        cursor += 1
    return cursor


@njit(parallel=True, **FAST)
def blend(records, splats, tile_starts, tile_order, background, color, depth, alpha):  # type: ignore[no-untyped-def]
    """Fill colour (H, W, 3), expected depth (H, W) and alpha (H, W) of the tiles (T,) of tile_order."""
    height, width = alpha.shape
    tile_columns = (width + TILE - 1) // TILE
    for job in prange(tile_order.shape[0]):
        tile = tile_order[job]
        tile_row, tile_column = tile // tile_columns, tile % tile_columns
        top, left = tile_row * TILE, tile_column * TILE
        rows, columns = min(TILE, height - top), min(TILE, width - left)
        x0, y0 = f4(left) + HALF, f4(top) + HALF
        state = np.empty(BLOCKS * _BLEND_STATE, f4)
        start_tile(state, _BLEND_STATE, rows, columns)
        cursor, end = 0, tile_starts[tile + 1]
        for k in range(tile_starts[tile], end):
            prefetch_record(records, np.int64(splats[min(k + _AHEAD, end - 1)]))
            cursor = finished_up_to(state, _BLEND_STATE, cursor)
            if cursor == BLOCKS * LANES:
                break
            g = splats[k]
            mx, my, ex, ey, half_a, b, half_c, opacity = splat_shape(records, g, x0, y0)
            red, green, blue, z = records[g, RED], records[g, GREEN], records[g, BLUE], records[g, DEPTH]
            for block_row in range(first_block(my - ey), last_block(my + ey) + 1):
                by = my - f4(block_row * BLOCK)
                for block_column in range(first_block(mx - ex), last_block(mx + ex) + 1):
                    bx = mx - f4(block_column * BLOCK)
                    base = _INDEX((block_row * BLOCKS_PER_SIDE + block_column) * _BLEND_STATE)
                    for lane in range(LANES):
                        dx, dy = f4(np.int32(lane) & _LANE_MASK) - bx, f4(np.int32(lane) >> _LANE_SHIFT) - by
                        at = base + _INDEX(lane)
                        weight, left_over = attenuate(state[at], splat_alpha(dx, dy, half_a, b, half_c, opacity))
                        state[at] = left_over
                        state[at + _FIRST] += weight * red
                        state[at + _SECOND] += weight * green
                        state[at + _THIRD] += weight * blue
                        state[at + _FOURTH] += weight * z
        for row in range(rows):
            for column in range(columns):
                block, lane = block_and_lane(row, column)
                at = _INDEX(block * _BLEND_STATE + lane)
                clear = abs(state[at])
                i, j = top + row, left + column
                alpha[i, j] = ONE - clear
                depth[i, j] = state[at + _FOURTH] / (ONE - clear) if clear < ONE else ZERO
                color[i, j, 0] = state[at + _FIRST] + clear * background[0]
                color[i, j, 1] = state[at + _SECOND] + clear * background[1]
                color[i, j, 2] = state[at + _THIRD] + clear * background[2]


@njit(parallel=True, **FAST)
def weigh(records, splats, tile_starts, tile_order, height, width, weights):  # type: ignore[no-untyped-def]
    """weights[k] = sum over the tile's pixels of the compositing weight of intersection k, blended as in `blend`."""
    tile_columns = (width + TILE - 1) // TILE
    for job in prange(tile_order.shape[0]):
        tile = tile_order[job]
        tile_row, tile_column = tile // tile_columns, tile % tile_columns
        top, left = tile_row * TILE, tile_column * TILE
        x0, y0 = f4(left) + HALF, f4(top) + HALF
        state = np.empty(BLOCKS * _WEIGH_STATE, f4)
        start_tile(state, _WEIGH_STATE, min(TILE, height - top), min(TILE, width - left))
        cursor, end = 0, tile_starts[tile + 1]
        for k in range(tile_starts[tile], end):
            weights[k] = ZERO
            cursor = finished_up_to(state, _WEIGH_STATE, cursor)
            if cursor == BLOCKS * LANES:
                continue
            prefetch_record(records, np.int64(splats[min(k + _AHEAD, end - 1)]))
            mx, my, ex, ey, half_a, b, half_c, opacity = splat_shape(records, splats[k], x0, y0)
            total = ZERO
            for block_row in range(first_block(my - ey), last_block(my + ey) + 1):
                by = my - f4(block_row * BLOCK)
                for block_column in range(first_block(mx - ex), last_block(mx + ex) + 1):
                    bx = mx - f4(block_column * BLOCK)
                    base = _INDEX((block_row * BLOCKS_PER_SIDE + block_column) * _WEIGH_STATE)
                    for lane in range(LANES):
                        dx, dy = f4(np.int32(lane) & _LANE_MASK) - bx, f4(np.int32(lane) >> _LANE_SHIFT) - by
                        at = base + _INDEX(lane)
                        weight, left_over = attenuate(state[at], splat_alpha(dx, dy, half_a, b, half_c, opacity))
                        state[at] = left_over
                        state[at + _FIRST] = weight
                    for lane in range(LANES):  # apart: a sum inside the loop above would stop its vectorisation
                        total += state[base + _FIRST + _INDEX(lane)]
            weights[k] = total
