"""What an optimisation changes: Gaussians in free parameters, exposures and poses, Adam's averages, and their file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from openlyra.errors import InputError
from openlyra.gaussians.differentiable import SceneTensors, camera_values
from openlyra.gaussians.relocate import choose, copies_of, exploration_noise, split_opacity_and_scale
from openlyra.gaussians.types import Gaussians
from openlyra.geometry.camera import Camera
from openlyra.geometry.poses import se3_exp
from openlyra.media.atomic import write_bytes_atomic

GAUSSIAN_PARTS = ("offsets", "log_scales", "quaternions", "logits", "base_sh", "other_sh")
FIXED_PARTS = ("origins", "units")
COUNTS = ("looks",)
FRAME_PARTS = ("gains", "shifts", "twists")
_MOST_OPAQUE = 0.9999


@dataclass(frozen=True)
class Rates:
    """Learning rates at the start, as fractions of the natural unit of each part."""

    means: float = 0.03
    """Pixels (of the nearest frame at full size) a step."""
    scales: float = 0.01
    """Of the logarithm."""
    rotations: float = 0.002
    opacities: float = 0.03
    """Of the logit."""
    colors: float = 0.004
    """Of the base coefficient; the others move at a twentieth."""
    exposures: float = 0.01
    """A look at the frame."""
    turns: float = 0.0006
    """Of a camera, radians a look at the frame."""
    shifts: float = 0.0004
    """Of a camera, as a part of how deep the scene is, a look at the frame."""

    def of(self, part: str) -> float:
        """The rate of a parameter tensor."""
        return {
            "offsets": self.means, "log_scales": self.scales, "quaternions": self.rotations, "logits": self.opacities,
            "base_sh": self.colors, "other_sh": self.colors / 20, "gains": self.exposures, "shifts": self.exposures,
            "twists": self.turns,
        }[part]  # fmt: skip


class OptimiserState:
    """All tensors of an optimisation by name. Means are origins + units * offsets, the unit being a pixel's width."""

    def __init__(self, tensors: dict[str, torch.Tensor], moments: dict[str, torch.Tensor], step: int = 0) -> None:
        self.tensors = tensors
        self.moments = moments
        """'first.<part>' and 'second.<part>': Adam's running averages."""
        self.step = step
        for name in (*GAUSSIAN_PARTS, *FRAME_PARTS):
            self.tensors[name].requires_grad_()

    @staticmethod
    def start(scene: Gaussians, cameras: Camera, sh_degree: int, device: str) -> OptimiserState:
        """From a scene and the (F,) cameras it is fitted to."""
        scene = scene.with_sh_degree(max(sh_degree, scene.sh_degree))
        values = SceneTensors.of(scene, device=device)
        opacities = values.opacities.clamp(1e-4, _MOST_OPAQUE)
        frames = len(cameras)
        tensors = {
            "origins": values.means, "units": _pixel_widths(values.means, cameras),
            "offsets": torch.zeros_like(values.means), "log_scales": values.scales.clamp_min(1e-8).log(),
            "quaternions": values.quaternions, "logits": torch.logit(opacities), "base_sh": values.sh[:, :1].clone(),
            "other_sh": values.sh[:, 1:].clone(), "gains": torch.ones(frames, 3, device=device),
            "shifts": torch.zeros(frames, 3, device=device),
            "twists": torch.zeros(frames, 6, dtype=torch.float64),
            "looks": torch.zeros(frames, dtype=torch.int64),
        }  # fmt: skip
        trained = (*GAUSSIAN_PARTS, *FRAME_PARTS)
        moments = {
            f"{order}.{name}": torch.zeros_like(tensors[name]) for order in ("first", "second") for name in trained
        }
        return OptimiserState(tensors, moments)

    @property
    def count(self) -> int:
        """Number of Gaussians."""
        return len(self.tensors["offsets"])

    def scene(self) -> SceneTensors:
        """The Gaussians, with gradients to the parameters."""
        t = self.tensors
        sh = torch.cat([t["base_sh"], t["other_sh"]], 1) if t["other_sh"].shape[1] else t["base_sh"]
        means = t["origins"] + t["units"][:, None] * t["offsets"]
        return SceneTensors(means, t["quaternions"], t["log_scales"].exp(), torch.sigmoid(t["logits"]), sh)

    def camera(self, cameras: Camera, frame: int, refined: bool, tied: bool = True) -> Camera:
        """The camera of a frame. If `tied`, the first frame's pose does not move and so ties the scene down."""
        camera = cameras[frame].torch(torch.float64)
        if not refined or (tied and frame == 0):
            return camera
        pose = camera.world_from_camera @ se3_exp(self.tensors["twists"][frame])
        return Camera(pose, camera.intrinsics, camera.width, camera.height)

    def refined_cameras(self, cameras: Camera, tied: bool = True) -> Camera:
        """(F,) all of them, NumPy."""
        with torch.no_grad():
            found = [camera_values(self.camera(cameras, i, True, tied)) for i in range(len(cameras))]
        poses = [camera.world_from_camera for camera in found]
        return Camera(np.stack(poses), cameras.numpy().intrinsics, cameras.width, cameras.height)

    def gaussians(self) -> Gaussians:
        """The Gaussians that can be seen at all, quaternions of length 1."""
        with torch.no_grad():
            scene = self.scene()
            unit = torch.nn.functional.normalize(scene.quaternions, dim=-1)
            visible = scene.opacities > 1 / 255
            tensors = (scene.means, unit, scene.scales, scene.opacities, scene.sh)
            return Gaussians(*(tensor[visible].cpu().numpy() for tensor in tensors))

    def exposed(self, color: torch.Tensor, frame: int) -> torch.Tensor:
        """The (H, W, 3) colours as a frame shows them: times its gain plus its shift, the median frame's being 1 and 0.

        Without that rule scene and exposures could drift apart together.
        """
        gains, shifts = self.tensors["gains"], self.tensors["shifts"]
        return color * (gains[frame] / _median(gains)) + (shifts[frame] - _median(shifts))

    def exposures(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(F, 3) gains and (F, 3) shifts under the same rule."""
        gains, shifts = self.tensors["gains"].detach(), self.tensors["shifts"].detach()
        return gains / _median(gains), shifts - _median(shifts)

    def update(self, rates: dict[str, float], frame: int, depth: float) -> None:
        """One step of Adam (Kingma & Ba 2015; 0.9, 0.999) with the gradients that are there, which are cleared.

        Of exposures and poses only those of the frame that was looked at move, by its own number of looks. `depth` is
        how deep the scene is: cameras shift by parts of it.
        """
        self.step += 1
        self.tensors["looks"][frame] += 1
        looks = int(self.tensors["looks"][frame])
        with torch.no_grad():
            for name, rate in rates.items():
                gradient = self.tensors[name].grad
                if gradient is None:
                    continue
                own = name in FRAME_PARTS
                rows = slice(frame, frame + 1) if own else slice(None)
                count = looks if own else self.step
                correction = math.sqrt(1 - 0.999**count) / (1 - 0.9**count)
                first, second = self.moments[f"first.{name}"][rows], self.moments[f"second.{name}"][rows]
                g = gradient[rows]
                first.lerp_(g, 0.1)
                second.mul_(0.999).addcmul_(g, g, value=0.001)
                down = second.sqrt().add_(1e-15)
                if name == "twists":
                    down[:, :3] *= Rates.turns / (Rates.shifts * depth)
                self.tensors[name][rows].addcdiv_(first, down, value=-rate * correction)
                self.tensors[name].grad = None

    def shake(self, amount: float, seed: int) -> None:
        """Move faint Gaussians by `amount` times a noise of their own size."""
        t = self.tensors
        with torch.no_grad():
            generator = torch.Generator().manual_seed(seed)
            opacities = torch.sigmoid(t["logits"])
            which, steps = exploration_noise(t["log_scales"].exp(), t["quaternions"], opacities, generator)
            t["offsets"][which] += amount * steps / t["units"][which, None]

    def relocate(self, budget: int, rng: np.random.Generator) -> int:
        """One round of `relocate`'s rule; returns how many Gaussians moved or were added."""
        with torch.no_grad():
            t = self.tensors
            opacities = torch.sigmoid(t["logits"])
            movers, sources, grown = choose(opacities.cpu().numpy(), budget, rng)
            if not len(movers):
                return 0
            self._grow(grown)
            copies = np.array(copies_of(sources, self.count))
            shared = torch.from_numpy(np.flatnonzero(copies > 1))
            opacity, factor = split_opacity_and_scale(
                opacities[shared], torch.from_numpy(copies)[shared].to(opacities.device)
            )
            t["logits"][shared] = torch.logit(opacity.clamp(DEAD_FLOOR, _MOST_OPAQUE))
            t["log_scales"][shared] += factor.log()[:, None]
            to, source = torch.tensor(movers), torch.tensor(sources)
            for name in (*GAUSSIAN_PARTS, *FIXED_PARTS):
                t[name][to] = t[name][source]
            for name in GAUSSIAN_PARTS:
                for order in ("first", "second"):
                    self.moments[f"{order}.{name}"][torch.cat([shared, to])] = 0
        return len(movers)

    def _grow(self, by: int) -> None:
        if by == 0:
            return
        for name in (*GAUSSIAN_PARTS, *FIXED_PARTS):
            old = self.tensors[name].detach()
            self.tensors[name] = torch.cat([old, old.new_zeros(by, *old.shape[1:])])
            if name in GAUSSIAN_PARTS:
                self.tensors[name].requires_grad_()
                for order in ("first", "second"):
                    moment = self.moments[f"{order}.{name}"]
                    self.moments[f"{order}.{name}"] = torch.cat([moment, moment.new_zeros(by, *moment.shape[1:])])

    def save(self, path: Path, key: str) -> None:
        """Write a checkpoint in one step; `key` says what it belongs to."""
        from safetensors.torch import save

        everything = {**self.tensors, **self.moments}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in everything.items()}
        write_bytes_atomic(path, save(tensors, {"key": key, "step": str(self.step)}))

    @staticmethod
    def key_of(path: Path) -> str | None:
        """What a checkpoint belongs to; None if it is not readable."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                return (file.metadata() or {}).get("key")
        except (SafetensorError, OSError):
            return None

    @staticmethod
    def load(path: Path, key: str, device: str) -> OptimiserState:
        """Read a checkpoint. InputError if it is none or was made for other frames or settings."""
        from safetensors import SafetensorError, safe_open

        trained = (*GAUSSIAN_PARTS, *FRAME_PARTS)
        try:
            with safe_open(path, "pt") as file:
                meta = file.metadata() or {}
                if meta.get("key") != key:
                    raise InputError(
                        f"{path}: belongs to other frames or settings; use the same, or begin anew with --overwrite"
                    )
                moments = {
                    f"{order}.{name}": file.get_tensor(f"{order}.{name}")
                    for order in ("first", "second")
                    for name in trained
                }
                tensors = {name: file.get_tensor(name) for name in (*trained, *FIXED_PARTS, *COUNTS)}
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: is not a readable checkpoint ({error})".replace("\n", " ")) from None
        here = {name: tensor if name in ("twists", *COUNTS) else tensor.to(device) for name, tensor in tensors.items()}
        averages = {name: m if name.endswith("twists") else m.to(device) for name, m in moments.items()}
        return OptimiserState(here, averages, int(meta["step"]))


DEAD_FLOOR = 0.0051
"""Copies start a little above the opacity at which they would count as dead."""


def _pixel_widths(means: torch.Tensor, cameras: Camera) -> torch.Tensor:
    """(N,) width in scene units of a pixel of the nearest camera at each Gaussian."""
    centers = torch.tensor(cameras.numpy().center, dtype=means.dtype, device=means.device)
    focal = float(np.median(cameras.numpy().intrinsics[:, 0, 0]))
    step = max(1, len(centers) // 16)
    nearest = torch.stack([(means - center).norm(dim=1) for center in centers[::step]]).min(0).values
    return (nearest / focal).clamp_min(1e-6)


def _median(values: torch.Tensor) -> torch.Tensor:
    """(3,) over frames, without gradient."""
    return values.detach().median(0).values
