"""`conditioning*`: the inputs of a chunk, from recorded frames, depths and cameras."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare, compare_exact
from openlyra.evaluation.parity.vae_tiny import tiny_vae
from openlyra.generation.conditioning import (
    ChunkContext,
    ChunkInputs,
    ConditioningSettings,
    build_inputs,
    correspondences,
    encode_tail,
    history_latents,
    latent_cameras,
    ray_latents,
    warped_frames,
)
from openlyra.generation.history import (
    chunk_start,
    recent_latents,
    retrieval_offsets,
    window_frames,
)
from openlyra.geometry.camera import Camera
from openlyra.geometry.rays import space_to_channel
from openlyra.memory.correspondence import slot_frames
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.retrieval import RetrievalConfig
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models.frame_packing import Layout
from openlyra.models.lyra_config import RELEASED_LAYOUT

TOLERANCE = 1e-5
SUB_PIXELS = 64
"""Channels of an 8x8 cell; reduced recordings keep the first of each."""


@dataclass(frozen=True)
class Recording:
    """The scene of a file: frames, every n-th depth, cameras."""

    file: GoldenFile

    @cached_property
    def facts(self) -> dict[str, Any]:
        return self.file.facts()

    @cached_property
    def layout(self) -> Layout:
        return Layout.parse(self.facts["framepack_type"])

    @cached_property
    def inputs(self) -> GoldenFile:
        """Where the scene is: in the file itself, or in the first of its kind."""
        first = self.file.neighbour("conditioning")
        return self.file if "in.video" in self.file or first is None else first

    @cached_property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.inputs["in.video"].shape[-2:]
        return height, width

    def _cameras(self, dtype: torch.dtype) -> Camera:
        height, width = self.size
        poses = torch.linalg.inv(self.inputs["in.camera_w2c"][0].to(dtype))
        return Camera(poses.numpy(), self.inputs["in.intrinsics"][0].numpy(), width, height)

    @cached_property
    def cameras(self) -> Camera:
        """(F,) as they were recorded."""
        return self._cameras(torch.float64)

    @cached_property
    def source_cameras(self) -> Camera:
        """(F,) inverted in single precision: so the reference lifts pixels to points, and its rounding shows."""
        return self._cameras(torch.float32)

    @cached_property
    def video(self) -> Tensor:
        """(3, F, H, W), with what other tensors of the file hold of later frames."""
        parts = [self.inputs["in.video"][0]]
        for key in sorted(self.inputs.keys):
            if match := re.fullmatch(r"in\.video_frames_(\d+)_(\d+)", key):
                assert int(match[1]) == sum(part.shape[1] for part in parts)
                parts.append(self.inputs[key][0])
        return torch.cat(parts, 1)

    @cached_property
    def depths(self) -> dict[int, np.ndarray]:
        """(H, W) by frame."""
        found: dict[int, Tensor] = {}
        for key in sorted(self.inputs.keys):
            if match := re.fullmatch(r"in\.depth_every(\d+)", key):
                every = int(match[1])
                found |= {every * place: depth[0] for place, depth in enumerate(self.inputs[key][0])}
            elif match := re.fullmatch(r"in\.depth_frame_(\d+)", key):
                found[int(match[1])] = self.inputs[key][0].reshape(self.size)
        return {frame: depth.numpy() for frame, depth in found.items()}

    def frame(self, source: int, index: int | None = None) -> MemoryFrame:
        """Frame `source` of the recording as a remembered frame, under another index if given."""
        depth = self.depths[source]
        nothing = np.zeros((*depth.shape, 3), np.uint8)
        camera = self.source_cameras[source]
        valid = np.isfinite(depth) & (depth > 0)
        return MemoryFrame(source if index is None else index, nothing, depth, valid, ~valid & valid, camera)

    def memory(self, frames: dict[int, int]) -> SpatialMemory:
        """A memory of {index: source frame}."""
        memory = SpatialMemory(RetrievalConfig.reference(self.layout.spatial_frames))
        for index, source in frames.items():
            memory.add(self.frame(source, index))
        return memory


def check(file: GoldenFile) -> Iterator[Comparison]:
    """All cases: those with facts of a chunk, training windows, selections of latents."""
    recording = Recording(file)
    vae = tiny_vae(int(file.facts("extra_info").get("vae_cfg", {}).get("dim", 8)))
    for name, facts in recording.facts.items():
        if isinstance(facts, dict) and "ar_index" in facts:
            yield from _chunk(recording, name, facts, vae.encode)
        elif name.startswith("train_"):
            yield from _training(recording, name, facts, vae.encode)
        elif name.startswith("window."):
            yield _window(recording, name, facts)
    yield from _selections(recording)
    if "coord_pixels_to_latents.in" in file:
        # Axes there are (B, C, F, H, W); of each group of four frames the last one counts.
        cells = space_to_channel(file["coord_pixels_to_latents.in"][:, :, 3::4], channel_axis=-4)
        yield compare("coord_pixels_to_latents.out", cells, file["coord_pixels_to_latents.out"], 0.0)


def _chunk(recording: Recording, name: str, facts: dict[str, Any], encode: Any) -> Iterator[Comparison]:
    sources = _sources(recording, name, facts)
    chunk, latents = facts["ar_index"], recording.file[f"{name}.in.history"]
    settings = ConditioningSettings.reference(facts["num_retrieval_views"], recording.facts.get("warp_chunk_size", 16))
    context = ChunkContext(
        chunk, latents, recording.frame(facts["buffer_frame"]), recording.cameras, recording.memory(sources),
        lambda index: recording.video[:, sources.get(index, index)],
    )  # fmt: skip
    inputs = build_inputs(context, recording.layout, encode, settings)
    first = chunk_start(chunk, recording.layout)
    yield compare_exact(f"{name}.buffer_frame", first, facts["buffer_frame"])
    generated = [first + 1, first + recording.layout.new_pixel_frames]
    yield compare_exact(f"{name}.generated_frames", generated, facts["generated_frames"])
    yield compare_exact(f"{name}.retrieved_frame_ids", list(inputs.retrieved), facts["retrieved_frame_ids"])
    yield compare_exact(f"{name}.mask_all_ones", bool((inputs.mask == 1).all()), facts["mask_all_ones"])
    empty = torch.zeros_like(inputs.condition[:, :, recording.layout.history_frames :])
    yield from _recorded(recording, name, inputs, torch.cat([inputs.history, empty], 2))
    yield from _warps(recording, name, inputs, settings, sources)


def _sources(recording: Recording, name: str, facts: dict[str, Any]) -> dict[int, int]:
    """Which frame of the recording each remembered index shows; external views are described in words."""
    external = [index for index in facts["cached"] if index < 0]
    if not external:
        return {index: index for index in facts["cached"]}
    note = recording.facts[f"{name}_note"]
    shown = [int(word) for word in re.findall(r"\d+", note.partition("frame")[2])]
    return {**dict(zip(external, shown)), **{index: index for index in facts["cached"] if index >= 0}}


def _recorded(recording: Recording, name: str, inputs: ChunkInputs, latents: Tensor) -> Iterator[Comparison]:
    """Whatever the file holds of a case: whole tensors or reduced ones."""
    history, buffer = recording.layout.history_frames, inputs.buffer
    assert buffer is not None
    thin = buffer[:, ::SUB_PIXELS]
    found = {
        "latents": latents,
        "cond": torch.cat([inputs.condition, inputs.rays], 1),
        "cond_latent_channels": inputs.condition,
        "mask": inputs.mask,
        "plucker": inputs.rays,
        "plucker_pixel0": inputs.rays[:, ::SUB_PIXELS],
        "buffer": buffer,
        "buffer_pixel0": thin,
        "buffer_history_pixel0": thin[:, :, :history],
        "buffer_tail_pixel0": thin[:, :, history:],
    }
    for part, value in found.items():
        if f"{name}.{part}" in recording.file:
            yield compare(f"{name}.{part}", value, recording.file[f"{name}.{part}"], TOLERANCE)


def _warps(
    recording: Recording, name: str, inputs: ChunkInputs, settings: ConditioningSettings, sources: dict[int, int]
) -> Iterator[Comparison]:
    """Warped frames before they are encoded."""
    key = f"{name}.warped_buffer_frame_every4"
    if key in recording.file:
        yield compare(key, np.moveaxis(inputs.warped[3::4], 0, 1)[None], recording.file[key], TOLERANCE)
    key = f"{name}.warped_slots_every4"
    if key in recording.file:
        slots, history = recording.layout.spatial_frames, recording.layout.history_frames
        assert inputs.buffer is not None
        blocks = inputs.buffer[0, :, history:].unflatten(0, (slots, 4, 8, 8))[: len(inputs.retrieved), :3]
        # (slot, xyz, y in cell, x in cell, T, rows, columns) -> (slot * xyz, T, H, W)
        maps = blocks.permute(0, 1, 4, 5, 2, 6, 3).flatten(5, 6).flatten(3, 4).flatten(0, 1)
        yield compare(key, maps[None], recording.file[key], TOLERANCE)


def _training(recording: Recording, name: str, facts: dict[str, Any], encode: Any) -> Iterator[Comparison]:
    """Training-time inputs: the clip is encoded whole, what is retrieved is given."""
    layout = recording.layout
    segment = int(re.findall(r"\d+$", name)[0]) if name[-1].isdigit() else 0
    frames = window_frames(layout, recording.video.shape[1], 0, segment)
    latents = encode(recording.video[:, frames][None])
    past = latents[:, :, : latents.shape[2] - layout.new_frames]
    retrieved = list(facts.get("forced_selection", facts.get("retrieved", [])))
    first = chunk_start(segment, layout)
    memory = recording.memory({index: index for index in sorted({0, *retrieved})})
    context = ChunkContext(
        segment, past, recording.frame(first), recording.cameras, memory, lambda index: recording.video[:, index]
    )
    slots, targets = slot_frames(retrieved, layout.spatial_frames), frames[-layout.new_pixel_frames :]
    cameras = recording.cameras[targets]
    warp = ConditioningSettings.reference(group=recording.facts.get("warp_chunk_size", 16)).warp
    warped = warped_frames(context.last, recording.video[:, first], cameras, warp)
    history = history_latents(context, layout, slots, encode)
    inputs = ChunkInputs(
        history,
        torch.cat([history, encode_tail(warped, encode)], 2),
        ray_latents(latent_cameras(context, layout, slots), context.last.camera),
        correspondences([memory.frame(index) for index in retrieved], cameras, layout, warp),
        tuple(retrieved),
        warped,
    )
    new = latents[:, :, past.shape[2] :]
    yield from _recorded(recording, name, inputs, torch.cat([history, new], 2))
    if f"{name}.last_hist_frame" in recording.file:
        last = recording.file[f"{name}.last_hist_frame"]
        yield compare(f"{name}.last_hist_frame", recording.video[:, first][None], last, TOLERANCE)


def _window(recording: Recording, name: str, facts: dict[str, Any]) -> Comparison:
    length = int(re.findall(r"len(\d+)", name)[0])
    frames = window_frames(recording.layout, length, facts["start"], facts["segment"])
    return compare_exact(name, frames, facts["indices"])


def _selections(recording: Recording) -> Iterator[Comparison]:
    """Which latents fill the temporal slots, for several lengths of the history."""
    facts, layout = recording.facts, recording.layout
    for name, expected in facts.get("temporal_selection", {}).items():
        total, count = (int(number) for number in re.findall(r"\d+", name))
        yield compare_exact(f"temporal_selection.{name}", recent_latents(total, count), expected)
    for name, expected in facts.items():
        if match := re.fullmatch(r"compose_temporal_only(_real)?_total(\d+)", name):
            packed = Layout.parse(RELEASED_LAYOUT) if match[1] else layout
            yield compare_exact(name, recent_latents(int(match[2]), packed.temporal_frames), expected)
        elif name == "spatial_history_positions_real":
            yield compare_exact(name, Layout.parse(RELEASED_LAYOUT).indices(spatial=True), expected)
        elif match := re.fullmatch(r"retrieval_targets_\w+_views(\d+)", name):
            offsets = retrieval_offsets(int(match[1]), layout.new_pixel_frames)
            yield compare_exact(name, offsets, expected)
