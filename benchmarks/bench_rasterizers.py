"""Time Gaussian rasterisers on the CPU, ours and other libraries', on one scene, and print a table.

Run: python benchmarks/bench_rasterizers.py --other /tmp/others/bin/python

Each library runs in a process of its own, so that none disturbs another. `--other` is the Python of an environment with
the other libraries (`pip install torch mitsuba gswarp gsplat nerfacc splax gausscam wgpu splatstream`), so that they
need not be installed beside this package. Mitsuba needs LLVM 16 or newer (DRJIT_LIBLLVM_PATH says where). Libraries
that are missing or cannot work without a GPU are skipped with a line that says why.

The scene is that of bench_render.py: each Gaussian has one colour, the background is black. Forward is a picture;
forward and backward also the gradient of means, scales, quaternions, opacities and colours. The last column compares
the picture with ours: the same scene was drawn. Mitsuba traces rays, so its picture is only near ours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Scene = dict[str, np.ndarray]
Draw = Callable[[], np.ndarray]
"""Draws and returns the picture (H, W, 3)."""
Both = Callable[[], object]


class Skipped(Exception):
    """Why a library cannot take part."""


def ours(scene: Scene) -> tuple[Draw, Both]:
    """The tile renderer of this package."""
    import numba

    from openlyra.gaussians.tiles import TileRenderer
    from openlyra.gaussians.types import Gaussians
    from openlyra.geometry.camera import Camera

    numba.set_num_threads(int(os.environ["NUMBA_NUM_THREADS"]))
    renderer = TileRenderer()
    height, width = (int(side) for side in scene["size"])
    gaussians = Gaussians.from_colors(*(scene[n] for n in ("means", "quaternions", "scales", "opacities", "colors")))
    camera = Camera(scene["pose"], scene["intrinsics"], width, height)
    black, shape = (0.0, 0.0, 0.0), (height, width)
    v = [np.random.default_rng(0).normal(size=s).astype(np.float32) for s in ((*shape, 3), shape, shape)]
    return (
        lambda: renderer.render(gaussians, camera, black).color,
        lambda: renderer.render_and_gradient(gaussians, camera, black)[1](*v),
    )


def twin(scene: Scene) -> tuple[Draw, Both]:
    """The plain torch twin of this package: every Gaussian at every pixel."""
    height, width = (int(side) for side in scene["size"])
    needed = 4.0 * len(scene["means"]) * height * width
    if needed > 4e9:
        raise Skipped(f"a table of Gaussians x pixels, {needed / 1e9:,.0f} GB; try --count 2000 --size 60x104")
    import torch

    from openlyra.gaussians.render_torch import render_dense
    from openlyra.gaussians.types import Gaussians
    from openlyra.geometry.camera import Camera

    names = ("means", "quaternions", "scales", "opacities", "colors")
    gaussians = Gaussians.from_colors(*(scene[n] for n in names))
    camera = Camera(scene["pose"], scene["intrinsics"], width, height)
    tensors = [torch.tensor(getattr(gaussians, n)).requires_grad_() for n in (*names[:4], "sh")]

    def draw() -> np.ndarray:
        with torch.no_grad():
            return render_dense(*tensors, camera).color.numpy()

    return draw, lambda: render_dense(*tensors, camera).color.sum().backward()


def mitsuba(scene: Scene) -> tuple[Draw, Both]:
    """Ellipsoids with the radiance-field integrator: ray tracing on LLVM."""
    import drjit as dr
    import mitsuba as mi

    mi.set_variant("llvm_ad_rgb")
    height, width = (int(side) for side in scene["size"])
    k, pose = scene["intrinsics"], scene["pose"]
    to_world = pose @ np.diag([-1.0, -1.0, 1.0, 1.0])  # its cameras look along +z with x to the left and y up
    quaternions = np.roll(scene["quaternions"], -1, axis=1)
    flat = mi.TensorXf
    world = mi.load_dict({
        "type": "scene", "integrator": {"type": "volprim_rf_basic", "max_depth": 64, "srgb_primitives": False},
        "sensor": {
            "type": "perspective", "fov_axis": "x", "fov": float(np.degrees(2 * np.arctan(width / 2 / k[0, 0]))),
            "near_clip": 0.01, "far_clip": 1e4, "to_world": mi.ScalarTransform4f(to_world),
            "film": {"type": "hdrfilm", "width": width, "height": height, "rfilter": {"type": "box"},
                     "pixel_format": "rgb", "component_format": "float32"},
            "sampler": {"type": "independent", "sample_count": 1},
        },
        "splats": {
            "type": "ellipsoids", "centers": flat(scene["means"].astype(np.float32)),
            "scales": flat(scene["scales"].astype(np.float32)), "quaternions": flat(quaternions.astype(np.float32)),
            "opacities": flat(scene["opacities"].astype(np.float32)[:, None]),
            "sh_coeffs": flat(((scene["colors"] - 0.5) / 0.28209479177387814).astype(np.float32)),
        },
    })  # fmt: skip
    params = mi.traverse(world)
    trained = [key for key in params.keys() if key.startswith("splats.") and key.split(".")[1] in
               ("data", "opacities", "sh_coeffs")]  # fmt: skip

    def both() -> None:
        for key in trained:
            dr.enable_grad(params[key])
        params.update()
        dr.backward(dr.sum(mi.render(world, params, spp=1).array))
        dr.eval(*(dr.grad(params[key]) for key in trained))
        dr.sync_thread()

    return lambda: np.array(mi.render(world, spp=1)), both


def gswarp(scene: Scene) -> tuple[Draw, Both]:
    """Kernels in NVIDIA Warp, which also compiles for the CPU."""
    import torch
    from gswarp.rasterizer import GaussianRasterizationSettings, GaussianRasterizer

    height, width = (int(side) for side in scene["size"])
    k = scene["intrinsics"]
    view = torch.tensor(np.linalg.inv(scene["pose"]).T, dtype=torch.float32).contiguous()
    near, far = 0.01, 100.0
    lens = torch.zeros(4, 4)
    lens[0, 0], lens[1, 1] = 2 * k[0, 0] / width, 2 * k[1, 1] / height
    lens[2, 2], lens[2, 3], lens[3, 2] = far / (far - near), -far * near / (far - near), 1.0
    settings = GaussianRasterizationSettings(
        height, width, width / 2 / k[0, 0], height / 2 / k[1, 1], torch.zeros(3), 1.0, view, (view @ lens.T),
        0, torch.tensor(scene["pose"][:3, 3], dtype=torch.float32), False,
    )  # fmt: skip
    names = ("means", "opacities", "colors", "scales", "quaternions")
    means, opacities, colors, scales, quaternions = (
        torch.tensor(scene[n], dtype=torch.float32).requires_grad_() for n in names
    )
    flat = torch.zeros_like(means, requires_grad=True)
    rasteriser = GaussianRasterizer(settings)

    def picture() -> torch.Tensor:
        return rasteriser(
            means3D=means, means2D=flat, opacities=opacities[:, None], colors_precomp=colors, scales=scales,
            rotations=quaternions,
        )[0]  # fmt: skip

    def draw() -> np.ndarray:
        with torch.no_grad():
            return picture().permute(1, 2, 0).numpy()

    return draw, lambda: picture().sum().backward()


def gsplat(scene: Scene) -> tuple[Draw, Both]:
    """The pure torch functions; blending calls a CUDA kernel for the lists of Gaussians a pixel."""
    import torch
    from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci, _rasterize_to_pixels

    height, width = (int(side) for side in scene["size"])
    get = {n: torch.tensor(scene[n], dtype=torch.float32) for n in scene if n != "size"}
    covariances, _ = _quat_scale_to_covar_preci(get["quaternions"], get["scales"], True, False)
    view, lens = torch.linalg.inv(get["pose"])[None], get["intrinsics"][None]
    _, centres, _, conics, _ = _fully_fused_projection(get["means"], covariances, view, lens, width, height)
    tiles = torch.zeros((1, -(-height // 16), -(-width // 16)), dtype=torch.int32)
    lists = tiles, torch.zeros(1, dtype=torch.int32)

    def draw() -> np.ndarray:
        return _rasterize_to_pixels(
            centres, conics, get["colors"][None], get["opacities"][None], width, height, 16, *lists
        )[0][0].numpy()  # fmt: skip

    return draw, draw


def splax(scene: Scene) -> tuple[Draw, Both]:
    """Warp kernels behind JAX."""
    os.environ["SCIPY_ARRAY_API"] = "1"
    import jax
    import jax.numpy as jnp
    import splax as library

    height, width = (int(side) for side in scene["size"])
    k = scene["intrinsics"]
    o = scene["opacities"].clip(1e-4, 1 - 1e-4)
    values = (scene["means"], np.log(scene["scales"]), scene["quaternions"],
              ((scene["colors"] - 0.5) / 0.28209479177387814)[:, None], np.log(o / (1 - o)))  # fmt: skip
    arrays = [jnp.asarray(value, jnp.float32) for value in values]
    view = jnp.asarray(np.linalg.inv(scene["pose"]), jnp.float32)

    def picture(*parts: jax.Array) -> jax.Array:
        return library.render(*parts, viewmat=view, background=jnp.zeros(3), img_shape=(height, width),
                              f=(float(k[0, 0]), float(k[1, 1])))[0]  # fmt: skip

    gradient = jax.grad(lambda *parts: picture(*parts).sum(), argnums=tuple(range(5)))
    return lambda: np.asarray(picture(*arrays)), lambda: jax.block_until_ready(gradient(*arrays))


def gausscam(scene: Scene) -> tuple[Draw, Both]:
    """Compute shaders through wgpu on Vulkan; a software driver (lavapipe) would make it a CPU rasteriser."""
    import wgpu

    found = [adapter.info for adapter in wgpu.gpu.enumerate_adapters_sync()]
    if not any(info["backend_type"] == "Vulkan" for info in found):
        raise Skipped(f"needs a Vulkan adapter; there are: {', '.join(i['backend_type'] for i in found) or 'none'}")
    raise Skipped("a Vulkan adapter is there, but forward only and in a robot's camera convention: not timed")


def splatstream(scene: Scene) -> tuple[Draw, Both]:
    """Vulkan compute, forward only."""
    import splatstream as library

    names = ("means", "quaternions", "scales", "opacities", "colors")
    library.gaussian_splats(*(scene[n] for n in names))
    raise Skipped("a Vulkan driver is there, forward only: not timed")


LIBRARIES: dict[str, Callable[[Scene], tuple[Draw, Both]]] = {
    "openlyra": ours, "openlyra, torch twin": twin, "mitsuba": mitsuba, "gswarp": gswarp, "gsplat": gsplat,
    "splax": splax, "gausscam": gausscam, "splatstream": splatstream,
}  # fmt: skip
OWN = ("openlyra", "openlyra, torch twin")


def child(name: str, file: Path, repeats: int) -> None:
    """Measure one library and print a line of JSON."""
    with np.load(file) as stored:
        scene = {key: stored[key] for key in stored.files}
    report: dict[str, object] = {}
    try:
        draw, both = LIBRARIES[name](scene)
        picture = np.clip(np.asarray(draw(), np.float32), 0, 1)
        np.save(file.with_suffix(".picture.npy"), picture)
        report["forward"] = fastest(draw, repeats)
        report["both"] = fastest(both, repeats)
    except Skipped as reason:
        report["skipped"] = str(reason)
    except Exception as error:  # any failure of somebody else's library is a line of the table
        report["skipped"] = f"{type(error).__name__}: {error}".splitlines()[0][:160]
    print("\n" + json.dumps(report), flush=True)


def fastest(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """(milliseconds by the clock, of processor time) of the fastest of some runs after one that does not count."""
    work()
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append((time.perf_counter() - wall) * 1e3)
        cpus.append((time.process_time() - cpu) * 1e3)
        if sum(walls) > 30_000:
            break
    return min(walls), min(cpus)


def write_scene(file: Path, count: int, height: int, width: int) -> None:
    """The scene of bench_render.py as plain arrays."""
    import bench_render

    source, view = bench_render.cameras(height, width)
    g = bench_render.scene(count, source)
    np.savez(file, means=g.means, quaternions=g.quaternions, scales=g.scales, opacities=g.opacities, colors=g.colors,
             pose=np.asarray(view.world_from_camera), intrinsics=np.asarray(view.intrinsics),
             size=np.array([height, width]))  # fmt: skip


def main() -> None:
    """Run every library and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", default=sys.executable, help="Python of an environment with the other libraries")
    parser.add_argument("--count", type=int, default=400_000)
    parser.add_argument("--size", default="480x832")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=list(LIBRARIES), choices=list(LIBRARIES))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]), given.repeats)
        return
    height, width = (int(side) for side in given.size.split("x"))
    threads = str(given.threads)
    environment = {**os.environ, "NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "JAX_PLATFORMS": "cpu"}
    print(f"{given.count:,} Gaussians, {given.size}, {threads} threads; ms, fastest of up to {given.repeats};"
          f" load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"{'':22s}{'forward':>10s}{'CPU':>10s}{'and back':>10s}{'CPU':>10s}{'like ours':>12s}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scene.npz"
        write_scene(file, given.count, height, width)
        truth = None
        for name in given.only:
            python = sys.executable if name in OWN else given.other
            command = [python, __file__, "--child", name, str(file), "--repeats", str(given.repeats)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            last = (done.stdout.strip().splitlines() or ["{}"])[-1]
            report = json.loads(last) if last.startswith("{") else {}
            if "both" not in report:
                why = report.get("skipped") or f"ended with {done.returncode}: {done.stderr.strip()[-120:]}"
                print(f"{name:22s}  skipped: {why}", flush=True)
                continue
            picture = np.load(file.with_suffix(".picture.npy"))
            truth = picture if truth is None else truth
            error = float(np.mean((picture - truth) ** 2))
            alike = "" if name == "openlyra" else f"{-10 * np.log10(max(error, 1e-12)):9.1f} dB"
            numbers = "".join(f"{value:10,.0f}" for value in (*report["forward"], *report["both"]))
            print(f"{name:22s}{numbers}{alike:>12s}", flush=True)


if __name__ == "__main__":
    main()
