"""Worlds as JSON and back."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any

from openlyra.errors import InputError
from openlyra.worlds.packed import check_world
from openlyra.worlds.types import World

FORMAT = "openlyra-world-1"
MAX_CHARACTERS = 64_000_000
"""Longest text that is read."""
MAX_ITEMS = 200_000
"""Most primitives, materials, places or links that are read."""


def world_to_json(world: World) -> str:
    """Text that `world_from_json` turns into an equal world."""
    return json.dumps({"format": FORMAT, **dataclasses.asdict(world)}, separators=(",", ":"))


def world_from_json(text: str, what: str = "world") -> World:
    """The world a text describes. Raises InputError, naming `what` and the place, when it is none."""
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"{what}: {len(text)} characters are more than the {MAX_CHARACTERS} that a world may have")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what}: is not JSON ({error})") from None
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise InputError(f"{what}: is not a world; its 'format' must be '{FORMAT}'")
    world: World = _decode(World, data, what)
    check_world(world)
    return world


def _decode(kind: Any, value: Any, where: str) -> Any:
    """A value of an annotated type from what JSON gave."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _decode(next(a for a in arguments if a is not type(None)), value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise InputError(f"{where}: '{value}' is not one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        return _decode_tuple(arguments, value, where)
    if dataclasses.is_dataclass(kind):
        return _decode_fields(kind, value, where)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise InputError(f"{where}: {str(value)[:40]!r} is not {getattr(kind, '__name__', kind)}")


def _decode_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise InputError(f"{where}: a list of at most {MAX_ITEMS} entries is needed")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_decode(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(arguments):
        raise InputError(f"{where}: {len(arguments)} entries are needed, not {len(value)}")
    return tuple(_decode(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(arguments, value)))


def _decode_fields(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise InputError(f"{where}: a JSON object for {kind.__name__} is needed")
    hints = typing.get_type_hints(kind)
    unknown = set(value) - set(hints)
    if unknown:
        raise InputError(f"{where}: {kind.__name__} has no field '{sorted(unknown)[0]}'")
    needed = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]
    for name in needed:
        if name not in value:
            raise InputError(f"{where}: the field '{name}' is missing")
    return kind(**{name: _decode(hints[name], item, f"{where}.{name}") for name, item in value.items()})
