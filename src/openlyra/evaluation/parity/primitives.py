"""`primitives`: rotary angles and rotation, ladders, time sinusoid, RMS norm, sin-cos code, clean embeddings."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch

from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare
from openlyra.models.frame_packing import Layout, token_positions
from openlyra.models.lyra_config import RELEASED_LAYOUT
from openlyra.models.lyra_dit import time_sinusoid
from openlyra.models.lyra_init import enlarged_embedding
from openlyra.models.lyra_layers import RMSNorm, sincos_encode
from openlyra.models.rotary import frequencies, plane_split, rotary_angles, rotate

TOLERANCE = 1e-5


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Whatever primitives the file holds."""
    yield from _rotary(file)
    if "time_sinusoid.t" in file:
        expected = file["time_sinusoid.out"]
        yield compare(
            "time_sinusoid.out", time_sinusoid(file["time_sinusoid.t"], expected.shape[-1]), expected, TOLERANCE
        )
    if "rmsnorm.in" in file:
        norm = RMSNorm(len(file["rmsnorm.weight"]), 1e-6)
        norm.weight.data.copy_(file["rmsnorm.weight"])
        yield compare("rmsnorm.out", norm(file["rmsnorm.in"]), file["rmsnorm.out"], TOLERANCE)
    if "buffer_sincos.in" in file:
        given, expected = file["buffer_sincos.in"], file["buffer_sincos.out"]
        octaves = expected.shape[-1] // given.shape[-1] // 2
        yield compare("buffer_sincos.out", sincos_encode(given, octaves), expected, TOLERANCE)
    if "clean_init.patch_embedding.weight" in file:
        yield from _clean_embeddings(file)


def _rotary(file: GoldenFile) -> Iterator[Comparison]:
    for key in sorted(file.keys):
        match = re.fullmatch(r"rope\.hd(\d+)\.angles_(\d+)x(\d+)x(\d+)", key)
        if match is None:
            continue
        head, frames, rows, columns = map(int, match.groups())
        angles = rotary_angles(token_positions(None, frames, 2 * rows, 2 * columns), head)
        yield compare(key, angles, file[key], TOLERANCE)
        if f"rope.hd{head}.in" in file:
            turned = rotate(file[f"rope.hd{head}.in"], angles.cos(), angles.sin())
            yield compare(f"rope.hd{head}.out", turned, file[f"rope.hd{head}.out"], TOLERANCE)
        for axis, planes in zip(("t", "hw"), plane_split(head)):
            if f"rope.hd{head}.{axis}_frequencies" in file:
                name = f"rope.hd{head}.{axis}_frequencies"
                yield compare(name, frequencies(planes), file[name], TOLERANCE)


def _clean_embeddings(file: GoldenFile) -> Iterator[Comparison]:
    base, bias = file["clean_init.patch_embedding.weight"], file["clean_init.patch_embedding.bias"]
    for index, segment in enumerate(Layout.parse(RELEASED_LAYOUT).segments):
        weight = enlarged_embedding(base, segment)
        for name, value in (
            ("weight", weight),
            ("bias", bias),
            ("weight_first_channel_rows", weight[:, :256]),
            ("weight_row_sums", torch.sum(weight, 1)),
        ):
            key = f"clean_init.{index}.{name}"
            if key in file:
                yield compare(key, value, file[key], TOLERANCE)
