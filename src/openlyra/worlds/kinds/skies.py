"""Moods of light: skies, sun, haze, and what comes through the windows of a room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from openlyra.worlds.builder import SceneBuilder
from openlyra.worlds.kinds.palette import (
    Rng,
    bark,
    chance,
    darker,
    grey,
    hsv,
    leaves,
    linear,
    pick,
    seed_of,
    uniform,
    whole,
)
from openlyra.worlds.types import CloudKind, Color, Fog, Ground, Light, Material, Sky

_CLOUDS: dict[str, CloudKind] = {"clear": "none", "heaps": "cumulus", "broken": "broken", "cirrus": "cirrus"}


@dataclass(frozen=True)
class Mood:
    """Sky, light and haze that belong together."""

    sky: Sky
    light: Light
    fog: Fog

    @property
    def dark(self) -> bool:
        """Whether it is night outside."""
        return sum(self.sky.horizon) < 0.1


def _sun(rng: Rng, elevation: float, azimuth: float | None = None) -> tuple[float, float, float]:
    turn = uniform(rng, -math.pi, math.pi) if azimuth is None else azimuth
    flat = math.cos(elevation)
    return flat * math.sin(turn), -math.sin(elevation), flat * math.cos(turn)


def outdoors(rng: Rng, *, haze: float = 1.0, mood: str | None = None) -> Mood:
    """A mood under the open sky; `haze` multiplies the density of the air."""
    kind = mood or str(rng.choice(
        ["clear", "heaps", "heaps", "broken", "overcast", "overcast", "cirrus", "milky", "dusk", "grey"],
        p=[0.12, 0.14, 0.14, 0.14, 0.1, 0.08, 0.08, 0.08, 0.07, 0.05]))  # fmt: skip
    if kind == "dusk":
        return _dusk(rng, haze)
    if kind in ("overcast", "milky", "grey"):
        return _covered(rng, haze, kind)
    clouds = _CLOUDS[kind]
    blue = hsv(uniform(rng, 0.56, 0.62), uniform(rng, 0.4, 0.85), uniform(rng, 0.5, 0.9))
    horizon = linear([uniform(rng, 0.75, 0.95), uniform(rng, 0.84, 0.96), uniform(rng, 0.9, 1.0)])
    sky = Sky(blue, horizon, clouds, uniform(rng, 0.15, 0.9), _white(rng), _shade(rng), uniform(rng, 0.5, 2.0),
              uniform(rng, 0.0, 0.7), uniform(rng, 0.0, 0.8), seed_of(rng))  # type: ignore[arg-type]  # fmt: skip
    light = Light(
        _sun(rng, uniform(rng, 0.3, 1.2)),
        uniform(rng, 0.7, 1.2),
        (1.0, uniform(rng, 0.9, 0.98), uniform(rng, 0.78, 0.95)),
        uniform(rng, 0.3, 0.55),
    )
    return Mood(sky, light, _air(rng, haze, horizon))


def _white(rng: Rng) -> Color:
    return grey(rng, 0.92, 1.0)


def _shade(rng: Rng) -> Color:
    base = uniform(rng, 0.55, 0.85)
    return linear((base * 0.96, base * 0.98, base * 1.04))


def _air(rng: Rng, haze: float, color: Color) -> Fog:
    density = pick(rng, (0.0, 0.0, 0.0003, 0.0008, 0.0015, 0.004)) * haze
    return Fog(density, color)


def _covered(rng: Rng, haze: float, kind: str) -> Mood:
    """Full cover: white or grey all over, soft light without sun."""
    base = uniform(rng, 0.82, 0.98) if kind != "grey" else uniform(rng, 0.5, 0.75)
    top = linear((base * uniform(rng, 0.88, 1.0), base * uniform(rng, 0.92, 1.0), base))
    horizon = linear((min(1.0, base * 1.05), min(1.0, base * 1.05), min(1.0, base * 1.06)))
    clouds: CloudKind = "stratus" if kind != "milky" else pick(rng, ("none", "cirrus"))
    sky = Sky(
        top,
        horizon,
        clouds,
        uniform(rng, 0.5, 1.0),
        linear((base, base, base)),
        linear([base * 0.82] * 3),
        uniform(rng, 0.7, 2.5),
        uniform(rng, 0.2, 0.8),
        uniform(rng, 0.0, 0.3),
        seed_of(rng),
    )  # type: ignore[arg-type]
    light = Light(
        _sun(rng, uniform(rng, 0.5, 1.4)), uniform(rng, 0.0, 0.25), (1.0, 0.98, 0.95), uniform(rng, 0.6, 0.85)
    )
    return Mood(sky, light, _air(rng, haze * 1.7, horizon))


def _dusk(rng: Rng, haze: float) -> Mood:
    """A low red or golden sun."""
    hue = uniform(rng, 0.02, 0.12)
    horizon = hsv(hue, uniform(rng, 0.3, 0.7), uniform(rng, 0.8, 1.0))
    sky = Sky(
        hsv(uniform(rng, 0.56, 0.72), uniform(rng, 0.2, 0.6), uniform(rng, 0.4, 0.75)),
        horizon,
        pick(rng, ("none", "cirrus", "broken", "cumulus")),
        uniform(rng, 0.1, 0.7),
        hsv(hue, 0.3, 1.0),
        hsv(hue - 0.05, 0.4, 0.6),
        uniform(rng, 0.6, 1.8),
        uniform(rng, 0.1, 0.6),
        uniform(rng, 0.4, 1.0),
        seed_of(rng),
    )
    light = Light(
        _sun(rng, uniform(rng, 0.06, 0.3)),
        uniform(rng, 0.5, 1.0),
        (1.0, uniform(rng, 0.6, 0.85), uniform(rng, 0.3, 0.6)),
        uniform(rng, 0.3, 0.5),
    )
    return Mood(sky, light, _air(rng, haze, darker(horizon, 0.9)))


def through_windows(rng: Rng, yaws: Sequence[float]) -> Mood:
    """Light of a room whose windows face these outward yaws: sun patches, a grey day, or night with lamps."""
    mood = outdoors(rng, haze=0.3)
    r = rng.random()
    if not yaws or r < 0.12:  # night, or a room without windows
        dark = linear((0.05, 0.06, 0.12))
        night = Sky(dark, darker(dark, 1.5), "none", seed=seed_of(rng), glow=0.0)
        tint = (1.0, uniform(rng, 0.85, 1.0), uniform(rng, 0.65, 1.0))
        return Mood(night, Light((0.1, -1.0, 0.1), 0.0, ambient=uniform(rng, 0.4, 0.75), sky_color=tint), Fog())
    ambient = uniform(rng, 0.35, 0.8)
    warm = (1.0, uniform(rng, 0.92, 1.02), uniform(rng, 0.8, 1.08))
    bright = uniform(rng, 1.0, 2.2)
    sky = mood.sky
    sky = Sky(
        darker(sky.zenith, bright),
        darker(sky.horizon, bright),
        sky.clouds,
        sky.cover,
        darker(sky.cloud_color, bright),
        darker(sky.cloud_shade, bright),
        sky.cloud_size,
        sky.haze,
        sky.glow,
        sky.seed,
    )
    if r < 0.6:
        sun = _sun(rng, uniform(rng, 0.25, 0.95), pick(rng, list(yaws)) + uniform(rng, -0.9, 0.9))
        strength = uniform(rng, 0.8, 2.4)
    else:
        sun, strength = _sun(rng, uniform(rng, 0.5, 1.3)), 0.0
    return Mood(sky, Light(sun, strength, mood.light.sun_color, ambient, sky_color=warm), Fog())


def outside(scene: SceneBuilder, rng: Rng, yaws: Sequence[float], reach: float, drop: float, day: float) -> Ground:
    """What a room's windows look out on: ground `drop` metres below, houses, trees, all `day` times as bright; returns
    the ground."""
    for yaw in yaws:
        with scene.at(yaw=yaw):
            for _ in range(whole(rng, 0, 4)):
                _far_house(scene, rng, reach, drop, day)
            for _ in range(whole(rng, 0, 6)):
                tall, far = uniform(rng, 4, 12), reach + uniform(rng, 5, 30)
                x = uniform(rng, -0.7, 0.7) * far
                scene.cylinder(0.15, tall * 0.5, dimmed(bark(rng), day), x=x, z=far, up=-drop)
                scene.ellipsoid(
                    tall * 0.7, tall * 0.8, tall * 0.7, dimmed(leaves(rng), day), x=x, z=far, up=tall * 0.25 - drop
                )
    kind = pick(rng, ("grass", "asphalt", "tile", "gravel"))
    color = hsv(0.27, 0.5, 0.5) if kind == "grass" else grey(rng, 0.35, 0.7)
    ground = Material(kind, color, darker(color, 0.7), scale=0.5, seed=seed_of(rng))  # type: ignore[arg-type]
    return Ground(scene.material(dimmed(ground, day)), level=drop)


def dimmed(material: Material, factor: float) -> Material:
    """The same material as it looks in that share of the light."""
    return replace(
        material, color=darker(material.color, factor), color2=darker(material.color2, factor),
        color3=None if material.color3 is None else darker(material.color3, factor),
    )  # fmt: skip


def _far_house(scene: SceneBuilder, rng: Rng, reach: float, drop: float, day: float) -> None:
    width, height, far = uniform(rng, 5, 25), uniform(rng, 3, 18), reach + uniform(rng, 3, 35)
    color = grey(rng, 0.4, 0.9) if chance(rng, 0.5) else hsv(uniform(rng, 0.02, 0.14), 0.4, uniform(rng, 0.4, 0.9))
    wall = Material(
        pick(rng, ("facade", "facade", "brick")),  # blank plaster behind a pane cannot be told from a cloudy sky
        color,
        grey(rng, 0.1, 0.4),
        grey(rng, 0.7, 0.95),
        scale=3.0,
        seed=seed_of(rng),
    )
    if wall.texture == "brick":
        wall = Material("brick", color, grey(rng, 0.5, 0.8), scale=0.25, seed=seed_of(rng))
    scene.box(width, height, 8.0, dimmed(wall, day), x=uniform(rng, -0.6, 0.6) * far, z=far + 4.0, up=-drop)
