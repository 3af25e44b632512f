"""Sorting splats front to back and listing, for every tile, the splats that touch it in that order (numba).

One radix sort of all splats by depth, then a counting sort into tiles that keeps the order. Each thread works on one
piece of the input and knows from prefix sums where its output goes, so any number of threads gives the same lists.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from openlyra.gaussians.tiles_layout import DEPTH, STRICT

_BITS = 11
_BUCKETS = 1 << _BITS
_MASK = np.uint32(_BUCKETS - 1)
_NO_KEY = np.uint32(0xFFFFFFFF)


@njit(parallel=True, **STRICT)
def sort_by_depth(record_bits, tiles, order, spare_order, keys, spare_keys, pieces):  # type: ignore[no-untyped-def]
    """Indices of the visible splats, nearest first, into `order`; returns how many there are.

    record_bits (N, 16) are the records viewed as uint32: positive floats sort like their bits. The keys' range is cut
    to 22 bits, two radix passes; splats that then share a key (depths equal to about 1e-5 or better) keep the scene
    order.
    """
    n = tiles.shape[0]
    starts = np.zeros(pieces + 1, np.int64)
    lowest, highest = np.empty(pieces, np.uint32), np.empty(pieces, np.uint32)
    for piece in prange(pieces):
        seen = 0
        for i in range(n * piece // pieces, n * (piece + 1) // pieces):
            seen += 1 if tiles[i, 1] > tiles[i, 0] else 0
        starts[piece + 1] = seen
    for piece in range(pieces):
        starts[piece + 1] += starts[piece]
    visible = starts[pieces]
    for piece in prange(pieces):
        at = starts[piece]
        low, high = _NO_KEY, np.uint32(0)
        for i in range(n * piece // pieces, n * (piece + 1) // pieces):
            if tiles[i, 1] > tiles[i, 0]:
                key = record_bits[i, DEPTH]
                keys[at], order[at] = key, i
                at += 1
                low, high = min(low, key), max(high, key)
        lowest[piece], highest[piece] = low, high
    if visible == 0:
        return visible
    low = lowest.min()
    span, shift = np.int64(highest.max() - low), 0
    while (span >> shift) >= _BUCKETS * _BUCKETS:
        shift += 1
    _radix_pass(keys, order, spare_keys, spare_order, low, np.uint32(shift), visible, pieces)
    _radix_pass(spare_keys, spare_order, keys, order, low, np.uint32(shift + _BITS), visible, pieces)
    return visible


@njit(parallel=True, **STRICT)
def _radix_pass(keys, values, keys_out, values_out, low, shift, count, pieces):  # type: ignore[no-untyped-def]
    """One stable pass: sort by the 11 bits of (key - low) from bit `shift` on."""
    places = np.empty((pieces, _BUCKETS), np.int64)
    for piece in prange(pieces):
        places[piece, :] = 0
        for i in range(count * piece // pieces, count * (piece + 1) // pieces):
            places[piece, ((keys[i] - low) >> shift) & _MASK] += 1
    total = 0
    for bucket in range(_BUCKETS):
        for piece in range(pieces):
            here = places[piece, bucket]
            places[piece, bucket] = total
            total += here
    for piece in prange(pieces):
        for i in range(count * piece // pieces, count * (piece + 1) // pieces):
            bucket = ((keys[i] - low) >> shift) & _MASK
            to = places[piece, bucket]
            places[piece, bucket] = to + 1
            keys_out[to], values_out[to] = keys[i], values[i]


@njit(parallel=True, **STRICT)
def count_per_tile(tiles, order, visible, columns, places, tile_starts):  # type: ignore[no-untyped-def]
    """Where each tile's list starts (tile_starts, tile count + 1) and where each piece writes in it (places).

    places is (pieces, tile count) int64. Returns the number of intersections of splats with tiles.
    """
    pieces, tile_count = places.shape
    for piece in prange(pieces):
        places[piece, :] = 0
        for at in range(visible * piece // pieces, visible * (piece + 1) // pieces):
            g = order[at]
            for row in range(tiles[g, 2], tiles[g, 3]):
                for column in range(tiles[g, 0], tiles[g, 1]):
                    places[piece, row * columns + column] += 1
    total = 0
    for tile in range(tile_count):
        tile_starts[tile] = total
        for piece in range(pieces):
            here = places[piece, tile]
            places[piece, tile] = total
            total += here
    tile_starts[tile_count] = total
    return total


@njit(parallel=True, **STRICT)
def fill_tiles(tiles, order, visible, columns, places, splats, positions, splat_starts):  # type: ignore[no-untyped-def]
    """Write the tile lists: splats (intersections,) holds Gaussian indices, tile after tile, nearest first.

    When positions is not empty it becomes the inverse: positions[splat_starts[g] + k] is where Gaussian g's k-th
    intersection landed, so that per-intersection values can be summed per Gaussian in a fixed order.
    """
    pieces = places.shape[0]
    inverse = positions.shape[0] > 0
    for piece in prange(pieces):
        for at in range(visible * piece // pieces, visible * (piece + 1) // pieces):
            g = order[at]
            k = splat_starts[g] if inverse else 0
            for row in range(tiles[g, 2], tiles[g, 3]):
                for column in range(tiles[g, 0], tiles[g, 1]):
                    to = places[piece, row * columns + column]
                    places[piece, row * columns + column] = to + 1
                    splats[to] = g
                    if inverse:
                        positions[k] = to
                        k += 1


@njit(**STRICT)
def count_per_splat(tiles, splat_starts):  # type: ignore[no-untyped-def]
    """splat_starts (N + 1,): running number of intersections per Gaussian, in scene order."""
    total = 0
    for g in range(tiles.shape[0]):
        splat_starts[g] = total
        total += (tiles[g, 1] - tiles[g, 0]) * (tiles[g, 3] - tiles[g, 2])
    splat_starts[tiles.shape[0]] = total


@njit(parallel=True, **STRICT)
def sum_per_splat(values, splat_starts, positions, sums):  # type: ignore[no-untyped-def]
    """sums[g] = the values (one per intersection) of Gaussian g, always added in the same order."""
    for g in prange(sums.shape[0]):
        total = np.float32(0)
        for k in range(splat_starts[g], splat_starts[g + 1]):
            total += values[positions[k]]
        sums[g] = total
