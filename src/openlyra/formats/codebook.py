"""Codebooks for `.sog`: 256 numbers that stand for many, and a palette of vectors that stands for more."""

from __future__ import annotations

import numpy as np

BINS = 1 << 14
"""Resolution of the histogram in which a codebook of numbers is found."""
SAMPLE = 1 << 17
"""Vectors a palette is learnt from."""
_ROUNDS = 8
_SMALL_PRODUCT = 1 << 18
_STACK = 1 << 22


def scalar_codebook(values: np.ndarray, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """At most `size` ascending numbers, filled up with the last, and for each of the values (any shape) the index
    (uint8) of the nearest one. As many different values as fit are kept exactly; else Lloyd's algorithm on a histogram
    places the numbers for the least squared error."""
    flat = np.asarray(values, np.float32).ravel()
    different = np.unique(flat)
    levels = different if len(different) <= size else _lloyd(flat.astype(np.float64), size)
    codebook = np.concatenate([levels, np.full(size - len(levels), levels[-1])]).astype(np.float32)
    borders = (codebook[1:].astype(np.float64) + codebook[:-1]) / 2
    return codebook, np.searchsorted(borders, flat, side="left").astype(np.uint8).reshape(np.shape(values))


def _lloyd(values: np.ndarray, size: int) -> np.ndarray:
    """(size,) sorted levels."""
    low, high = float(values.min()), float(values.max())
    counts, edges = np.histogram(values, BINS, (low, high))
    sums = np.histogram(values, BINS, (low, high), weights=values)[0]
    middles = (edges[1:] + edges[:-1]) / 2
    mass, weighted = np.concatenate([[0], np.cumsum(counts)]), np.concatenate([[0.0], np.cumsum(sums)])
    # The best levels for squared error lie as dense as the cube root of the (smoothed) density of the values.
    dense = np.cumsum(np.cbrt(np.convolve(counts, np.full(129, 1 / 129), "same")))
    levels = middles[np.searchsorted(dense, (np.arange(size) + 0.5) / size * dense[-1])]
    for _ in range(_ROUNDS):
        cuts = np.concatenate([[0], np.searchsorted(middles, (levels[1:] + levels[:-1]) / 2), [BINS]])
        share = mass[cuts[1:]] - mass[cuts[:-1]]
        total = weighted[cuts[1:]] - weighted[cuts[:-1]]
        levels = np.sort(np.where(share > 0, total / np.maximum(share, 1), levels))
    levels[0], levels[-1] = low, high  # so that no value is further from its level than half a gap
    return levels


def vector_palette(vectors: np.ndarray, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A palette (P, D) of at most `size` rows and for each of the vectors (N, D) the index of a near one.

    With N <= size the palette is the vectors themselves. Else a two-level tree: vectors are first divided among about
    sqrt(size) groups by k-means, then within each group, which costs N * 2 * sqrt(size) distances, not N * size.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if len(vectors) <= size:
        return vectors, np.arange(len(vectors))
    random = np.random.default_rng(seed)
    groups = max(1, int(np.sqrt(size)))
    sample = vectors if len(vectors) <= SAMPLE else vectors[random.choice(len(vectors), SAMPLE, replace=False)]
    coarse = _k_means(sample, groups, random)
    group_of_sample, group_of = nearest(sample, coarse), nearest(vectors, coarse)
    shares = _shares(np.bincount(group_of_sample, minlength=groups), size)
    labels = np.zeros(len(vectors), np.int64)
    palette: list[np.ndarray] = []
    rows = 0
    for group in range(groups):
        members = np.flatnonzero(group_of == group)
        inside = sample[group_of_sample == group]
        fine = _k_means(inside, shares[group], random) if len(inside) else coarse[group : group + 1]
        labels[members] = rows + nearest(vectors[members], fine)
        palette.append(fine)
        rows += len(fine)
    return np.concatenate(palette), labels


def _shares(counts: np.ndarray, size: int) -> np.ndarray:
    """How many palette rows each group gets: in proportion to its vectors, at least one, `size` in all at most."""
    spare = size - len(counts)
    return 1 + np.floor(spare * counts / max(int(counts.sum()), 1)).astype(int)


def _k_means(vectors: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    if len(vectors) <= size:
        return vectors
    centers = vectors[random.choice(len(vectors), size, replace=False)]
    for _ in range(_ROUNDS):
        labels = nearest(vectors, centers)
        order = np.argsort(labels, kind="stable")
        counts = np.bincount(labels, minlength=size)
        filled = counts > 0
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        sums = np.add.reduceat(vectors[order].astype(np.float64), starts[filled], axis=0)
        centers = centers.copy()
        centers[filled] = sums / counts[filled, None]
    return centers


def nearest(vectors: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """(N,) index of the center (P, D) nearest to each vector (N, D)."""
    half_norms = 0.5 * np.einsum("ij,ij->i", centers, centers)
    # Products this small stay on one thread: the thousands here would spend most of their time waking others, and on a
    # busy machine waiting for them.
    rows = max(1, _SMALL_PRODUCT // max(1, centers.size))
    stack = max(1, _STACK // max(1, rows * len(centers)))
    labels = np.empty(len(vectors), np.int64)
    whole = len(vectors) - len(vectors) % rows
    for start in range(0, whole, rows * stack):
        part = slice(start, min(whole, start + rows * stack))
        products = vectors[part].reshape(-1, rows, vectors.shape[1]) @ centers.T
        labels[part] = np.argmax(products - half_norms, axis=2).ravel()
    labels[whole:] = np.argmax(vectors[whole:] @ centers.T - half_norms, axis=1)
    return labels
