"""Licences of weights: every one is recorded and printed; those that forbid commercial use must be accepted by name."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from openlyra.errors import InputError
from openlyra.media.atomic import write_bytes_atomic

RECORD = "licences.json"
"""File in a model folder that says what came from where, under which licence."""
MAX_RECORD_BYTES = 1 << 20


@dataclass(frozen=True)
class Licence:
    """Terms under which weights may be used."""

    name: str
    """Short name, which `--accept-license` takes."""
    title: str
    commercial: bool
    """Whether the terms allow commercial use."""
    url: str
    """Where the text is."""


LICENCES: dict[str, Licence] = {
    licence.name: licence
    for licence in (
        Licence("apache-2.0", "Apache License 2.0", True, "https://www.apache.org/licenses/LICENSE-2.0"),
        Licence("mit", "MIT License", True, "https://opensource.org/license/mit"),
        Licence(
            "nvidia-research", "NVIDIA Internal Scientific Research and Development Model License", False,
            "https://huggingface.co/nvidia/Lyra-2.0",
        ),
        Licence("cc-by-nc-4.0", "Creative Commons BY-NC 4.0", False, "https://creativecommons.org/licenses/by-nc/4.0/"),
        Licence(
            "openrail++", "CreativeML Open RAIL++-M License (with use restrictions)", True,
            "https://huggingface.co/stabilityai/stable-diffusion-2/blob/main/LICENSE-MODEL",
        ),
        Licence("unknown", "no licence is stated", False, ""),
    )
}  # fmt: skip
"""Licences by name."""


@dataclass(frozen=True)
class Entry:
    """Where one part of a model folder came from."""

    part: str
    """Folder or file below the model folder."""
    source: str
    """Repository or path."""
    licence: str
    """A name in `LICENCES`."""


def require_accepted(names: Iterable[str], accepted: Collection[str], what: str) -> None:
    """Raise InputError for a licence that forbids commercial use and was not accepted, or an unknown name."""
    for name in accepted:
        if name not in LICENCES:
            raise InputError(f"--accept-license {name}: is not known; choose from: {', '.join(sorted(LICENCES))}")
    for name in names:
        licence = LICENCES[name]
        if not licence.commercial and name not in accepted:
            where = f" ({licence.url})" if licence.url else ""
            raise InputError(
                f"{what}: its weights are under '{licence.title}'{where}, without commercial use; "
                f"if you accept that, add --accept-license {name}"
            )


def record(folder: Path, entries: Iterable[Entry]) -> None:
    """Write or extend the record of a model folder; a part that is there already is replaced."""
    known = {entry.part: entry for entry in recorded(folder)} | {entry.part: entry for entry in entries}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(known[part]) for part in sorted(known)], indent=1)
    write_bytes_atomic(folder / RECORD, f"{text}\n".encode())


def recorded(folder: Path) -> list[Entry]:
    """What a model folder says of its parts; empty without a record. Raises InputError when it is not readable."""
    path = folder / RECORD
    if not path.is_file():
        return []
    if path.stat().st_size > MAX_RECORD_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes; at most {MAX_RECORD_BYTES} are read")
    try:
        entries = [Entry(**{key: str(value) for key, value in item.items()}) for item in json.loads(path.read_text())]
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is not a record of licences ({error})") from error
    unknown = sorted({entry.licence for entry in entries} - LICENCES.keys())
    if unknown:
        raise InputError(f"{path}: licence '{unknown[0]}' is not known; known are {', '.join(sorted(LICENCES))}")
    return entries


def licence_of_source(path: Path, levels: int = 4) -> tuple[str, str]:
    """(repository, licence) of downloaded files, from the record beside or above them; (path, `unknown`) without one.

    Where a record names several licences, one that forbids commercial use counts.
    """
    folder = path if path.is_dir() else path.parent
    for place in (folder, *folder.resolve().parents)[:levels]:
        entries = sorted(recorded(place), key=lambda entry: LICENCES[entry.licence].commercial)
        if entries:
            return entries[0].source, entries[0].licence
    return str(path), "unknown"
