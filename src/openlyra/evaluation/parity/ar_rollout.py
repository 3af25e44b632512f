"""`ar_rollout*`: the whole loop on a tiny network, from the input image to the last frame."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openlyra.evaluation.parity.formula import formula_normal, formula_weights
from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare, compare_exact
from openlyra.evaluation.parity.synthetic_scene import scene_depth
from openlyra.evaluation.parity.vae_tiny import tiny_vae
from openlyra.generation.conditioning import ChunkInputs, ConditioningSettings
from openlyra.generation.denoise import SeededNoise
from openlyra.generation.latent_walk import LatentWalk, LyraModels, WalkSettings, WalkState
from openlyra.generation.pose_alignment import adopted_poses
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.retrieval import RetrievalConfig
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models.frame_packing import Layout
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.lyra_dit import LyraDiT
from openlyra.sampling import FewStep, Sampler, UniPC

TOLERANCE = 2e-4
LAYOUT = "f1k1f2s2f1s1f4k4f2k2f1k1_g4"
IMAGE_TOKENS = 257


@dataclass(frozen=True)
class Rollout:
    """What the file gives for all runs."""

    file: GoldenFile

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.file["in.first_frame"].shape[-2:]
        return height, width

    def cameras(self, dtype: torch.dtype = torch.float64) -> Camera:
        """(F,); single precision for what is lifted, as the reference does."""
        poses = torch.linalg.inv(self.file["in.camera_w2c"][0].to(dtype))
        height, width = self.size
        return Camera(poses.numpy(), self.file["in.intrinsics"][0].numpy(), width, height)

    def frame(self, index: int, depth: Tensor) -> MemoryFrame:
        """A remembered frame with given depth (H, W); its colours are kept elsewhere."""
        valid = (depth > 0).numpy()
        image = np.zeros((*depth.shape, 3), np.uint8)
        return MemoryFrame(index, image, depth.numpy(), valid, ~valid & valid, self.cameras(torch.float32)[index])

    def depth(self, index: int) -> Tensor:
        """Exact depth of the scene: recorded next to the conditioning, or from the scene's formula."""
        scene, first = self.file.neighbour("conditioning"), self.file["in.first_depth"][0, 0]
        if scene is not None and scene["in.depth_every4"].shape[-2:] == first.shape and index % 4 == 0:
            recorded = scene["in.depth_every4"][0, :, 0]
            if index // 4 < len(recorded) and torch.equal(scene["in.camera_w2c"], self.file["in.camera_w2c"]):
                return recorded[index // 4]
        height, width = self.size
        return scene_depth(self.file["in.camera_w2c"][0, index], self.file["in.intrinsics"][0, index], height, width)

    def measure(
        self, frames: Sequence[int], pixels: dict[int, Tensor], cameras: Camera, state: WalkState
    ) -> list[MemoryFrame]:
        """The exact depth in the place of a depth network."""
        return [self.frame(index, self.depth(index)) for index in frames]


class RecordedNoise(SeededNoise):
    """First noise by seed as always; re-noising as it was recorded, one after the other."""

    def __init__(self, seed: int, recorded: Tensor | None, steps: int) -> None:
        super().__init__(seed)
        object.__setattr__(self, "recorded", recorded)
        object.__setattr__(self, "steps", steps)

    recorded: Tensor
    steps: int

    def again(self, chunk: int, step: int, shape: tuple[int, ...]) -> Tensor:
        draw = self.recorded[chunk * (self.steps - 1) + step]
        return draw[-shape[2] :].transpose(0, 1)[None]


def tiny_models(text: Tensor, negative: Tensor, layout: str = LAYOUT) -> LyraModels:
    """The networks of the recorded runs, weights by formula; captions are given as tokens."""
    slots = Layout.parse(layout).spatial_frames
    config = LyraConfig(
        width=64, heads=2, ffn_width=96, blocks=3, text_width=text.shape[-1], image_width=64, layout=layout,
        buffer_channels=256 * slots, squeeze_width=8,
    )  # fmt: skip
    with torch.device("meta"):
        network = LyraDiT(config)
    shapes = {key: tuple(value.shape) for key, value in network.named_parameters()}
    network.load_state_dict(formula_weights(shapes), strict=False, assign=True)
    for name, buffer in list(network.named_buffers()):
        network.register_buffer(name, torch.zeros(buffer.shape, dtype=buffer.dtype))
    network.requires_grad_(False)
    return LyraModels(network, Layout.parse(layout), tiny_vae(), lambda captions: text, toy_image_tokens, negative)


def toy_image_tokens(image: Tensor) -> Tensor:
    """(1, 257, 64): a closed formula in the mean colour that stands in for the image encoder."""
    base = formula_normal("toyclip/base", (IMAGE_TOKENS, 64))
    weight = formula_normal("toyclip/w", (IMAGE_TOKENS, 64, 3))
    return (base + weight @ image.float().mean((0, 2, 3)))[None]


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Every run whose facts hold its arguments, then pose alignments."""
    rollout = Rollout(file)
    for name, facts in file.facts().items():
        if isinstance(facts, dict) and "args" in facts:
            yield from _run(rollout, name, facts)
        elif name.startswith("pose."):
            yield from _poses(rollout, name, facts)


def _run(rollout: Rollout, name: str, facts: dict[str, Any]) -> Iterator[Comparison]:
    """A run through the loop against whatever of it was recorded."""
    args, file = facts["args"], rollout.file
    layout = facts.get("framepack_type", file.facts().get("framepack_type", LAYOUT))
    models = tiny_models(file["in.text"], file["in.neg_text"], layout)
    sampler: Sampler = FewStep() if args["use_dmd_scheduler"] else UniPC(args["num_sampling_step"], args["shift"])
    settings = WalkSettings(
        sampler, 1.0 if args["use_dmd_scheduler"] else args["guidance"],
        ConditioningSettings.reference(args["num_retrieval_views"]), args["da3_frame_interval"],
        args["da3_max_history_frames"],
    )  # fmt: skip
    noise = RecordedNoise(args["seed"], file.get(f"{name}.renoise"), sampler.steps)
    cameras = rollout.cameras()[: args["num_frames"]]
    chunks = (args["num_frames"] - 1) // models.layout.new_pixel_frames
    walk = LatentWalk(models, settings, cameras, ["caption"] * chunks, rollout, noise)
    done = _walked(walk, rollout)
    yield compare_exact(f"{name}.retrieved", [list(i.retrieved) for i in done.inputs], facts["retrieved"])
    yield compare_exact(f"{name}.cached_frame_ids", done.memory, facts["cached_frame_ids"])
    found = {"generated_latents": torch.cat(done.latents, 2), "final_history_latents": done.history}
    video = torch.cat([file["in.first_frame"][0, :, None], torch.cat(done.frames).transpose(0, 1)], 1)[None]
    warped = np.moveaxis(np.concatenate([i.warped for i in done.inputs]), 0, 1)
    preview = np.concatenate([file["in.first_frame"][0, :, None].numpy(), warped], 1)[None]
    for key, value in found.items():
        yield compare(f"{name}.{key}", value, file[f"{name}.{key}"], TOLERANCE)
    for key in sorted(file.keys):
        if match := re.fullmatch(rf"{re.escape(name)}\.video_every(\d+)", key):
            yield compare(key, video[:, :, :: int(match[1])], file[key], TOLERANCE)
        elif match := re.fullmatch(rf"{re.escape(name)}\.warp_video_every(\d+)", key):
            yield compare(key, preview[:, :, :: int(match[1])], file[key], TOLERANCE)
    if "in.initial_noise_chunk0" in file:
        expected = file["in.initial_noise_chunk0"]
        yield compare("in.initial_noise_chunk0", noise.first(0, tuple(expected.shape)), expected, 0.0)
    yield compare_exact(f"{name}.video_shape", list(video.shape), facts["video_shape"])


def _poses(rollout: Rollout, name: str, facts: dict[str, Any]) -> Iterator[Comparison]:
    """Predicted cameras and depths, a similarity away from the planned ones, brought back to them."""
    file, frames = rollout.file, facts["cached"]
    given = np.linalg.inv(file["in.camera_w2c"][0].double().numpy())
    predicted = _disturbed(given[frames])
    known = re.search(r"hist_frame_ids=\[([\d, ]+)\]", " ".join(facts["log"]))
    history = len(known[1].split(",")) if known else 0
    counted = slice(0, history) if history else slice(None)
    poses, scale = adopted_poses(predicted, given[frames], max(history - 1, 0), counted)
    depths = [0.5 * scale * rollout.depth(frame) for frame in frames]
    # The first segment refreshes frame 0; later ones never touch what is remembered.
    first = history or 0
    cached = given[frames]
    cached[first:] = poses[first:]
    yield compare(f"{name}.cached_w2c", np.linalg.inv(cached), file[f"{name}.cached_w2c"], TOLERANCE)
    cameras = given[: file[f"{name}.cam_w2c"].shape[1]].copy()
    cameras[frames[max(first, 1) :]] = poses[max(first, 1) :]
    yield compare(f"{name}.cam_w2c", np.linalg.inv(cameras)[None], file[f"{name}.cam_w2c"], TOLERANCE)
    last = depths[-1].reshape(file[f"{name}.buffer_depth"].shape)
    yield compare(f"{name}.buffer_depth", last, file[f"{name}.buffer_depth"], TOLERANCE)
    means = torch.stack([depth.mean() for depth in depths])[first:]
    yield compare(f"{name}.cached_depth_mean", means, file[f"{name}.cached_depth_mean"][first:], TOLERANCE)


def _disturbed(world_from_camera: np.ndarray) -> np.ndarray:
    """The predictions of these files: another world frame, half the unit."""
    a, b = 0.4, 0.1
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    shift = np.eye(4)
    shift[:3, :3], shift[:3, 3] = about_y @ about_x, (0.3, -0.2, 0.5)
    camera_from_world = np.linalg.inv(world_from_camera) @ shift
    camera_from_world[:, :3, 3] *= 0.5
    return np.linalg.inv(camera_from_world)


@dataclass(frozen=True)
class Walked:
    inputs: list[ChunkInputs]
    latents: list[Tensor]
    frames: list[Tensor]
    history: Tensor
    memory: list[int]


def _walked(walk: LatentWalk, rollout: Rollout) -> Walked:
    first = rollout.frame(0, rollout.file["in.first_depth"][0, 0])
    memory = SpatialMemory(RetrievalConfig.reference(walk.layout.spatial_frames))
    memory.add(first)
    state = walk.begin(first, rollout.file["in.first_frame"][0], memory)
    inputs, latents, frames = [], [], []
    while state.chunks < walk.chunks:
        inputs.append(walk.inputs(state))
        latents.append(walk.sample(state, inputs[-1]))
        state, new = walk.finish(state, latents[-1], measure=state.chunks + 1 < walk.chunks)
        frames.append(new)
    return Walked(inputs, latents, frames, state.latents, state.memory.indices)
