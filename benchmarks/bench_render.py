"""Time the CPU renderer on synthetic scenes and print a table.

Run: python benchmarks/bench_render.py --counts 100000 400000 1000000

The scene is made of pixel-aligned layers of an invented depth map plus a tenth of random splats, seen from a little
aside. The backward columns are the gradient of the loss by everything, once colours, depth and alpha have theirs; a
fitting step is a whole step of the optimisation (400k: projection, lists, blending, loss, backward, Adam).

With --guard the blending kernel is also compared with one that blends pixel by pixel; a ratio below 8 means that the
compiler no longer vectorises it. The backward kernel is compared with the forward one, from which it differs by about
three times as many instructions a pixel; a ratio above 6 means the same for it. --cpu-time measures processor seconds
of all threads instead of the clock, which other load on the machine disturbs much less.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numba
import numpy as np
from numba import njit, prange

from openlyra.gaussians.optimise import OptimiseSettings, optimise
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.tiles import StageTimes, TileRenderer
from openlyra.gaussians.tiles_raster import blend
from openlyra.gaussians.tiles_raster_backward import GRADIENT, blend_backward
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera


def depth_map(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width) z-depth: a floor that rises to a far wall, and spheres in front of both."""
    v, u = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    depth = 9.0 - 6.0 * np.clip((v - 0.45) / 0.55, 0, 1)
    for _ in range(14):
        x, y, radius, z = rng.uniform(0.05, 0.95), rng.uniform(0.2, 0.9), rng.uniform(0.03, 0.14), rng.uniform(1.5, 6)
        squared = ((u - x) * width / height) ** 2 + (v - y) ** 2
        inside = (squared < radius**2) & (z < depth)
        depth = np.where(inside, z - 0.8 * np.sqrt(np.maximum(radius**2 - squared, 0)), depth)
    return depth + 0.05 * np.sin(25 * u + 7 * v) * np.sin(18 * v)


def layer(count: int, offset: float, camera: Camera, rng: np.random.Generator) -> Gaussians:
    """About `count` Gaussians on a pixel grid of `camera`, `offset` behind the depth map."""
    rows = max(1, int(math.sqrt(count * camera.height / camera.width)))
    grid = camera.resized(rows, max(1, count // rows))
    depth = depth_map(grid.height, grid.width, np.random.default_rng(1)) + offset
    means = grid.unproject(depth).reshape(-1, 3)
    n = len(means)
    spacing = depth.reshape(-1, 1) / grid.intrinsics[0, 0]
    scales = 0.75 * spacing * np.array([1, 1, 0.35]) * np.exp(rng.normal(0, 0.25, (n, 3)))
    quaternions = rng.normal(0, 0.25, (n, 4)) + np.array([1, 0, 0, 0])
    opacities = 1 / (1 + np.exp(-rng.normal(2.5, 1.0, n)))
    colors = np.clip(0.5 + 0.4 * np.sin(means * [3, 4, 2]) + rng.normal(0, 0.04, (n, 3)), 0, 1)
    return Gaussians.from_colors(means, quaternions, scales, opacities, colors)


def scatter(count: int, camera: Camera, rng: np.random.Generator) -> Gaussians:
    """`count` random Gaussians, a little larger and of any opacity."""
    z = rng.uniform(1.5, 9, count)
    x, y = rng.uniform(-40, camera.width + 40, count), rng.uniform(-40, camera.height + 40, count)
    pixels = np.stack([x, y, np.ones(count)], -1)
    means = (pixels @ np.linalg.inv(camera.intrinsics).T) * z[:, None]
    scales = z[:, None] / camera.intrinsics[0, 0] * np.exp(rng.normal(math.log(2.0), 0.6, (count, 3)))
    quaternions, opacities = rng.normal(0, 1, (count, 4)), rng.uniform(0.02, 0.9, count)
    return Gaussians.from_colors(means, quaternions, scales, opacities, rng.uniform(0, 1, (count, 3)))


def scene(count: int, camera: Camera, seed: int = 0) -> Gaussians:
    """`count` Gaussians as described above."""
    rng = np.random.default_rng(seed)
    parts: list[Gaussians] = []
    left = int(count * 0.9)
    while left > 1000:
        parts.append(layer(min(left, camera.height * camera.width), 0.9 * len(parts), camera, rng))
        left -= parts[-1].count
    parts.append(scatter(count - sum(part.count for part in parts), camera, rng))
    whole = Gaussians.concatenate(parts)
    unit = whole.quaternions / np.linalg.norm(whole.quaternions, axis=1, keepdims=True)
    return Gaussians(whole.means, unit, whole.scales, whole.opacities, whole.sh)


def cameras(height: int, width: int) -> tuple[Camera, Camera]:
    """The camera the scene is built from, and the one it is seen from: 3 degrees turned and a step aside."""
    intrinsics = np.array([[0.9 * width, 0, width / 2], [0, 0.9 * width, height / 2], [0, 0, 1]])
    c, s = math.cos(math.radians(3)), math.sin(math.radians(3))
    pose = np.array([[c, 0, -s, -0.12], [0, 1, 0, 0.05], [s, 0, c, -0.1], [0, 0, 0, 1]])
    return Camera(np.eye(4), intrinsics, width, height), Camera(pose, intrinsics, width, height)


def measure(
    renderer: TileRenderer, gaussians: Gaussians, camera: Camera, repeats: int
) -> tuple[StageTimes, float, float]:
    """Stage times of the fastest run, and the median and fastest wall time in ms."""
    best, walls = None, []
    renderer.render(gaussians, camera, (0.0, 0.0, 0.0))
    for _ in range(repeats):
        start = time.perf_counter()
        renderer.render(gaussians, camera, (0.0, 0.0, 0.0))
        walls.append((time.perf_counter() - start) * 1e3)
        if best is None or renderer.times.total < best.total:
            best = renderer.times
    assert best is not None
    return best, float(np.median(walls)), min(walls)


def milliseconds(work: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    """The fastest of some runs after a first one that does not count."""
    work()
    took = []
    for _ in range(repeats):
        start = clock()
        work()
        took.append((clock() - start) * 1e3)
    return min(took)


def measure_gradient(
    renderer: TileRenderer, gaussians: Gaussians, camera: Camera, repeats: int, clock: Callable[[], float]
) -> tuple[float, float]:
    """Milliseconds of forward alone, and of forward and backward."""
    rng = np.random.default_rng(0)
    shape = (camera.height, camera.width)
    v = [rng.normal(size=size).astype(np.float32) for size in ((*shape, 3), shape, shape)]

    def both() -> None:
        renderer.render_and_gradient(gaussians, camera, (0.0, 0.0, 0.0))[1](*v)

    forward = milliseconds(lambda: renderer.render(gaussians, camera, (0.0, 0.0, 0.0)), repeats, clock)
    return forward, milliseconds(both, repeats, clock)


def measure_step(gaussians: Gaussians, camera: Camera, clock: Callable[[], float]) -> float:
    """Milliseconds of a step of the optimisation."""
    view = Camera(np.asarray(camera.world_from_camera)[None], camera.intrinsics, camera.width, camera.height)
    image = np.random.default_rng(0).integers(0, 256, (1, camera.height, camera.width, 3)).astype(np.uint8)
    times: list[float] = []
    settings = OptimiseSettings(steps=8, relocate_every=0, backend="cpu")
    optimise(gaussians, PosedFrames(image, view), settings, report=lambda progress: times.append(clock()))
    return float(np.diff(times).min() * 1e3)


def guard_backward(renderer: TileRenderer, gaussians: Gaussians, camera: Camera, clock: Callable[[], float]) -> float:
    """How many times longer the backward blending kernel takes than the forward one."""
    seen = renderer.render(gaussians, camera, (0.0, 0.0, 0.0))
    lists = renderer._tile_lists(gaussians, camera, inverse=True)
    where = (lists.records, lists.splats, lists.tile_starts, lists.tile_order)
    rows = np.zeros((len(lists.splats), GRADIENT), np.float32)
    out, black = (seen.color, seen.depth, seen.alpha), np.zeros(3, np.float32)
    v = tuple(np.ones_like(part) for part in out)
    forward = milliseconds(lambda: blend(*where, black, *out), 5, clock)
    return milliseconds(lambda: blend_backward(*where, *out, *v, rows), 5, clock) / forward


@njit(parallel=True, error_model="numpy", fastmath=True)
def blend_pixel_by_pixel(records, splats, tile_starts, columns, color):  # type: ignore[no-untyped-def]
    """The blending of tiles_raster.blend one pixel at a time: the speed without vector units."""
    height, width = color.shape[0], color.shape[1]
    for row in prange(height):
        for column in range(width):
            tile = row // 16 * columns + column // 16
            clear, red, green, blue, depth = np.float32(1), np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for k in range(tile_starts[tile], tile_starts[tile + 1]):
                g = splats[k]
                dy = np.float32(row) + np.float32(0.5) - records[g, 1]
                dx = np.float32(column) + np.float32(0.5) - records[g, 0]
                if abs(dy) > records[g, 9] or abs(dx) > records[g, 10]:
                    continue
                s = np.float32(0.5) * (records[g, 2] * dx * dx + records[g, 4] * dy * dy) + records[g, 3] * dx * dy
                alpha = min(math.exp(-s) * records[g, 5], np.float32(0.999))
                if alpha < np.float32(1 / 255):
                    continue
                weight = alpha * clear
                if clear - weight <= np.float32(1e-4):
                    break
                clear -= weight
                red += weight * records[g, 6]
                green += weight * records[g, 7]
                blue += weight * records[g, 8]
                depth += weight * records[g, 11]
            color[row, column, 0], color[row, column, 1], color[row, column, 2] = red, green, blue
            color[row, column, 3] = depth


def guard(renderer: TileRenderer, gaussians: Gaussians, camera: Camera, raster_ms: float) -> tuple[float, float]:
    """(how many times faster the kernel is than pixel by pixel, largest colour difference between the two)."""
    lists = renderer._tile_lists(gaussians, camera, inverse=False)
    color = np.empty((camera.height, camera.width, 4), np.float32)
    arguments = (lists.records, lists.splats, lists.tile_starts, -(-camera.width // 16), color)
    blend_pixel_by_pixel(*arguments)
    slowest = []
    for _ in range(3):
        start = time.perf_counter()
        blend_pixel_by_pixel(*arguments)
        slowest.append((time.perf_counter() - start) * 1e3)
    fast = renderer.render(gaussians, camera, (0.0, 0.0, 0.0))
    return min(slowest) / raster_ms, float(np.abs(color[..., :3] - fast.color).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    counts = [100_000, 400_000, 1_000_000]
    parser.add_argument("--counts", type=int, nargs="+", default=counts, help="Gaussians in each scene")
    parser.add_argument("--height", type=int, default=480, help="image height in pixels (default 480)")
    parser.add_argument("--width", type=int, default=832, help="image width in pixels (default 832)")
    parser.add_argument("--repeats", type=int, default=15, help="runs of each scene; stages are of the fastest (15)")
    parser.add_argument("--threads", type=int, default=None, help="numba threads (default: all cores)")
    parser.add_argument("--cpu-time", action="store_true", help="processor time instead of the clock for gradients")
    parser.add_argument("--guard", action="store_true", help="also print the ratio to a pixel-by-pixel kernel")
    arguments = parser.parse_args()
    if arguments.threads:
        numba.set_num_threads(arguments.threads)
    source, view = cameras(arguments.height, arguments.width)
    renderer = TileRenderer()
    print(f"{arguments.width}x{arguments.height}, {numba.get_num_threads()} threads; colour, depth, alpha; ms")
    heads = (
        "project",
        "sort",
        "raster",
        "total",
        "median",
        "frames/s",
        "contributions",
        "forward",
        "and back",
        "a step",
    )
    print(f"{'Gaussians':>10} " + " ".join(f"{head:>8}" for head in heads))
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    for count in arguments.counts:
        gaussians = scene(count, source)
        times, median, fastest = measure(renderer, gaussians, view, arguments.repeats)
        start = time.perf_counter()
        renderer.contributions(gaussians, view)
        first = time.perf_counter()
        renderer.contributions(gaussians, view)
        contributions = min(first - start, time.perf_counter() - first) * 1e3
        stages = f"{times.project:8.1f} {times.sort:8.1f} {times.raster:8.1f} {fastest:8.1f} {median:8.1f}"
        forward, both = measure_gradient(renderer, gaussians, view, arguments.repeats, clock)
        fitting = measure_step(gaussians, view, clock)
        rest = f"{contributions:13.1f} {forward:8.1f} {both:8.1f} {fitting:8.1f}"
        print(f"{gaussians.count:>10} {stages} {1e3 / median:8.1f} {rest}")
        if arguments.guard:
            ratio, error = guard(renderer, gaussians, view, times.raster)
            print(f"{'':>10} guard: {ratio:.1f} times faster than pixel by pixel; largest difference {error:.1e}")
            backward = guard_backward(renderer, gaussians, view, clock)
            print(f"{'':>10} guard: the backward kernel takes {backward:.1f} times as long as the forward one")


if __name__ == "__main__":
    main()
