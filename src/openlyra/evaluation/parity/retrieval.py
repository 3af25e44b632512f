"""`retrieval*`: point maps of remembered frames, which of them are retrieved for a view, owner counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare, compare_exact
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import reference_point_map
from openlyra.memory.retrieval import RetrievalConfig, best_owners, owner_scores, retrieve, sampling_weights

TOLERANCE = 1e-5
STRIDE = 4
TARGETS = {
    "coverage.multi_view": ("t0", "t1", "t2"), "coverage.only_seed": ("t1",), "coverage.seed_plus_one": ("t2",),
    "coverage.negative_ids": ("t1",), "coverage.unsorted_cache": ("t1",),
}  # fmt: skip
"""Target views of the cases whose name does not tell them."""


@dataclass(frozen=True)
class _Memory:
    file: GoldenFile
    frames: list[int]

    def camera(self, camera_from_world: np.ndarray) -> Camera:
        height, width = self.file["in.depth"].shape[-2:]
        return Camera(np.linalg.inv(camera_from_world.astype(np.float64)), self.file["in.K"].numpy(), width, height)

    def points(self, frame: int) -> np.ndarray:
        place = self.frames.index(frame)
        depth = self.file["in.depth"][place, 0, ::STRIDE, ::STRIDE].numpy()
        return reference_point_map(depth, self.camera(self.file["in.w2c"][place].numpy()), STRIDE)

    def case(self, case: dict[str, Any]) -> tuple[list[int], list[np.ndarray], Camera, RetrievalConfig]:
        """Indices, point maps, target views and settings."""
        indices, sources = self._cached(case["cache"])
        named = case["name"].split(".")[1]
        targets = (named,) if f"in.target.{named}" in self.file else TARGETS[case["name"]]
        poses = np.stack([self.file[f"in.target.{target}"].numpy() for target in targets])
        how = case["kwargs"]
        config = RetrievalConfig.reference(
            how["num_latents"], how.get("depth_threshold", 0.1), how.get("skip_last_n", 0)
        )
        return indices, [self.points(source) for source in sources], self.camera(poses), config

    def _cached(self, words: str) -> tuple[list[int], list[int]]:
        """Indices and frames of a memory that is described in words."""
        shown, _, stored = words.partition(" stored as ids ")
        frames = [int(number) for number in re.findall(r"-?\d+", shown)] or self.frames
        return [int(number) for number in re.findall(r"-?\d+", stored)] or frames, frames


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Point maps, then every case of the facts."""
    facts = file.facts()
    memory = _Memory(file, [int(frame) for frame in facts["frame_ids"]])
    for frame in memory.frames:
        if f"world_points.{frame}" in file:
            yield compare(f"world_points.{frame}", memory.points(frame), file[f"world_points.{frame}"], TOLERANCE)
    for case in facts["cases"]:
        inputs = memory.case(case)
        if case["kwargs"].get("max_coverage"):
            found = retrieve(*inputs)
            yield compare_exact(f"{case['name']}.pre_covered", found.covered_by, case.get("pre_covered_frame_id"))
            cells = case.get("pre_covered_pixels", 0)
            yield compare_exact(f"{case['name']}.pre_covered_pixels", found.covered_cells, cells)
            ids = found.indices
        else:
            scores = owner_scores(*inputs)
            counts = {str(index): float(score) for index, score in zip(inputs[0], scores)}
            yield compare_exact(f"{case['name']}.owners", counts, case["owner_pixel_counts"])
            ids = best_owners(inputs[0], scores, inputs[3].slots)
        yield compare_exact(f"{case['name']}.result", ids, case["result_frame_ids"])
    if "random_mode" in facts:
        mode = facts["random_mode"]
        case = {
            "name": f"owner.{mode['target']}", "cache": "all frames", "kwargs": {"num_latents": len(memory.frames)}
        }  # fmt: skip
        weights = sampling_weights(owner_scores(*memory.case(case)))
        yield compare("random_mode.weights", weights, list(mode["sampling_weights"].values()), TOLERANCE)
