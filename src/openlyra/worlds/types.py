"""What a procedural world is made of: small frozen descriptions that survive a trip through JSON.

Axes are OpenCV's: x right, y DOWN, z forward; lengths are metres; the ground is the plane y = 0, so "up" is -y.
A yaw of 0 looks along +z and grows to the right: forward = (sin yaw, 0, cos yaw). Colours are linear RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Vector = tuple[float, float, float]
Color = tuple[float, float, float]

Shape = Literal["box", "room", "ellipsoid", "frustum", "ring", "capsule", "prism", "quad", "disc"]
"""All shapes live in their own frame (x right, y down, z forward) with half sizes (a, b, c):

box        |x| <= a, |y| <= b, |z| <= c.
room       the same box seen from inside: only its inner faces exist, and it casts no shadow.
ellipsoid  half axes a, b, c.
frustum    upright, half height b, radii (a, c) at the bottom, `detail` times that at the top: 1 cylinder, 0 cone.
ring       upright hollow cylinder without lids (cup, pipe, tyre, arch): inner radius = `detail` times the outer.
capsule    upright tube of radius a with round ends, half length b with the ends; c is ignored.
prism      roof or ramp: base |x| <= a at the bottom (y = b), ridge along z at the top (y = -b) at x = `detail` * a:
           0 is a gable roof, -1 or 1 a ramp.
quad       rectangle |x| <= a, |y| <= b in the plane z = 0, seen from both sides; c is ignored.
disc       ellipse of half axes a, b in the plane z = 0, seen from both sides; c is ignored.
"""

Texture = Literal[
    "plain", "noise", "brick", "tile", "plank", "plaster", "foliage", "fabric", "stone", "facade", "books", "screen",
    "poster", "gravel", "asphalt", "grass", "water", "checker", "carpet", "stripes", "bark", "marble", "roof", "wood",
    "sand", "rock", "snow", "metal", "panel", "cobble",
]  # fmt: skip
"""Patterns over the primitive's own coordinates. brick, tile, plank, stone, roof and cobble have joints in `color2`;
facade has windows in `color2` with frames in `color3`; books are rows of spines; screen and poster are random pictures
that fill a whole face; panel is large plates with thin joints."""

CloudKind = Literal["none", "cumulus", "stratus", "cirrus", "broken"]
CutoutKind = Literal["leaves", "bars", "mesh", "spokes"]

SHAPES: tuple[str, ...] = get_args(Shape)
TEXTURES: tuple[str, ...] = get_args(Texture)
CLOUDS: tuple[str, ...] = get_args(CloudKind)
CUTOUTS: tuple[str, ...] = get_args(CutoutKind)


@dataclass(frozen=True)
class Material:
    """How a surface looks."""

    texture: Texture = "plain"
    color: Color = (0.6, 0.6, 0.6)
    """Main colour, linear."""
    color2: Color = (0.4, 0.4, 0.4)
    """Second colour: joints, dark grain, the other field of a pattern."""
    color3: Color | None = None
    """Third colour where the texture has one; mixed from the others if None."""
    scale: float = 1.0
    """Metres of one element: a brick's length, a tile's side, a plank's width, a storey, a noise blob."""
    seed: int = 0
    gloss: float = 0.0
    """Strength of mirror-like reflection, 0 to 1."""
    roughness: float = 0.6
    """0 sharp highlights to 1 none."""
    sheen: float = 0.0
    """Brightening towards the outline, as on cloth and leaves, 0 to 1."""
    bump: float = 0.3
    """How strongly the pattern tilts the shading normal (never the true one), 0 to 1."""
    grime: float = 0.3
    """Large soft stains and unevenness of brightness, 0 to 1."""
    emission: float = 0.0
    """Light the surface sends out by itself, in units of a white wall in full light; lamps and screens 1 to 4."""


@dataclass(frozen=True)
class Cutout:
    """Regular or leaf-like holes that rays pass through, so that thin structure costs one primitive."""

    kind: CutoutKind = "leaves"
    """leaves: ragged clumps (any shape); bars: upright bars; mesh: bars both ways; spokes: from the middle (discs)."""
    size: float = 0.1
    """Metres from bar to bar, or of a leaf clump; for spokes the number of spokes."""
    solid: float = 0.5
    """Share of the surface that remains, 0 to 1."""
    seed: int = 0


@dataclass(frozen=True)
class Primitive:
    """One shape of one material."""

    shape: Shape
    position: Vector
    """Its middle in the world."""
    half: Vector
    """Half sizes along its own axes, metres."""
    material: int
    """Index into `World.materials`."""
    rotation: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """Unit quaternion w x y z that takes its own axes to the world's."""
    detail: float = 1.0
    """What the shape says about it: ratio of radii, ridge position."""
    cutout: Cutout | None = None


@dataclass(frozen=True)
class Ground:
    """The endless plane y = `level`."""

    material: int
    level: float = 0.0
    patches: int | None = None
    """Second material that shows in soft patches (dirt in grass), None for none."""
    patch_size: float = 4.0
    """Metres."""
    patch_share: float = 0.3


@dataclass(frozen=True)
class Terrain:
    """Rolling or ridged land: y = -height(x, z); see `openlyra.worlds.terrain`."""

    material: int
    """Grass, sand, snow ... of the gentle slopes."""
    steep: int
    """Rock of the steep ones."""
    seed: int = 0
    amplitude: float = 20.0
    """Metres between valleys and hills."""
    wavelength: float = 120.0
    """Metres between hills."""
    ridged: float = 0.0
    """0 rolling to 1 sharp ridges."""
    roughness: float = 0.5
    """How much every finer octave keeps of the one before, 0.3 to 0.6."""
    flat_radius: float = 12.0
    """Metres around the origin where the land is gentle, so that there is room to stand and look."""
    path_width: float = 0.0
    """Width of a trodden path in `path` material that winds along z, metres; 0 for none."""
    path: int | None = None
    snow_height: float | None = None
    """Height above which gentle slopes are white, metres; None for no snow."""
    far: float = 900.0
    """Where the land ends, metres."""


@dataclass(frozen=True)
class Water:
    """A water surface y = `level` (positive: below the ground plane)."""

    level: float
    color: Color = (0.03, 0.1, 0.11)
    ripple: float = 0.3
    """0 mirror to 1 rough."""
    scale: float = 0.8
    """Metres between ripples."""


@dataclass(frozen=True)
class Sky:
    """What rays see that hit nothing."""

    zenith: Color = (0.18, 0.36, 0.75)
    horizon: Color = (0.72, 0.82, 0.92)
    clouds: CloudKind = "cumulus"
    cover: float = 0.4
    """Share of the sky that clouds take, 0 to 1."""
    cloud_color: Color = (1.0, 1.0, 1.0)
    cloud_shade: Color = (0.55, 0.58, 0.64)
    cloud_size: float = 1.0
    """1 is usual; larger is larger."""
    haze: float = 0.3
    """Brightening towards the horizon, 0 to 1."""
    glow: float = 0.5
    """Brightness around the sun, 0 to 1."""
    seed: int = 0


@dataclass(frozen=True)
class Lamp:
    """A small round light source without a body (give it one of an emissive material)."""

    position: Vector
    color: Color = (1.0, 0.9, 0.75)
    strength: float = 1.0
    """Brightness of a white wall one metre away."""


@dataclass(frozen=True)
class Light:
    """Sun, sky light and lamps."""

    sun_direction: Vector = (0.4, -0.8, -0.45)
    """From the scene TOWARDS the sun (so y is negative); any length but zero."""
    sun: float = 0.9
    """Brightness of a white wall that faces the sun."""
    sun_color: Color = (1.0, 0.95, 0.86)
    ambient: float = 0.45
    """Brightness of a white wall in the shade."""
    sky_color: Color = (0.9, 0.97, 1.1)
    """Tint of what comes from above."""
    bounce_color: Color = (1.0, 0.93, 0.85)
    """Tint of what comes from below."""
    lamps: tuple[Lamp, ...] = ()
    """At most 8 are used."""


@dataclass(frozen=True)
class Fog:
    """Haze that grows with distance."""

    density: float = 0.0
    """Per metre; 0.003 light haze, 0.03 thick fog."""
    color: Color = (0.75, 0.8, 0.85)


@dataclass(frozen=True)
class Place:
    """Somewhere a camera may stand."""

    position: Vector
    """On the floor or ground (y down)."""
    radius: float = 0.4
    """Free room around it, metres."""
    facing: float | None = None
    """Yaw in radians of the best view, None if any direction is good."""


@dataclass(frozen=True)
class CameraRange:
    """Views that suit a world; angles in degrees."""

    height: tuple[float, float] = (1.0, 1.9)
    """Metres above the place the camera stands on."""
    pitch: tuple[float, float] = (6.0, 7.0)
    """Mean and spread; positive looks down."""
    roll: float = 1.5
    """Spread."""
    fov: tuple[float, float] = (35.0, 90.0)
    """Field of view across the longer side of the image."""


@dataclass(frozen=True)
class World:
    """A static scene with everything needed to draw it and to walk through it."""

    kind: str
    seed: int
    materials: tuple[Material, ...]
    primitives: tuple[Primitive, ...]
    ground: Ground | None = None
    terrain: Terrain | None = None
    water: Water | None = None
    sky: Sky = Sky()
    light: Light = Light()
    fog: Fog = Fog()
    places: tuple[Place, ...] = (Place((0.0, 0.0, 0.0)),)
    links: tuple[tuple[int, int], ...] = ()
    """Pairs of places with a free straight way between them."""
    cameras: CameraRange = CameraRange()
    indoor: bool = False
    """Whether light from the sky is blocked by a ceiling."""
