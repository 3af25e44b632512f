"""Generators: each walks along a path and makes the video's frames. Found through one table."""

from __future__ import annotations

from collections.abc import Callable

from openlyra.errors import InputError
from openlyra.generation.base import Generator


def _exemplar() -> Generator:
    from openlyra.generation.exemplar import ExemplarGenerator

    return ExemplarGenerator()


GENERATORS: dict[str, Callable[[], Generator]] = {"exemplar": _exemplar}


def load_generator(name: str) -> Generator:
    """The generator of that name. Raises InputError for a name that is not in `GENERATORS`."""
    if name not in GENERATORS:
        raise InputError(f"generator '{name}' is not known; choose from: {', '.join(sorted(GENERATORS))}")
    return GENERATORS[name]()
