"""The kinds of worlds, how often depth training meets them, and their coarser groups.

A kind is a function of a random generator alone; it may be called by name through `make`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from openlyra.worlds.kinds.corridors import corridor, stairwell
from openlyra.worlds.kinds.flats import flat, workshop
from openlyra.worlds.kinds.harbours import harbour
from openlyra.worlds.kinds.heights import heights
from openlyra.worlds.kinds.landscapes import forest, hill_path, landscape, shore
from openlyra.worlds.kinds.rooms_home import attic, bathroom, bedroom, kitchen, living
from openlyra.worlds.kinds.rooms_office import lab, lecture, office
from openlyra.worlds.kinds.squares import plaza_stairs, square, temple
from openlyra.worlds.kinds.still_lifes import clutter, floor_things, shelf_view, table_top_view
from openlyra.worlds.kinds.streets import blocks, courtyard, garden, street
from openlyra.worlds.types import World

KINDS: dict[str, tuple[Callable[[np.random.Generator], World], float]] = {
    "office": (office, 0.16),
    "lab": (lab, 0.05),
    "lecture": (lecture, 0.05),
    "living": (living, 0.09),
    "bedroom": (bedroom, 0.06),
    "kitchen": (kitchen, 0.05),
    "bathroom": (bathroom, 0.015),
    "attic": (attic, 0.03),
    "corridor": (corridor, 0.08),
    "stairs": (stairwell, 0.03),
    "street": (street, 0.09),
    "blocks": (blocks, 0.02),
    "courtyard": (courtyard, 0.04),
    "garden": (garden, 0.03),
    "square": (square, 0.04),
    "temple": (temple, 0.03),
    "harbour": (harbour, 0.02),
    "terraces": (plaza_stairs, 0.01),
    "landscape": (landscape, 0.04),
    "forest": (forest, 0.02),
    "shore": (shore, 0.015),
    "path": (hill_path, 0.01),
    "heights": (heights, 0.01),
    "flat": (flat, 0.035),
    "workshop": (workshop, 0.03),
    "tabletop": (table_top_view, 0.06),
    "objects": (floor_things, 0.03),
    "shelves": (shelf_view, 0.03),
    "clutter": (clutter, 0.04),
}
"""Name -> (function, sampling weight); weights need not sum to one."""

GROUPS: dict[str, tuple[str, ...]] = {
    "rooms": ("office", "lab", "lecture", "living", "bedroom", "kitchen", "bathroom", "attic", "flat", "workshop"),
    "corridors": ("corridor", "stairs"),
    "streets": ("street", "blocks", "courtyard", "garden"),
    "squares": ("square", "temple", "harbour", "terraces"),
    "landscapes": ("landscape", "forest", "shore", "path", "heights"),
    "still_lifes": ("tabletop", "objects", "shelves"),
    "mixtures": ("clutter",),
}
"""Coarse names for the command line."""
