"""What is measured of a generated video whose truth is known: forgetting, drift, and what it imagines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import numpy as np

from openlyra.evaluation.metrics import as_unit, psnr, ssim
from openlyra.evaluation.perceptual import frechet_distance, patch_features, perceptual_distance
from openlyra.evaluation.true_walk import TrueWalk

EVERY = 4
"""Of so many frames one is looked at, where that takes long."""
REVEALED_FRAMES = 64
"""Frames after the photo in which what is newly revealed is judged."""
LEAST_REVEALED = 0.01
"""Part of a frame that must be newly revealed."""
FEWEST_PATCHES = 8
"""From fewer there is no distribution to speak of."""


@dataclass(frozen=True)
class Revisit:
    """The last chunk of a closed loop, whose views are those of the first chunk."""

    psnr_first: float
    """Decibels against the first visit of the same video."""
    ssim_first: float
    perceptual_first: float
    psnr_truth: float
    """Decibels against the world."""
    ssim_truth: float
    perceptual_truth: float


def revisit(video: np.ndarray, truth: TrueWalk, chunk: int) -> Revisit:
    """Figures of a video (F, H, W, 3) of a walk there and back; of the last `chunk` frames every `EVERY`th is compared.

    The very last one is not: it shows the photo's view, which was given and not made."""
    end = len(video) - 1
    found = []
    for index in range(end - EVERY + 1, end - chunk, -EVERY):
        for other in (video[end - index], truth.images[index]):
            here = video[index]
            found.append((psnr(here, other), ssim(here, other), perceptual_distance(here, other)))
    figures = np.array(found).reshape(-1, 6).mean(0)
    return Revisit(*(float(value) for value in figures))


@dataclass(frozen=True)
class Drift:
    """Figures by chunk."""

    psnr: tuple[float, ...]
    """Decibels against the world, of all frames of a chunk together."""
    perceptual: tuple[float, ...]
    """Perceptual distance to the world."""
    colour: tuple[float, ...]
    """Distance of the mean colours, of 255."""
    sharpness: tuple[float, ...]
    """Energy of the gradients in parts of that of the true frames; 1 is right."""


def drift(video: np.ndarray, truth: TrueWalk, chunk: int) -> Drift:
    """Figures of a video (F, H, W, 3) with `chunk` frames a chunk after the photo."""
    rows = []
    for first in range(1, len(video), chunk):
        made, true = video[first : first + chunk], truth.images[first : first + chunk]
        distance = [perceptual_distance(a, b) for a, b in zip(made[EVERY - 1 :: EVERY], true[EVERY - 1 :: EVERY])]
        colours = [255 * as_unit(part).mean((1, 2)) for part in (made, true)]
        rows.append((
            psnr(made, true), float(np.mean(distance)),
            float(np.linalg.norm(colours[0] - colours[1], axis=1).mean()),
            _gradient_energy(made) / max(_gradient_energy(true), 1e-9),
        ))  # fmt: skip
    return Drift(*(tuple(float(value) for value in column) for column in zip(*rows)))


def _gradient_energy(images: np.ndarray) -> float:
    light = as_unit(images).mean(-1)
    return float((np.diff(light, axis=1) ** 2).mean() + (np.diff(light, axis=2) ** 2).mean())


@dataclass(frozen=True)
class Revealed:
    """What a generator shows where the photo showed nothing."""

    perceptual: float
    """Perceptual distance to what is there in the world; mean over pixels."""
    frechet: float
    """Frechet distance of features of 8x8 patches between all that was made and all that is there; nan for too few."""


def revealed(videos: Sequence[np.ndarray], truths: Sequence[TrueWalk]) -> Revealed:
    """Figures of videos (F, H, W, 3) together, in newly revealed regions."""
    distances, weights, made, true = [], [], [], []
    for video, truth in zip(videos, truths):
        for index in range(EVERY, min(REVEALED_FRAMES, len(video) - 1) + 1, EVERY):
            mask = truth.revealed(index)
            if mask.mean() < LEAST_REVEALED:
                continue
            weights.append(mask.mean())
            distances.append(perceptual_distance(video[index], truth.images[index], mask=mask))
            made.append(patch_features(video[index], mask))
            true.append(patch_features(truth.images[index], mask))
    if not weights:
        return Revealed(float("nan"), float("nan"))
    patches = np.concatenate(made), np.concatenate(true)
    distance = frechet_distance(*patches) if len(patches[0]) >= FEWEST_PATCHES else float("nan")
    return Revealed(float(np.average(distances, weights=weights)), distance)


Score = TypeVar("Score")


@dataclass(frozen=True)
class Measured(Generic[Score]):
    """Means over worlds: their mean over seeds, and their standard deviation."""

    mean: Score
    spread: Score


def measured(scores: Sequence[Sequence[Score]]) -> Measured[Score]:
    """Of scores by seed, then world; a dataclass whose fields are numbers or rows of numbers."""
    kind = type(scores[0][0])
    means: list[object] = []
    spreads: list[object] = []
    for entry in fields(kind):  # type: ignore[arg-type]
        by_seed = np.mean([[getattr(score, entry.name) for score in worlds] for worlds in scores], axis=1)
        for results, values in ((means, by_seed.mean(0)), (spreads, by_seed.std(0))):
            results.append(tuple(values.tolist()) if np.ndim(values) else float(values))
    return Measured(kind(*means), kind(*spreads))
