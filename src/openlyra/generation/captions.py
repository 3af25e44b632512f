"""Captions of a walk: one text, or one a chunk from a JSON file (spec generation.md 2.3)."""

from __future__ import annotations

import json
from pathlib import Path

from openlyra.errors import InputError

MAX_BYTES = 4_000_000


def read_captions(path: Path) -> dict[int, str]:
    """Captions by frame index from a JSON object such as {"0": "...", "81": "..."}. Raises InputError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: {path.stat().st_size} bytes; captions have at most {MAX_BYTES}")
        pairs = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file of captions ({error})") from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs) or not pairs:
        raise InputError(f'{path}: captions are a JSON object such as {{"0": "...", "81": "..."}}')
    captions: dict[int, str] = {}
    for key, caption in pairs:
        if not (key.isascii() and key.isdigit()):
            raise InputError(f"{path}: key {key!r} is no frame index; keys are numbers such as 0 or 81")
        if not isinstance(caption, str) or not caption.strip():
            raise InputError(f"{path}: the caption of frame {key} is {caption!r}; a text is needed")
        if int(key) in captions:
            raise InputError(f"{path}: frame {int(key)} has two captions")
        captions[int(key)] = caption
    return captions


def caption_at(captions: dict[int, str], frame: int) -> str:
    """The caption with the largest key up to `frame`, or else the one with the smallest key."""
    return captions[max((key for key in captions if key <= frame), default=min(captions))]


def chunk_captions(captions: dict[int, str], chunks: int, length: int, name: str = "captions") -> list[str]:
    """One caption a chunk of `length` new frames; a single caption serves all chunks.

    Keys beyond the last frame are left aside. Raises InputError for a chunk without a caption of its own."""
    if len(captions) == 1 or not chunks:
        return [next(iter(captions.values()))] * chunks
    for chunk in range(chunks):
        first, before = chunk * length + 1, (chunk - 1) * length + 1
        if not any(before < key <= first for key in captions):
            keys = ", ".join(str(key) for key in sorted(captions))
            needed = first if chunk else 0
            raise InputError(
                f"{name}: no caption for frames {first} to {first + length - 1}; give one with key {needed} "
                f"(there are keys {keys})"
            )
    return [caption_at(captions, chunk * length + 1) for chunk in range(chunks)]
