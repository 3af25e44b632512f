"""Golden files: numbers recorded from the reference, compared with what this code computes.

Each kind of file has one module here with a function ``check(file: GoldenFile) -> Iterator[Comparison]``. The table
below finds the module: the first kind whose pattern matches the file's stem takes the file, whatever else the name says,
so that `net_lyra_forward` and `net_lyra_anything_new` are checked by the same code. A module decides what to do by the
file's keys.

A new kind is its module and one line in the table. `python tools/parity.py DIR` checks a folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["COMPANIONS", "KINDS", "Kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """A kind of golden file."""

    pattern: str
    """Regular expression for the start of the file's stem."""
    module: str
    """Module below openlyra.evaluation.parity; imported only when such a file is there."""
    suffix: str = ".safetensors"
    """File name extension."""


KINDS: tuple[Kind, ...] = (
    Kind("net_.*weights", "formula_weights"),
    Kind("schedulers", "schedulers"),
    Kind("conditioning", "conditioning"),
    Kind("vae", "vae_tiny"),
    Kind("text_image_encoders", "text_image_encoders"),
)  # fmt: skip
"""First match wins."""

COMPANIONS: tuple[str, ...] = (r".*\.md", r"(schedulers|conditioning|ar_rollout|cameras|geometry|retrieval|extra).*info\.json")
"""Files that other checks read, or text: not checked by themselves, and no reason to complain."""


def kind_of(name: str) -> Kind | None:
    """The kind of the file called `name`, None when nothing here checks it."""
    stem, dot, extension = name.rpartition(".")
    return next((kind for kind in KINDS if kind.suffix == dot + extension and re.match(kind.pattern, stem)), None)
