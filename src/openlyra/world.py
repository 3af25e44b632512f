"""The front door: one photo in, a world out."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from openlyra.depth import load_depth
from openlyra.depth.base import FAR_SKY, DepthEstimator, DepthResult
from openlyra.errors import InputError, OutputExistsError
from openlyra.evaluation.run import RunReport, evaluate_run
from openlyra.explorer.contact_sheet import write_contact_sheet
from openlyra.explorer.viewer import export_viewer
from openlyra.formats import read_gaussians, write_gaussians
from openlyra.gaussians.budget import within_budget
from openlyra.gaussians.types import Gaussians
from openlyra.generation import load_generator
from openlyra.generation.base import Advance, WalkInput
from openlyra.generation.new_surface import unseen_part
from openlyra.generation.plan import PathRequest, plan_path
from openlyra.generation.surfaces import Surfaces
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.geometry.depth_edges import outlines_to_front
from openlyra.geometry.trajectory_io import read_trajectory, write_trajectory
from openlyra.media.image import FittedPhoto, fit_photo, read_photo, write_image
from openlyra.media.video import VideoWriter
from openlyra.memory.frame import MemoryFrame
from openlyra.models.licences import LICENCES, licence_of_source, recorded, require_accepted
from openlyra.models.registry import licence_of_repository
from openlyra.runs import Manifest, RunFolder
from openlyra.runs.folder import PHOTO
from openlyra.runs.manifest import sha256

REPORT_EVERY = 8
MAX_SIDE, MIN_SIDE = 4096, 32
MAX_FRAMES = 100_000
MAX_BESIDE = 0.5
GENERATOR_OPTIONS = ("model", "inpaint_model", "captions", "steps", "guidance", "fast")
"""Settings that only some generators have."""


@dataclass(frozen=True)
class CreateSettings:
    """Everything that shapes a world. Two runs with the same settings on the same machine give the same bytes."""

    path: str = "walk"
    """Camera path: a preset (see `openlyra info presets`) or a file: Lyra trajectory.npz, nerfstudio camera path,
    transforms.json, cameras.json, or a folder with a COLMAP text model."""
    frames: int = 81
    """Number of video frames, 16 a second."""
    size: str = "480x832"
    """Height x width of the video in pixels."""
    generator: str = "exemplar"
    """What paints what the photo does not show: exemplar (copies from the photo), inpaint (the same walk, painted by an
    image network) or lyra (a video network)."""
    depth: str = "nano"
    """What estimates depth: nano (a small network inside the package), layout (no weights) or depth-anything (downloads
    weights)."""
    scale: float = 1.0
    """Factor on the estimated depth, for a world that comes out too small (above 1) or too large (below 1)."""
    strength: float | None = None
    """How far the path goes: for a preset a number as in `openlyra info presets`, for a file a factor on its length."""
    beside: float = 0.1
    """How far to both sides of the path the scene is completed as well, after the video, as a part of the distance to
    what is near in the photo; 0 for the path alone (quicker, a smaller scene). Not for lyra at full size."""
    seed: int = 0
    """Seed of all random choices."""
    quality: Literal["preview", "web", "full"] = "web"
    """Largest number of Gaussians: preview 500,000, web 2,000,000, full 10,000,000."""
    fit: Literal["crop", "pad"] = "crop"
    """How a photo of another shape meets the size: cut what exceeds, or keep all of it and imagine the borders."""
    fov: float | None = None
    """Vertical field of view of the whole photo in degrees; from EXIF or estimated if not given."""
    model: str | None = None
    """lyra: nano (small, inside the package) if not given; a folder with weights, trained here or converted; or toy
    (small random weights, to try the whole way out)."""
    captions: str | None = None
    """lyra: a text, or a JSON file {"0": "...", "81": "..."} with a text for each stretch of 80 new frames."""
    steps: int | None = None
    """lyra: network calls for each stretch; the model's own number if not given (35 for the released weights)."""
    guidance: float | None = None
    """lyra: how strongly the captions steer; 5 for the released weights if not given; 1 halves the work."""
    fast: bool = False
    """lyra: the four-step sampler, for weights that were distilled."""
    inpaint_model: str | None = None
    """inpaint: Hub id or folder of a diffusers inpainting pipeline."""
    accept_license: str = ""
    """Licences without commercial use that you accept, by name, with commas (see `openlyra models list`)."""

    def weights_licences(self) -> dict[str, str]:
        """Licence name of the weights of the generator, by where they are; without those that were trained here."""
        found: dict[str, str] = {}
        if self.model is not None and Path(self.model).is_dir():
            found = {f"{self.model}/{entry.part}": entry.licence for entry in recorded(Path(self.model))}
        if self.inpaint_model is not None:
            folder = Path(self.inpaint_model)
            stated = licence_of_source(folder)[1] if folder.is_dir() else licence_of_repository(self.inpaint_model)
            found[self.inpaint_model] = stated
        return found

    def generator_options(self) -> dict[str, Any]:
        """Options of the generator that were given, by name."""
        given = {name: getattr(self, name) for name in GENERATOR_OPTIONS}
        return {name: value for name, value in given.items() if value is not None and value is not False}

    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels. Raises InputError."""
        parts = self.size.lower().split("x")
        if len(parts) != 2 or not all(part.isdigit() for part in parts):
            raise InputError(f"--size {self.size}: give height x width in pixels, such as 480x832")
        height, width = int(parts[0]), int(parts[1])
        if not (MIN_SIDE <= height <= MAX_SIDE and MIN_SIDE <= width <= MAX_SIDE) or height % 2 or width % 2:
            raise InputError(f"--size {self.size}: height and width must be even and from {MIN_SIDE} to {MAX_SIDE}")
        return height, width

    def check(self) -> None:
        """Raise InputError for values that cannot work."""
        self.shape()
        if not 1 <= self.frames <= MAX_FRAMES:
            raise InputError(f"--frames {self.frames}: must be from 1 to {MAX_FRAMES}")
        if self.strength is not None and not (np.isfinite(self.strength) and self.strength > 0):
            raise InputError(f"--strength {self.strength}: must be a positive number")
        if not (np.isfinite(self.scale) and 0.01 <= self.scale <= 100):
            raise InputError(f"--scale {self.scale}: must be from 0.01 to 100")
        if self.fov is not None and not 5 <= self.fov <= 150:
            raise InputError(f"--fov {self.fov}: must be from 5 to 150 degrees")
        if not (np.isfinite(self.beside) and 0 <= self.beside <= MAX_BESIDE):
            raise InputError(f"--beside {self.beside}: must be from 0 to {MAX_BESIDE}")
        load_generator(self.generator, **self.generator_options()).check(self.frames)
        accepted = [name.strip() for name in self.accept_license.split(",") if name.strip()]
        for where, licence in self.weights_licences().items():
            require_accepted([licence], accepted, where)


class World:
    """A finished run: the files in its folder, read when asked for."""

    def __init__(self, folder: Path, keep_alive: object = None) -> None:
        self.run = RunFolder.open(folder)
        self._keep_alive = keep_alive

    @property
    def folder(self) -> Path:
        """Where the files are. A world made without an output folder lives in a temporary one until `save`."""
        return self.run.path

    @property
    def trajectory(self) -> Trajectory:
        """The path actually used."""
        return read_trajectory(self.folder / "cameras.json")

    @property
    def gaussians(self) -> Gaussians:
        """The scene."""
        return read_gaussians(self.folder / "scene.ply")

    @property
    def report(self) -> RunReport:
        """Measured again, over the whole path."""
        return evaluate_run(self.run)

    def frame(self, index: int) -> np.ndarray:
        """A video frame, uint8 (H, W, 3)."""
        return self.run.read_frame(index)

    def __len__(self) -> int:
        return len(self.trajectory)

    def save(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Copy the run to a folder. Raises OutputExistsError if there is something and ``overwrite`` is not set."""
        target = Path(folder)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            if not overwrite or not (target / "run.json").is_file():
                raise OutputExistsError(f"{target}: exists; give a new folder")
            shutil.rmtree(target)
        shutil.copytree(self.folder, target, dirs_exist_ok=True)
        return target


def create(
    photo: str | Path,
    output: str | Path | None = None,
    *,
    settings: CreateSettings | None = None,
    resume: bool = False,
    overwrite: bool = False,
    advance: Advance | None = None,
    **changes: Any,
) -> World:
    """Make a world from a photo: video, Gaussian scene and a page to look around in.

    Args:
        photo: PNG, JPEG or WebP file.
        output: run folder; a temporary one if not given (keep it with `World.save`).
        settings: see `CreateSettings`; single settings can be given by name instead, as in
            ``create(p, path="orbit", frames=161)``.
        resume: continue an interrupted run in ``output``.
        overwrite: replace a run in ``output``.
        advance: called with (stage, done, total) as the work goes on.

    Raises:
        OpenLyraError: with one line that says what is wrong with the input.
    """
    settings = settings or CreateSettings()
    settings = CreateSettings(**{**asdict(settings), **changes})
    settings.check()
    temporary = tempfile.TemporaryDirectory(prefix="openlyra-") if output is None else None
    folder = Path(temporary.name) if temporary else Path(output or "")
    work = _Creation(Path(photo), settings, advance or (lambda stage, done, total: None))
    work.run_in(folder, resume, overwrite)
    return World(folder, temporary)


class _Creation:
    """The stages of one run, in order. Each leaves its files behind and is skipped when they are there."""

    def __init__(self, photo: Path, settings: CreateSettings, advance: Advance) -> None:
        self.photo_path, self.settings, self.advance = photo, settings, advance
        self.height, self.width = settings.shape()
        # Read before the folder is touched: wrong input must not leave anything behind.
        self.fitted, self.photo_size = self._fit(photo)
        self.request = PathRequest(settings.path, settings.frames, settings.strength, self.photo_size, self.fitted)
        self.generator = load_generator(settings.generator, **settings.generator_options())
        # Last, because only this may load weights.
        self.estimator: DepthEstimator = load_depth(settings.depth)

    def _fit(self, photo: Path) -> tuple[FittedPhoto, tuple[int, int]]:
        read = read_photo(photo)
        size = (read.image.shape[0], read.image.shape[1])
        return fit_photo(read, self.height, self.width, self.settings.fit), size

    def _manifest(self) -> Manifest:
        inputs = {"photo": self.photo_path.name, "photo_sha256": sha256(self.photo_path)}
        if self.request.from_file is not None:
            cameras = self.request.from_file.cameras
            numbers = np.concatenate([np.ravel(cameras.world_from_camera), np.ravel(cameras.intrinsics)])
            inputs |= {"path_sha256": hashlib.sha256(numbers.astype("<f8").tobytes()).hexdigest()}
        for file in self.generator.inputs():
            inputs |= {f"{file.name}_sha256": sha256(file)}
        return Manifest(asdict(self.settings), inputs)

    def run_in(self, folder: Path, resume: bool, overwrite: bool) -> None:
        run = RunFolder.start(folder, self._manifest(), resume, overwrite)
        stages: list[tuple[str, Callable[[RunFolder], None]]] = [
            ("depth", self._depth_stage), ("walk", self._walk_stage), ("scene", self._scene_stage),
            ("video", self._video_stage), ("viewer", self._viewer_stage), ("report", self._report_stage),
        ]  # fmt: skip
        for name, stage in stages:
            if not run.done(name):
                with run.stage(name):
                    stage(run)
        if not run.manifest.finished:
            run.finish()

    def _depth_stage(self, run: RunFolder) -> None:
        self.advance("depth", 0, 1)
        focal = self.request.focal() or self._focal_from_fov() or self.fitted.focal
        result = self.estimator.estimate(self.fitted.image, focal)
        result = replace(result, depth=result.depth * np.float32(self.settings.scale))
        result.validate()
        if result.licence:
            run.manifest.licences[result.backend] = result.licence
        frame = self._photo_frame(result)
        trajectory = plan_path(self.request, frame)
        write_image(run.path / "input.png", self.fitted.image)
        write_trajectory(trajectory, run.path / "cameras.json")
        write_trajectory(trajectory, run.path / "cameras.npz")
        if not run.memory_indices():
            run.remember(frame)
        self.advance("depth", 1, 1)

    def _focal_from_fov(self) -> float | None:
        if self.settings.fov is None:
            return None
        return self.photo_size[0] * self.fitted.scale / (2 * np.tan(np.radians(self.settings.fov) / 2))

    def _photo_frame(self, result: DepthResult) -> MemoryFrame:
        """The photo as the first remembered frame: outlines belong to the front, sky is far away."""
        depth, sky = outlines_to_front(self.fitted.image, result.depth, result.sky)
        far = FAR_SKY * float(np.median(depth[~sky])) if (~sky).any() else FAR_SKY
        depth = np.where(sky, far, np.minimum(depth, 0.8 * far)).astype(np.float32)
        intrinsics = np.array([[result.focal, 0, self.width / 2], [0, result.focal, self.height / 2], [0, 0, 1]])
        camera = Camera(np.eye(4), intrinsics, self.width, self.height)
        return MemoryFrame(PHOTO, self.fitted.image, depth, result.valid & self.fitted.valid, sky, camera)

    def _walk_stage(self, run: RunFolder) -> None:
        for where, licence in self.settings.weights_licences().items():
            run.manifest.licences[where] = LICENCES[licence].title
        photo = run.load_photo()
        far = FAR_SKY * float(np.median(photo.depth[~photo.sky])) if (~photo.sky).any() else FAR_SKY
        path, beside = read_trajectory(run.path / "cameras.json"), self.settings.beside * _focus(photo)
        start = WalkInput(path, far, self.settings.seed, self.estimator, beside)
        self.generator.walk(start, run, self.advance)

    def _scene_stage(self, run: RunFolder) -> None:
        frames = run.remembered()
        surfaces = Surfaces()
        for number, frame in enumerate(frames):
            self.advance("scene", number, len(frames) + 1)
            whole = number > 0 and self.generator.remembers_whole_frames
            surfaces.add(unseen_part(frame, surfaces, frames[:number]) if whole else frame, made=number > 0)
        assert surfaces.gaussians is not None
        path = read_trajectory(run.path / "cameras.json")
        scene = within_budget(surfaces.gaussians, path.cameras, self.settings.quality)
        write_gaussians(scene, run.path / "scene.ply")
        write_contact_sheet(run, surfaces, path)
        self.advance("scene", len(frames) + 1, len(frames) + 1)

    def _video_stage(self, run: RunFolder) -> None:
        path = read_trajectory(run.path / "cameras.json")
        with VideoWriter(run.path / "video.mp4", path.fps, (self.height, self.width)) as video:
            for index in range(len(path)):
                video.write(run.read_frame(index))
                self.advance("video", index + 1, len(path))

    def _viewer_stage(self, run: RunFolder) -> None:
        self.advance("viewer", 0, 1)
        photo = run.load_photo()
        export_viewer(
            read_gaussians(run.path / "scene.ply"), run.path / "viewer.html",
            trajectory=read_trajectory(run.path / "cameras.json"), title=self.photo_path.stem,
            focus=_focus(photo),
        )  # fmt: skip
        self.advance("viewer", 1, 1)

    def _report_stage(self, run: RunFolder) -> None:
        self.advance("report", 0, 1)
        evaluate_run(run, every=REPORT_EVERY)
        self.advance("report", 1, 1)


def _focus(photo: MemoryFrame) -> float:
    """Distance of what is near in the photo, in scene units: the quarter of it that is nearest ends there."""
    return float(np.percentile(photo.depth[photo.valid], 25))
