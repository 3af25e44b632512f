"""The Lyra 2.0 generator (arXiv 2604.13036): a video diffusion transformer that remembers where it has been.

Chunk by chunk: retrieve remembered frames, warp, sample latents, decode, encode the pixels again, measure depth,
remember. Any number of frames is walked: the path is padded with its last camera to whole chunks, and what is too much
is dropped. The networks see frames of their own working size; what leaves the walk has the size of the run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from openlyra.errors import InputError
from openlyra.generation.base import Advance, WalkInput, WalkStore
from openlyra.generation.captions import chunk_captions, read_captions
from openlyra.generation.carried_depth import CarriedDepth
from openlyra.generation.conditioning import ConditioningSettings
from openlyra.generation.denoise import SeededNoise, VideoNetwork
from openlyra.generation.latent_store import LatentStore
from openlyra.generation.latent_walk import DepthSource, LatentWalk, WalkSettings, WalkState
from openlyra.generation.lyra_models import NANO_NAME, ModelInfo, model_info, working_size
from openlyra.generation.measured_depth import MeasuredDepth
from openlyra.generation.small_detail import carry_detail
from openlyra.generation.walk_frames import RunFrames, SmallFrames, WalkFrames
from openlyra.geometry.camera import Camera, Trajectory
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.small_folder import SmallModel
from openlyra.sampling import FewStep, Sampler, SamplerState, UniPC

FAST_STEPS = 4
MOST_STEPS = 1000


@dataclass(frozen=True)
class LyraSettings:
    """How the lyra generator walks."""

    model: str = NANO_NAME
    """`nano` (inside the package), a folder that `openlyra train world` or `openlyra models convert` made, or `toy`."""
    captions: str | None = None
    """A text for all chunks, or a JSON file with a text a chunk by frame index."""
    steps: int | None = None
    """Network calls a chunk (and branch of guidance); the model's own number if absent."""
    guidance: float | None = None
    """How strongly captions steer; 1 halves the work. The model's own number if absent."""
    shift: float = 5.0
    """How much of the steps goes to high noise."""
    fast: bool = False
    """The four-step sampler, for weights with the distilled adapter merged in."""
    retrieval_views: int = 1
    """New frames of a chunk for which remembered ones are looked up."""


class LyraGenerator:
    """See the module's text; settings in `LyraSettings`."""

    def __init__(self, settings: LyraSettings | None = None) -> None:
        """Checks the settings and looks the model up. Raises InputError; loads nothing."""
        self.settings = settings = settings or LyraSettings()
        self.info: ModelInfo = model_info(settings.model)
        self.layout = self.info.layout
        if settings.steps is not None and not 1 <= settings.steps <= MOST_STEPS:
            raise InputError(f"--steps {settings.steps}: must be from 1 to {MOST_STEPS}")
        if settings.guidance is not None and not 0 <= settings.guidance <= 100:
            raise InputError(f"--guidance {settings.guidance}: must be from 0 to 100")
        if settings.fast and (settings.steps not in (None, FAST_STEPS) or settings.guidance not in (None, 1.0)):
            raise InputError(f"--fast has {FAST_STEPS} steps and no guidance; leave --steps and --guidance out")
        if not 1 <= settings.retrieval_views <= self.layout.new_pixel_frames:
            raise InputError(
                f"--retrieval-views {settings.retrieval_views}: must be from 1 to {self.layout.new_pixel_frames}"
            )
        if self.info.small is not None:
            self._check_small(self.info.small)
        self.remembers_whole_frames = self.info.small is None

    def _check_small(self, small: SmallModel) -> None:
        if self.settings.fast and not small.few_step:
            raise InputError(f"--fast: {self.settings.model} was not distilled to few steps; leave it out")
        if self.settings.captions is not None:
            raise InputError(f"--captions: {self.settings.model} was trained without captions; leave it out")
        if self.settings.guidance not in (None, 1.0):
            raise InputError(f"--guidance: {self.settings.model} has no captions to lead to; leave it out")
        if small.few_step:
            FewStep(self.steps, small.shift)  # refuses numbers of calls it cannot make

    @property
    def steps(self) -> int:
        """Network calls a chunk."""
        released_fast = self.settings.fast and self.info.small is None
        return FAST_STEPS if released_fast else self.settings.steps or self.info.steps

    @property
    def guidance(self) -> float:
        """Strength of the caption."""
        if self.settings.fast:
            return 1.0
        return self.info.guidance if self.settings.guidance is None else self.settings.guidance

    def inputs(self) -> list[Path]:
        """Files, besides photo and path, that the result depends on."""
        file = self._captions_file()
        return [] if file is None else [file]

    def check(self, frames: int) -> None:
        """Raise InputError for captions that do not fit a walk of so many frames."""
        self._chunk_captions(frames)

    def chunks(self, frames: int) -> int:
        """Whole chunks that cover so many frames."""
        return -(-(frames - 1) // self.layout.new_pixel_frames)

    def load_network(self) -> LyraDiT:
        """The video transformer alone, for a process that only helps with it."""
        from openlyra.generation.lyra_load import load_network

        return load_network(self.info, self.settings.fast)

    def walk(self, start: WalkInput, store: WalkStore, advance: Advance) -> None:
        """Fill the store with all frames of the path. What was done before an interruption is not done again."""
        drawn = all(store.has_frame(index) for index in range(len(start.trajectory)))
        latents = LatentStore(store.work_folder())
        photo = store.load_photo()
        size = working_size(photo.height, photo.width, self.info.pixels)
        first = replace(photo.resized(*size), index=0)
        if self.info.small is None:
            if not drawn:
                kept = RunFrames(store, photo.height, photo.width)
                self._all_chunks(start, first, as_pixels(photo.image), latents, kept, advance)
        else:
            small = SmallFrames(latents.folder)
            if not drawn:
                self._all_chunks(start, first, as_pixels(first.image), latents, small, advance)
            carry_detail(start, store, small, advance)
        latents.clear()

    def _all_chunks(
        self, start: WalkInput, photo: MemoryFrame, pixels: Tensor, latents: LatentStore, kept: WalkFrames,
        advance: Advance,
    ) -> None:  # fmt: skip
        """Walk to the end of the path from where the stored state is."""
        from openlyra.generation.lyra_load import small_memory

        frames = len(start.trajectory)
        kept.write(0, pixels)
        chunks = self.chunks(frames)
        if not chunks or kept.has(frames - 1):
            return
        walk = self._latent_walk(start, (photo.height, photo.width), chunks)
        small = self.info.small
        memory = SpatialMemory() if small is None else small_memory(self.layout, small.retrieval_stride)
        state = latents.load(lambda index: photo if index == 0 else kept.load(index), memory)
        if state is None:
            memory.add(photo)
            state = walk.begin(photo, as_pixels(photo.image), memory)
        while state.chunks < chunks:
            state = self._chunk(walk, state, latents, kept, advance, frames)

    def _latent_walk(self, start: WalkInput, size: tuple[int, int], chunks: int) -> LatentWalk:
        from openlyra.generation.lyra_load import load_models, small_walk
        from openlyra.generation.ranks import shared

        captions = self._chunk_captions(len(start.trajectory))
        models = load_models(self.info, None, captions, self.settings.fast)
        network: VideoNetwork = shared(models.network)
        cameras = padded(start.trajectory, 1 + chunks * self.layout.new_pixel_frames).resized(*size)
        small, views = self.info.small, self.settings.retrieval_views
        if small is None:
            depth: DepthSource = MeasuredDepth(start.depth_estimator, start.far)
            kind = FewStep if self.settings.fast else UniPC
            sampler: Sampler = kind(self.steps, self.settings.shift)
            settings = WalkSettings(sampler, self.guidance, ConditioningSettings(views))
        else:
            depth = CarriedDepth(start.far, small.edge_threshold)
            settings = small_walk(small, self.steps, views)
        return LatentWalk(replace(models, network=network), settings, cameras, captions, depth, SeededNoise(start.seed))

    def _chunk(
        self, walk: LatentWalk, state: WalkState, latents: LatentStore, kept: WalkFrames, advance: Advance, frames: int
    ) -> WalkState:  # fmt: skip
        """One chunk: sample, finish, keep frames and memory, then the state."""
        done, total = state.chunks * self.steps, walk.chunks * self.steps
        advance("sample", done, total)

        def after(step: SamplerState) -> None:
            latents.save_step(state.chunks, step)
            advance("sample", done + step.step, total)

        sampled = walk.sample(state, walk.inputs(state), latents.load_step(state.chunks), after)
        advance("sample", done + self.steps, total)
        following, new = walk.finish(state, sampled, until=frames - 1)
        first = state.chunks * self.layout.new_pixel_frames + 1
        remembered = kept.remembered()
        for frame in following.memory:
            if frame.index not in state.memory and frame.index not in remembered:
                kept.remember(frame)
        for place, pixels in enumerate(new):
            if first + place < frames:
                kept.write(first + place, pixels)
                advance("frames", first + place + 1, frames)
        if following.chunks < walk.chunks:
            latents.save(following)
        return following

    def _captions_file(self) -> Path | None:
        given = self.settings.captions
        return Path(given) if given is not None and given.endswith(".json") else None

    def _chunk_captions(self, frames: int) -> list[str]:
        file, chunks = self._captions_file(), self.chunks(frames)
        if file is None:
            return [self.settings.captions or ""] * chunks
        captions = {key: text for key, text in read_captions(file).items() if key < frames}
        if not captions:
            raise InputError(f"{file}: no caption for a frame below {frames}; the first one has key 0")
        return chunk_captions(captions, chunks, self.layout.new_pixel_frames, str(file))


def padded(trajectory: Trajectory, frames: int) -> Camera:
    """(frames,) the cameras of a path, its last one repeated."""
    return trajectory.cameras[np.minimum(np.arange(frames), len(trajectory) - 1)]


def as_pixels(image: np.ndarray) -> Tensor:
    """uint8 (H, W, 3) to float32 (3, H, W) in [-1, 1]."""
    return torch.from_numpy(image.astype(np.float32) / 127.5 - 1).permute(2, 0, 1).contiguous()
