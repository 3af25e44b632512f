"""Fitting a Gaussian scene to posed frames by gradient descent, from geometry that is already there.

A step renders one frame and follows the gradient of: the photometric loss (L1 and 1 - SSIM), relative depth where it
was measured, coverage (the world has no holes), and small pulls towards faint and small Gaussians. Frames of generated
video do not agree with one another everywhere, so pixels count less the worse they fit (Geman-McClure weights) and by
the confidence that comes with the frame. Density follows the relocation rule of `relocate`.
Everything random derives from (seed, step), so an interrupted optimisation goes on from its checkpoint bit for bit.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from openlyra.errors import InputError
from openlyra.gaussians.differentiable import DifferentiableRender, SceneTensors, best_backend, load_differentiable
from openlyra.gaussians.optimise_state import OptimiserState, Rates
from openlyra.gaussians.photometric import photometric
from openlyra.gaussians.posed_frames import PosedFrames
from openlyra.gaussians.reduce import reduced
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera

STEPS = {"cpu": 400, "cuda": 7000, "torch": 50}
"""Steps of the schedule of each backend."""
LAP = 10
"""Steps between looks at the clock, where there is a deadline."""
LEAST_STEPS = 30
"""Taken whatever the clock says."""
_VIEWS, _MOVES, _NOISE = 1, 2, 3


@dataclass(frozen=True)
class OptimiseSettings:
    """How long, how finely and how much may change."""

    steps: int | None = None
    """Steps, one frame each; by default 400 on a CPU, 7000 on a GPU."""
    budget: int | None = None
    """Largest number of Gaussians; by default as many as there are."""
    sh_degree: int = 0
    """Degree of the view-dependent colour, 0 to 3."""
    coarse: float = 1.0
    """Size of the frames at the beginning, as a part of the full size; it doubles until the full size is reached.
    0.25 is quicker and reaches farther where the start is rough; a start that is sharp already loses by it."""
    coarse_share: float = 0.4
    """Part of the steps before the full size, if `coarse` is below 1."""
    structure: float = 0.2
    """Share of 1 - SSIM in the photometric loss; the rest is L1."""
    depth: float = 0.1
    """Weight of the relative depth error, where depth was measured."""
    cover: float = 0.05
    """Weight of holes (1 - alpha)."""
    opacity: float = 0.002
    """Weight of the mean opacity: what is not needed fades, and can be moved where it is."""
    scale: float = 0.002
    """Weight of the mean size in pixels, for Gaussians in sight."""
    robust: float = 0.25
    """Colour error (0 to 1) at which a pixel counts half; 0 counts all alike."""
    exposure: bool | None = None
    """Whether each frame has a gain and an offset of its own; by default for photos only."""
    refine_poses: bool | None = None
    """Whether the cameras may move (all but the first); by default for photos only."""
    relocate_every: int = 50
    """Steps between rounds of relocation, which end after three quarters; 0 means never."""
    noise: float = 0.3
    """Exploration noise of faint Gaussians, in their own deviations, at the start."""
    seed: int = 0
    """Of the order of frames, relocation and noise."""
    backend: str = "auto"
    """auto, cpu, cuda or torch."""

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        if self.steps is not None and self.steps < 1:
            raise InputError(f"steps is {self.steps}; at least 1 is needed")
        if self.budget is not None and self.budget < 1:
            raise InputError(f"budget is {self.budget}; at least 1 Gaussian is needed")
        if not 0 <= self.sh_degree <= 3:
            raise InputError(f"sh_degree is {self.sh_degree}; must be 0 to 3")
        for name, low, high in (("coarse", 0.01, 1.0), ("coarse_share", 0.0, 1.0), ("structure", 0.0, 1.0)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}; must be {low:g} to {high:g}")


@dataclass(frozen=True)
class OptimiseProgress:
    """Where an optimisation is."""

    step: int
    """Steps done."""
    steps: int
    psnr: float
    """Running mean over the frames seen, dB, exposure included."""
    gaussians: int


@dataclass(frozen=True, eq=False)
class OptimiseResult:
    """What came out."""

    gaussians: Gaussians
    cameras: Camera
    """(F,) as given, or refined."""
    gains: np.ndarray
    """(F, 3) exposure: a frame shows gain times the scene's colour plus offset."""
    offsets: np.ndarray
    """(F, 3)"""
    steps: int
    """Taken in all."""
    progress: tuple[OptimiseProgress, ...]
    """One entry a twentieth of the way (of this process: a resumed run starts anew)."""


Report = Callable[[OptimiseProgress], None]


def optimise(
    start: Gaussians,
    frames: PosedFrames,
    settings: OptimiseSettings | None = None,
    *,
    behind: Gaussians | None = None,
    fixed_scene: bool = False,
    checkpoint: Path | None = None,
    checkpoint_every: int = 100,
    anew: bool = False,
    deadline: float | None = None,
    reserve: int = 0,
    report: Report | None = None,
) -> OptimiseResult:
    """Fit a scene to frames.

    Args:
        start: the scene to begin with; brought within the budget first.
        behind: what shows where the scene does not cover, farther away than all of it; it stays as it is and is not
            part of the result.
        fixed_scene: nothing but exposures and the poses of all frames is fitted, to the scene as it is.
        checkpoint: a .safetensors file that is written every `checkpoint_every` steps; if it is there and belongs to
            the same start, frames and settings, the optimisation goes on from it.
        anew: a checkpoint of something else is replaced instead of refused.
        deadline: in the time of `time.perf_counter`: the schedule shrinks to end by then. What comes out then depends
            on how fast the machine is. The time of `reserve` steps is left before it.
        report: called after each step.

    Raises:
        InputError: unusable settings, no Gaussians to start with, or a checkpoint of something else.
    """
    settings = settings or OptimiseSettings()
    settings.check()
    if start.count == 0:
        raise InputError("optimise: there are no Gaussians to start with")
    work = _Optimisation(start, frames, settings, checkpoint, behind, fixed_scene, anew)
    history: list[OptimiseProgress] = []
    for progress in work.go(deadline, reserve):
        if report is not None:
            report(progress)
        if progress.step * 20 // progress.steps > (progress.step - 1) * 20 // progress.steps:
            history.append(progress)
        if checkpoint is not None and (progress.step % checkpoint_every == 0 or progress.step == progress.steps):
            work.state.save(checkpoint, work.key)
    return work.result(tuple(history))


class _Optimisation:
    def __init__(
        self,
        start: Gaussians,
        frames: PosedFrames,
        settings: OptimiseSettings,
        checkpoint: Path | None,
        behind: Gaussians | None,
        fixed_scene: bool,
        anew: bool,
    ) -> None:
        self.settings, self.frames, self.fixed_scene = settings, frames, fixed_scene
        backend = best_backend() if settings.backend == "auto" else settings.backend
        self.renderer = load_differentiable(backend)
        self.device = "cuda" if backend == "cuda" else "cpu"
        self.steps = self.planned = settings.steps or STEPS[backend]
        self.budget = settings.budget or start.count
        self.behind = None if behind is None or not behind.count else SceneTensors.of(behind, device=self.device)
        self.key = _fingerprint(start, frames, settings, self.steps, behind)
        there = checkpoint if checkpoint is not None and checkpoint.is_file() else None
        if there is not None and not (anew and OptimiserState.key_of(there) != self.key):
            self.state = OptimiserState.load(there, self.key, self.device)
        else:
            fitting = reduced(start, frames.cameras, self.budget)
            self.state = OptimiserState.start(fitting, frames.cameras, settings.sh_degree, self.device)
        units, origins = self.state.tensors["units"], self.state.tensors["origins"]
        center = torch.as_tensor(frames.cameras.numpy().center.mean(0), dtype=origins.dtype, device=origins.device)
        self.depth = float((origins - center).norm(dim=1).median()) if len(units) else 1.0
        self.rates = {part: Rates().of(part) for part in self._trained()}

    def _trained(self) -> list[str]:
        parts: list[str] = []
        if not self.fixed_scene:
            parts = ["offsets", "log_scales", "quaternions", "logits", "base_sh"]
            parts += ["other_sh"] if self.state.tensors["other_sh"].shape[1] else []
        parts += ["gains", "shifts"] if self.settings.exposure else []
        return parts + (["twists"] if self.settings.refine_poses else [])

    def go(self, deadline: float | None, reserve: int) -> Iterator[OptimiseProgress]:
        """All steps that are left, or as many as fit before the deadline."""
        size, level, mean_error = None, self.frames, None
        lap, first = time.perf_counter(), self.state.step
        while self.state.step < self.steps:
            step = self.state.step
            wanted = self._size(step)
            if wanted != size:
                size, level = wanted, self.frames.resized(*wanted)
            error = self._step(level, self._frame(step))
            mean_error = error if mean_error is None else 0.95 * mean_error + 0.05 * error
            psnr = -10 * float(np.log10(max(mean_error, 1e-10)))
            yield OptimiseProgress(self.state.step, self.steps, psnr, self.state.count)
            done = self.state.step
            if deadline is not None and (done - first) % LAP == 0:
                now = time.perf_counter()
                room = max(0, int((deadline - now) / (now - lap) * LAP) - reserve)
                self.steps, lap = min(self.planned, max(done + room, LEAST_STEPS)), now

    def _size(self, step: int) -> tuple[int, int]:
        """(height, width) of the frames at this step."""
        coarse_steps, scale = self.settings.coarse_share * self.steps, self.settings.coarse
        stages = int(np.ceil(-np.log2(scale) - 1e-9))
        done = int(step / coarse_steps * stages) if coarse_steps > 0 and stages else stages
        scale = 1.0 if done >= stages else scale * 2.0**done
        height, width = self.frames.size
        return max(1, round(height * scale)), max(1, round(width * scale))

    def _frame(self, step: int) -> int:
        """Which frame a step looks at: every frame once in a random order, then again in another."""
        count = len(self.frames)
        rng = np.random.default_rng([self.settings.seed, _VIEWS, step // count])
        return int(rng.permutation(count)[step % count])

    def _step(self, level: PosedFrames, index: int) -> float:
        """One step; returns the mean squared colour error of the frame before it."""
        settings, state = self.settings, self.state
        left = 0.01 ** (state.step / self.steps)
        scene = state.scene()
        camera = state.camera(level.cameras, index, bool(settings.refine_poses), tied=not self.fixed_scene)
        seen = self.renderer(scene, camera, (0.0, 0.0, 0.0))
        color = seen.color
        if self.behind is not None:
            with torch.no_grad():
                backdrop = self.renderer(self.behind, camera, (0.0, 0.0, 0.0)).color
            color = color + (1 - seen.alpha)[..., None] * backdrop
        if settings.exposure:
            color = state.exposed(color, index)
        target = torch.from_numpy(level.images[index]).to(self.device).float() / 255
        difference = color.detach().clamp(0, 1) - target
        weight = self._weight(level, index, difference)
        loss = photometric(color, target, weight, settings.structure) + self._regularisers(level, index, seen, weight)
        loss = loss + settings.opacity * scene.opacities.mean()
        loss = loss + settings.scale * (scene.scales / state.tensors["units"][:, None]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        slow = {part: rate * (left if part == "offsets" else left**0.5) for part, rate in self.rates.items()}
        state.update(slow, index, self.depth)
        self._densify(left)
        return float((difference**2).mean())

    def _weight(self, level: PosedFrames, index: int, difference: torch.Tensor) -> torch.Tensor:
        """(H, W) how much each pixel counts."""
        residual = difference.abs().mean(-1)
        limit = self.settings.robust
        weight = limit**2 / (limit**2 + residual**2) if limit > 0 else torch.ones_like(residual)
        if level.confidence is not None:
            weight = weight * torch.from_numpy(level.confidence[index]).to(self.device)
        return weight

    def _regularisers(
        self, level: PosedFrames, index: int, seen: DifferentiableRender, weight: torch.Tensor
    ) -> torch.Tensor:
        total = self.settings.cover * (1 - seen.alpha).mean()
        if level.depth is not None and self.settings.depth > 0:
            depth = torch.from_numpy(level.depth[index]).to(self.device)
            usable = np.ones(level.size, bool) if level.valid is None else level.valid[index].copy()
            if level.sky is not None:
                usable &= ~level.sky[index]
            mask = torch.from_numpy(usable).to(self.device) & (seen.alpha > 0.5)
            relative = (seen.depth - depth) / torch.where(mask, depth, 1.0)
            # Beyond a fifth the two show different surfaces, which no small step reconciles: the pull stays constant.
            pull = torch.nn.functional.smooth_l1_loss(relative, torch.zeros_like(relative), reduction="none", beta=0.2)
            total = total + self.settings.depth * torch.where(mask, pull * weight, 0.0).mean()
        return total

    def _densify(self, left: float) -> None:
        settings, step = self.settings, self.state.step
        if settings.relocate_every <= 0 or step >= 0.75 * self.steps or self.fixed_scene:
            return
        if settings.noise > 0:
            seed = int(np.random.SeedSequence([settings.seed, _NOISE, step]).generate_state(1)[0])
            self.state.shake(settings.noise * left, seed)
        if step % settings.relocate_every == 0:
            self.state.relocate(self.budget, np.random.default_rng([settings.seed, _MOVES, step]))

    def result(self, history: tuple[OptimiseProgress, ...]) -> OptimiseResult:
        """The scene as it is now."""
        cameras = self.frames.cameras
        if self.settings.refine_poses:
            cameras = self.state.refined_cameras(cameras, tied=not self.fixed_scene)
        gains, offsets = (part.cpu().numpy() for part in self.state.exposures())
        return OptimiseResult(self.state.gaussians(), cameras, gains, offsets, self.state.step, history)


def _fingerprint(
    start: Gaussians,
    frames: PosedFrames,
    settings: OptimiseSettings,
    steps: int,
    behind: Gaussians | None,
) -> str:
    """What a checkpoint belongs to: a hash of all inputs."""
    digest = hashlib.sha256(repr((sorted(asdict(settings).items()), steps)).encode())
    cameras = frames.cameras.numpy()
    arrays = [getattr(part, field.name) for part in (start, behind) if part is not None for field in fields(Gaussians)]
    arrays += [frames.images, cameras.world_from_camera, cameras.intrinsics]
    arrays += [a for a in (frames.depth, frames.valid, frames.sky, frames.confidence) if a is not None]
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
