"""How good trained video generators are on worlds that nothing was trained on: all protocols, one report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from openlyra.errors import InputError
from openlyra.evaluation.camera_control import CameraError, camera_error
from openlyra.evaluation.true_walk import HELD_OUT, TrueWalk, pan, stroll, there_and_back
from openlyra.evaluation.world_exemplar import EXEMPLAR, exemplar_video
from openlyra.evaluation.world_scores import Drift, Measured, Revealed, Revisit, drift, measured, revealed, revisit
from openlyra.evaluation.world_walk import ABLATIONS, FULL, NO_MEMORY, WARP, Trained, generate

TRUE_VIDEO = "true video"
SWAY = 24
"""Frames after which a camera that sways turns back."""
Make = Callable[[TrueWalk, int], np.ndarray]
"""A video for a walk and a seed."""


@dataclass(frozen=True)
class WorldProtocol:
    """How much is tried."""

    videos: int = 2
    """Held-out worlds for loops, and as many for walks."""
    loops: tuple[int, ...] = (3, 5, 8)
    """Lengths of closed loops in chunks."""
    chunks: int = 10
    """Length of the long walks in chunks."""
    seeds: int = 2
    """Seeds of the noise."""

    def __post_init__(self) -> None:
        for name, value in (("videos", self.videos), ("seeds", self.seeds)):
            if not 1 <= value <= 1000:
                raise InputError(f"--{name} {value}: must be from 1 to 1000")
        if not self.loops or not all(1 <= loop <= 20 for loop in self.loops):
            raise InputError(f"--loops {' '.join(map(str, self.loops))}: lengths must be from 1 to 20 chunks")
        if not 1 <= self.chunks <= 200:
            raise InputError(f"--chunks {self.chunks}: must be from 1 to 200")


@dataclass
class WorldReport:
    """Figures by what made the video: a trained folder, one with something taken away, or another generator."""

    protocol: WorldProtocol
    ablated: str
    """The folder from which the ablations take something away: the first one."""
    worlds: list[str]
    """Kinds and seeds: loops, then walks."""
    loops: dict[str, dict[int, Measured[Revisit]]] = field(default_factory=dict)
    """By loop length: the last chunk of a loop against its first."""
    sway: dict[str, Measured[Drift]] = field(default_factory=dict)
    """By chunk, where the camera turns between views it has seen."""
    walk: dict[str, Measured[Drift]] = field(default_factory=dict)
    """By chunk, on long walks into what was never seen."""
    revealed: dict[str, Measured[Revealed]] = field(default_factory=dict)
    """Where the photo shows nothing; over the first 64 frames of the walks."""
    camera: dict[str, Measured[CameraError]] = field(default_factory=dict)
    """Motion estimated back from the walks' videos."""
    seconds: dict[str, float] = field(default_factory=dict)
    """A frame of the walks."""


@dataclass(frozen=True)
class Shown:
    """Videos for the pictures: of the first world and seed."""

    walk: dict[str, np.ndarray]
    loop: dict[str, np.ndarray]


def evaluate_world(
    networks: Sequence[Trained], protocol: WorldProtocol, say: Callable[[str], None] = lambda line: None
) -> tuple[WorldReport, Shown]:
    """Draw the worlds, make all videos, measure."""
    first = networks[0]
    size, chunk = (first.model.height, first.model.width), first.layout.new_pixel_frames
    say(f"drawing {protocol.videos} worlds for loops and {protocol.videos} for walks")
    turn = max(max(protocol.loops) * chunk // 2, SWAY)
    pans = [pan(HELD_OUT + i, turn + 1, *size) for i in range(protocol.videos)]
    walks = [stroll(HELD_OUT + 500_000 + i, 1 + protocol.chunks * chunk, *size) for i in range(protocol.videos)]
    report = WorldReport(protocol, first.name, [walk.name for walk in (*pans, *walks)])
    systems: dict[str, Make] = {trained.name: partial(_made, trained, FULL) for trained in networks}
    parts: dict[str, Make] = {name: partial(_made, first, name) for name in ABLATIONS}
    others: dict[str, Make] = {WARP: partial(_made, first, WARP), EXEMPLAR: exemplar_video}
    tried = _Tried(report, protocol, chunk, say)
    # Memory holds what drifts in place, so what a network does on its own shows only without.
    bare: dict[str, Make] = {f"{t.name}, no memory": partial(_made, t, NO_MEMORY) for t in networks}
    loop = tried.loops(systems | parts | others, pans)
    tried.sway(systems | bare | others, pans)
    return report, Shown(tried.walks(systems | others, walks), loop)


def _made(trained: Trained, variant: str, truth: TrueWalk, seed: int) -> np.ndarray:
    return generate(trained, truth, variant, seed)


@dataclass(frozen=True)
class _Tried:
    """The protocols; each fills its part of the report and gives videos to show."""

    report: WorldReport
    protocol: WorldProtocol
    chunk: int
    """Frames a chunk."""
    say: Callable[[str], None]

    def loops(self, makers: dict[str, Make], pans: list[TrueWalk]) -> dict[str, np.ndarray]:
        shown = {}
        for length in self.protocol.loops:
            frames = 1 + length * self.chunk
            order = there_and_back(frames // 2, frames)
            truths = [truth.along(order) for truth in pans]
            shown = {TRUE_VIDEO: truths[0].images}
            for name, make in makers.items():
                self.say(f"loops of {length} chunks: {name}")
                videos = self._videos(name, make, truths)
                scores = [[revisit(v, t, self.chunk) for v, t in zip(row, truths)] for row in videos]
                self.report.loops.setdefault(name, {})[length] = measured(scores)
                shown[name] = videos[0][0]
        return shown

    def sway(self, makers: dict[str, Make], pans: list[TrueWalk]) -> None:
        order = there_and_back(SWAY, 1 + self.protocol.chunks * self.chunk)
        truths = [truth.along(order) for truth in pans]
        for name, make in makers.items():
            self.say(f"swaying for {self.protocol.chunks} chunks: {name}")
            self.report.sway[name] = self._drift(self._videos(name, make, truths), truths)

    def walks(self, makers: dict[str, Make], truths: list[TrueWalk]) -> dict[str, np.ndarray]:
        shown, report = {TRUE_VIDEO: truths[0].images}, self.report
        report.camera[TRUE_VIDEO] = measured([[camera_error(truth.images, truth) for truth in truths]])
        for name, make in makers.items():
            self.say(f"walks of {self.protocol.chunks} chunks: {name}")
            began = time.perf_counter()
            videos = self._videos(name, make, truths)
            report.seconds[name] = (time.perf_counter() - began) / sum(len(v) for row in videos for v in row)
            report.walk[name] = self._drift(videos, truths)
            report.revealed[name] = measured([[revealed(row, truths)] for row in videos])
            report.camera[name] = measured([[camera_error(v, t) for v, t in zip(row, truths)] for row in videos])
            shown[name] = videos[0][0]
        return shown

    def _videos(self, name: str, make: Make, truths: list[TrueWalk]) -> list[list[np.ndarray]]:
        # Without a network there is no noise.
        seeds = 1 if name == WARP else self.protocol.seeds
        return [[make(truth, seed) for truth in truths] for seed in range(seeds)]

    def _drift(self, videos: list[list[np.ndarray]], truths: list[TrueWalk]) -> Measured[Drift]:
        return measured([[drift(v, t, self.chunk) for v, t in zip(row, truths)] for row in videos])
