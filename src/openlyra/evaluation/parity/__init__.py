"""Golden files: numbers recorded from the reference, compared with what this code computes.

Each kind of file has one module here with a function ``check(file: GoldenFile) -> Iterator[Comparison]``. The table
below finds the module: the first kind whose pattern matches the file's stem takes the file, whatever the name says
beyond, so that `net_lyra_forward` and `net_lyra_anything_new` are checked by the same code. A file whose name says
nothing is recognised by its keys. A module decides what to do by the file's keys.

A new kind is its module and one line in the table. `python tools/parity.py DIR` checks a folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
    keys: str | None = None
    """Regular expression for whole tensor keys by which a file of another name is recognised."""


KINDS: tuple[Kind, ...] = (
    Kind(".*weights", "formula_weights"),
    Kind(".*grad", "gradients", keys=r"(.+\.)?(loss|grad.*)"),
    Kind("net_", "network", keys=r"(.+\.)?mid\.(tokens|block0|head)\..*"),
    Kind("primitives", "primitives", keys=r"(rope\.hd|rmsnorm|clean_init).*"),
    Kind("net_info|extra_info", "network_facts", ".json"),
    Kind(r"state_dict_\d+b", "key_table", ".tsv"),
    Kind(r"state_dict_\d+b_summary", "key_table", ".json"),
    Kind("state_dict_.*(vae|encoder)", "companion_tables", ".tsv"),
    Kind("schedulers", "schedulers", keys=r"unipc\..*"),
    Kind("conditioning", "conditioning", keys=r".+\.(cond_latent_channels|buffer_tail_pixel0)"),
    Kind("ar_rollout", "ar_rollout", keys=r".+\.final_history_latents"),
    Kind("cameras", "cameras", keys=r"(load_traj|look_at|horizontal\.right)\..*"),
    Kind("geometry", "geometry", keys=r"(warp_single|unproject)\..*"),
    Kind("retrieval", "retrieval", keys=r"world_points\..*"),
    Kind("plucker", "plucker_coords", keys=r"rays_origin_direction"),
    Kind("vae", "vae_tiny"),
    Kind("text_image_encoders", "text_image_encoders"),
)  # fmt: skip
"""First match wins."""

COMPANIONS: tuple[str, ...] = (
    r".*\.md",
    r"(schedulers|conditioning|ar_rollout|cameras|geometry|retrieval|extra).*info\.json",
)
"""Files that other checks read, or text: not checked by themselves, and no reason to complain."""


def kind_of(name: str, keys: Iterable[str] = ()) -> Kind | None:
    """The kind of the file called `name`, or else the kind whose tensors it holds; None when nothing here checks it."""
    stem, dot, extension = name.rpartition(".")
    suited = [kind for kind in KINDS if kind.suffix == dot + extension]
    named = next((kind for kind in suited if re.match(kind.pattern, stem)), None)
    if named is not None:
        return named
    given = list(keys)
    return next((kind for kind in suited if kind.keys and any(re.fullmatch(kind.keys, key) for key in given)), None)
