"""Generators: each walks along a path and makes the video's frames. Found through one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from openlyra.errors import InputError
from openlyra.generation.base import Generator


def _exemplar(options: dict[str, Any]) -> Generator:
    from openlyra.generation.exemplar import ExemplarGenerator

    _refuse("exemplar", options, set())
    return ExemplarGenerator()


def _lyra(options: dict[str, Any]) -> Generator:
    from openlyra.generation.lyra import LyraGenerator, LyraSettings

    _refuse("lyra", options, {field.name for field in fields(LyraSettings)})
    return LyraGenerator(LyraSettings(**options))


def _inpaint(options: dict[str, Any]) -> Generator:
    from openlyra.generation.inpaint import InpaintGenerator, InpaintSettings

    _refuse("inpaint", options, {field.name for field in fields(InpaintSettings)})
    return InpaintGenerator(InpaintSettings(**options))


GENERATORS: dict[str, Callable[[dict[str, Any]], Generator]] = {
    "exemplar": _exemplar, "inpaint": _inpaint, "lyra": _lyra,
}  # fmt: skip


def load_generator(name: str, **options: Any) -> Generator:
    """The generator of that name; no weights are loaded yet.

    Raises InputError for a name that is not in `GENERATORS` and for options it does not have or cannot use."""
    if name not in GENERATORS:
        raise InputError(f"generator '{name}' is not known; choose from: {', '.join(sorted(GENERATORS))}")
    return GENERATORS[name](options)


def _refuse(name: str, options: dict[str, Any], known: set[str]) -> None:
    """Raise InputError for an option that is not known."""
    for option in sorted(options.keys() - known):
        raise InputError(f"generator '{name}' has no option --{option.replace('_', '-')}")
