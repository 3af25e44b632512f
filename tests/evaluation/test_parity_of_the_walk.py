"""Recorded numbers of the walk: schedulers, conditioning, whole runs, warps, retrieval, cameras."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from openlyra.evaluation.parity.folder import check_file

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(
    "name",
    ["schedulers", "conditioning_part", "ar_rollout_part", "geometry", "retrieval", "plucker_coords", "cameras"],
)
def test_recorded_numbers(name: str) -> None:
    report = check_file(GOLDEN / f"{name}.safetensors")
    assert report.verdict == "ok", (report.remark, [c for c in report.comparisons if not c.passed])
    assert not report.not_compared


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("schedulers", "unipc.traj_n4_shift5.x"),
        ("retrieval", "world_points.16"),
        ("plucker_coords", "canonical_coords.n3"),
        ("geometry", "warp_single.image"),
    ],
)
def test_a_wrong_number_is_found(name: str, key: str, tmp_path: Path) -> None:
    tensors = load_file(GOLDEN / f"{name}.safetensors")
    tensors[key] = tensors[key].clone()
    tensors[key].view(-1)[5] += 1e-3
    save_file(tensors, tmp_path / f"{name}.safetensors")
    info = GOLDEN / f"{name}_info.json"
    if info.is_file():
        shutil.copyfile(info, tmp_path / info.name)
    report = check_file(tmp_path / f"{name}.safetensors")
    assert report.verdict == "FAILED" and any(key in c.name for c in report.comparisons if not c.passed)
