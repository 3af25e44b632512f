"""The CPU renderer: buffers, and the order in which the tile kernels run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numba
import numpy as np

from openlyra.gaussians.render import Recolor, RenderResult
from openlyra.gaussians.tiles_bin import count_per_splat, count_per_tile, fill_tiles, sort_by_depth, sum_per_splat
from openlyra.gaussians.tiles_layout import BLUE, RECORD, RED, TILE
from openlyra.gaussians.tiles_project import pack_camera, project
from openlyra.gaussians.tiles_project_backward import CHUNK, POSE, project_backward
from openlyra.gaussians.tiles_raster import blend, weigh
from openlyra.gaussians.tiles_raster_backward import GRADIENT, blend_backward
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera

_CACHE_LINE = 64
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class StageTimes:
    """Milliseconds of the last call."""

    project: float
    sort: float
    """Depth sort and tile lists."""
    raster: float

    @property
    def total(self) -> float:
        return self.project + self.sort + self.raster


@dataclass(frozen=True, eq=False)
class TileLists:
    """The scene as one camera sees it. The arrays are views into the renderer's buffers: valid until its next call."""

    records: np.ndarray
    """(N, 16) float32, one row per Gaussian, columns as in `tiles_layout`; rows of invisible Gaussians are stale."""
    splats: np.ndarray
    """(I,) int32 Gaussian indices, tile after tile, nearest first."""
    tile_starts: np.ndarray
    """(tiles + 1,) int64 into splats."""
    tile_order: np.ndarray
    """(tiles,) int32: the order in which tiles are worked on."""
    splat_starts: np.ndarray
    """(N + 1,) int64 into positions; empty unless the inverse was asked for."""
    positions: np.ndarray
    """(I,) int64: where each Gaussian's intersections are in splats; empty unless the inverse was asked for."""


@dataclass(frozen=True, eq=False)
class SceneGradients:
    """A loss's gradients by the fields of `Gaussians` (float32, same shapes) and by the camera."""

    means: np.ndarray
    quaternions: np.ndarray
    scales: np.ndarray
    opacities: np.ndarray
    sh: np.ndarray
    pose: np.ndarray
    """(15,) float64: by rotation (row by row) and translation of camera_from_world, and by the camera centre, which
    only colours of degree 1 and more depend on."""


Backward = Callable[[np.ndarray, np.ndarray, np.ndarray], SceneGradients]


class TileRenderer:
    """Renders on the CPU with all of numba's threads; the result does not depend on how many there are.

    Buffers are kept between calls (about 90 bytes a Gaussian and 4 an intersection), so one renderer serves one
    caller at a time: a lock makes others wait. Arrays in results are fresh.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()
        self._call: object | None = None
        self.times = StageTimes(0.0, 0.0, 0.0)
        """Of the last call."""
        self.backward_times = 0.0, 0.0
        """Milliseconds of the last backward call: blending, projection."""

    def render(self, gaussians: Gaussians, camera: Camera, background: tuple[float, float, float]) -> RenderResult:
        """Colour, depth and alpha as one unbatched NumPy camera sees them."""
        with self._lock:
            return self._blend(self._tile_lists(gaussians, camera, inverse=False), camera, background)

    def recolorable(self, gaussians: Gaussians, camera: Camera, start: int, wanted: np.ndarray) -> Recolor:
        """A function from the colours of the last Gaussians to what the camera sees; nothing is projected or sorted
        again for it."""
        with self._lock:
            lists = self._tile_lists(gaussians, camera, inverse=False)
            self._call = call = object()
        asked = _tiles_with(wanted)

        def recolored(colors: np.ndarray) -> RenderResult:
            with self._lock:
                # As in `backward` below.
                known = lists if self._call is call else self._tile_lists(gaussians, camera, inverse=False)
                known.records[start:, RED : BLUE + 1] = np.maximum(colors, 0)
                some = replace(known, tile_order=known.tile_order[asked[known.tile_order]])
                return self._blend(some, camera, (0.0, 0.0, 0.0))

        return recolored

    def _blend(self, lists: TileLists, camera: Camera, background: tuple[float, float, float]) -> RenderResult:
        start = time.perf_counter()
        color = np.zeros((camera.height, camera.width, 3), np.float32)
        depth, alpha = (np.zeros((camera.height, camera.width), np.float32) for _ in range(2))
        back = np.asarray(background, dtype=np.float32)
        blend(lists.records, lists.splats, lists.tile_starts, lists.tile_order, back, color, depth, alpha)
        self._raster_took(start)
        return RenderResult(color, depth, alpha)

    def render_and_gradient(
        self, gaussians: Gaussians, camera: Camera, background: tuple[float, float, float]
    ) -> tuple[RenderResult, Backward]:
        """Render, and a function that turns the loss's gradients by colour, depth and alpha into those by the scene."""
        with self._lock:
            lists = self._tile_lists(gaussians, camera, inverse=True)
            result = self._blend(lists, camera, background)
            self._call = call = object()

        def backward(v_color: np.ndarray, v_depth: np.ndarray, v_alpha: np.ndarray) -> SceneGradients:
            with self._lock:
                # Another call may have used the buffers since; the lists are then made again, which gives the same.
                known = lists if self._call is call else self._tile_lists(gaussians, camera, inverse=True)
                return self._backward(gaussians, camera, known, result, (v_color, v_depth, v_alpha))

        return result, backward

    def _backward(
        self, gaussians: Gaussians, camera: Camera, lists: TileLists, result: RenderResult, v: tuple[np.ndarray, ...]
    ) -> SceneGradients:
        start = time.perf_counter()
        rows = self._buffer("gradients", (len(lists.splats), GRADIENT), np.float32)
        where = (lists.records, lists.splats, lists.tile_starts, lists.tile_order)
        blend_backward(*where, result.color, result.depth, result.alpha, *v, rows)
        rastered = time.perf_counter()
        arrays = (gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.sh)
        pose = np.empty((-(-gaussians.count // CHUNK), POSE))
        v_means, v_quaternions, v_scales, v_sh = (np.empty_like(array) for array in arrays)
        out = (v_means, v_quaternions, v_scales, np.empty_like(gaussians.opacities), v_sh)
        inverse = (lists.splat_starts, lists.positions)
        project_backward(
            *arrays, gaussians.sh_degree, pack_camera(camera), lists.records, *inverse, rows, *out, pose
        )  # fmt: skip
        self.backward_times = (rastered - start) * 1e3, (time.perf_counter() - rastered) * 1e3
        return SceneGradients(*out, pose.sum(0))

    def contributions(self, gaussians: Gaussians, camera: Camera) -> np.ndarray:
        """(N,) float32 sums of compositing weight."""
        with self._lock:
            lists = self._tile_lists(gaussians, camera, inverse=True)
            start = time.perf_counter()
            weights = self._buffer("weights", (len(lists.splats),), np.float32)
            where = (lists.records, lists.splats, lists.tile_starts, lists.tile_order)
            weigh(*where, camera.height, camera.width, weights)
            sums = np.empty(gaussians.count, np.float32)
            sum_per_splat(weights, lists.splat_starts, lists.positions, sums)
            self._raster_took(start)
        return sums

    def _tile_lists(self, gaussians: Gaussians, camera: Camera, inverse: bool) -> TileLists:
        n, pieces = gaussians.count, numba.get_num_threads()
        columns, rows = -(-camera.width // TILE), -(-camera.height // TILE)
        self._call = None
        start = time.perf_counter()
        records = self._buffer("records", (n, RECORD), np.float32)
        tiles = self._buffer("tiles", (n, 4), np.int16)
        arrays = (gaussians.means, gaussians.quaternions, gaussians.scales, gaussians.opacities, gaussians.sh)
        project(*arrays, gaussians.sh_degree, pack_camera(camera), records, tiles)
        projected = time.perf_counter()

        order, spare_order = (self._buffer(name, (n,), np.int32) for name in ("order", "spare_order"))
        keys, spare_keys = (self._buffer(name, (n,), np.uint32) for name in ("keys", "spare_keys"))
        visible = sort_by_depth(records.view(np.uint32), tiles, order, spare_order, keys, spare_keys, pieces)
        places = self._buffer("places", (pieces, rows * columns), np.int64)
        tile_starts = self._buffer("tile_starts", (rows * columns + 1,), np.int64)
        intersections = count_per_tile(tiles, order, visible, columns, places, tile_starts)
        splats = self._buffer("splats", (intersections,), np.int32)
        positions = self._buffer("positions", (intersections if inverse else 0,), np.int64)
        splat_starts = self._buffer("splat_starts", (n + 1 if inverse else 0,), np.int64)
        if inverse:
            count_per_splat(tiles, splat_starts)
        fill_tiles(tiles, order, visible, columns, places, splats, positions, splat_starts)
        binned = time.perf_counter()
        self.times = StageTimes((projected - start) * 1e3, (binned - projected) * 1e3, 0.0)
        return TileLists(records, splats, tile_starts, _spread(rows, columns), splat_starts, positions)

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """An uninitialised array that starts on a cache line; it grows but never shrinks."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = self._buffers.get(name)
        if raw is None or raw.nbytes < size + _CACHE_LINE:
            raw = np.empty(int(size * 1.05) + 2 * _CACHE_LINE, np.uint8)
            self._buffers[name] = raw
        offset = -raw.ctypes.data % _CACHE_LINE
        return raw[offset : offset + size].view(dtype).reshape(shape)

    def _raster_took(self, start: float) -> None:
        self.times = StageTimes(self.times.project, self.times.sort, (time.perf_counter() - start) * 1e3)


@cache
def shared_renderer() -> TileRenderer:
    """The one renderer of this process that `openlyra.gaussians.render` uses."""
    return TileRenderer()


def _spread(rows: int, columns: int) -> np.ndarray:
    """Tiles in an order whose every stretch covers the whole image, so that each thread has as much to do."""
    spread = np.argsort(np.arange(rows) * _GOLDEN % 1.0, kind="stable")
    return (spread[:, None] * columns + np.arange(columns)).ravel().astype(np.int32)


def _tiles_with(wanted: np.ndarray) -> np.ndarray:
    """(tiles,) bool: those with a pixel of (H, W)."""
    height, width = wanted.shape
    padded = np.pad(wanted, ((0, -height % TILE), (0, -width % TILE)))
    return padded.reshape(padded.shape[0] // TILE, TILE, -1, TILE).any((1, 3)).ravel()
