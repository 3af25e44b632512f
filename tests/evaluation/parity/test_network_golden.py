"""Recorded networks in every clone, and that the checks notice what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from openlyra.errors import InputError
from openlyra.evaluation.parity import KINDS, kind_of
from openlyra.evaluation.parity.folder import check_file, check_folder, table
from openlyra.evaluation.parity.formula import formula_weights
from openlyra.evaluation.parity.golden import GoldenFile, compare
from openlyra.evaluation.parity.gradients import compute
from openlyra.evaluation.parity.network_cases import RECORDED, build, formula_inputs

GOLDEN = Path(__file__).parents[2] / "golden"
FILES = {
    "net_lyra_forward_part.safetensors": 1e-5,
    "net_base_forward_part.safetensors": 1e-5,
    "net_lyra_variants.safetensors": 1e-5,
    "primitives.safetensors": 2e-6,
    "net_info.json": 1e-6,
    "extra_info.json": 1e-6,
    "state_dict_14b.tsv": 0,
    "state_dict_14b_summary.json": 0,
    "state_dict_vae.tsv": 0,
    "state_dict_text_image_encoders.tsv": 0,
}
"""Files and the worst error seen here, rounded up: tighter than what the checks allow."""


@pytest.mark.parametrize("name", FILES)
def test_recorded_numbers(name: str) -> None:
    report = check_file(GOLDEN / name)
    assert report.verdict == "ok", [c for c in report.comparisons if not c.passed] or report.remark
    assert not report.not_compared
    assert report.worst is not None and report.worst.error <= FILES[name]


def test_the_network_in_the_released_layout_needs_neither_inputs_nor_weights(tmp_path: Path) -> None:
    inputs, trace = formula_inputs(RECORDED[1]), {}
    with torch.no_grad():
        out = inputs.plain(build(RECORDED[1].config), trace)
    assert trace["tokens.x"].shape[1] == 383
    path = tmp_path / "net_real_forward.safetensors"
    save_file({"out": out.contiguous(), "mid.block1.out": trace["block1.out"]}, path)
    assert check_file(path).verdict == "ok"
    save_file({"out": (out + 1e-3).contiguous()}, path)
    assert check_file(path).verdict == "FAILED"


def test_gradients_under_any_name(tmp_path: Path) -> None:
    loss, gradients = compute(GoldenFile(tmp_path / "none.json"))
    some = {key: value.contiguous() for key, value in gradients.items() if key.startswith(("blocks.0", "head"))}
    for stem, prefix in (("net_gradients", "grad."), ("recorded", ""), ("other", "g.")):
        path = tmp_path / f"{stem}.safetensors"
        numbers = {"loss": torch.tensor(loss), **{f"{prefix}{key}": value for key, value in some.items()}}
        save_file(numbers, path)
        report = check_file(path)
        assert report.verdict == "ok" and len(report.comparisons) == len(numbers), report.remark
    key = f"{prefix}head.head.bias"
    save_file({**numbers, key: numbers[key] * 1.01}, path)
    assert [c.name for c in check_file(path).comparisons if not c.passed] == [key]


def test_weights_of_all_golden_networks(tmp_path: Path) -> None:
    shapes = {"a.weight": (3, 4), "b.gamma": (5, 1, 1), "b.bias": (5,), "c.modulation": (1, 6, 2), "d.weight": (4,)}
    path = tmp_path / "some_weights.safetensors"
    for prefix in ("", "vae."):
        save_file(formula_weights(shapes, prefix), path)
        assert check_file(path).verdict == "ok"
    save_file({key: value * 1.001 for key, value in formula_weights(shapes).items()}, path)
    assert check_file(path).verdict == "FAILED"


def test_what_is_off_is_reported(tmp_path: Path) -> None:
    variants = load_file(GOLDEN / "net_lyra_variants.safetensors")
    off = {**variants, "timestep_0.out": variants["timestep_0.out"] + 1e-3}
    save_file({**off, "never_heard_of.value": torch.zeros(1)}, tmp_path / "net_off.safetensors")
    (tmp_path / "net_broken.safetensors").write_bytes(b"not a safetensors file")
    (tmp_path / "unknown.bin").write_bytes(b"?")
    (tmp_path / "README.md").write_text("text")
    reports = {report.path.name: report for report in check_folder(tmp_path)}
    assert {name: report.verdict for name, report in reports.items()} == {
        "net_off.safetensors": "FAILED", "net_broken.safetensors": "FAILED", "unknown.bin": "no check",
        "README.md": "companion",
    }  # fmt: skip
    failed = [c.name for c in reports["net_off.safetensors"].comparisons if not c.passed]
    assert failed == ["timestep_0.out", "timestep_0.out (slow twin)"]
    assert reports["net_off.safetensors"].not_compared == ("never_heard_of.value",)
    text = "\n".join(table(reports.values()))
    assert "net_broken.safetensors: not a readable safetensors file" in text and "timestep_0.out" in text


def test_the_command_line_tells_by_its_exit_status(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        tool = Path(__file__).parents[3] / "tools" / "parity.py"
        return subprocess.run([sys.executable, str(tool), *arguments], capture_output=True, text=True, timeout=120)

    good = {"rmsnorm.in": torch.ones(1, 4), "rmsnorm.weight": torch.ones(4), "rmsnorm.out": torch.ones(1, 4)}
    save_file(good, tmp_path / "primitives.safetensors")
    done = run(str(tmp_path))
    assert done.returncode == 0 and "primitives.safetensors" in done.stdout, done.stderr
    save_file({**good, "rmsnorm.out": torch.zeros(1, 4)}, tmp_path / "primitives.safetensors")
    assert run(str(tmp_path)).returncode == 1
    missing = run(str(tmp_path / "none"))
    assert missing.returncode == 2 and missing.stderr.count("\n") == 1 and "not a folder" in missing.stderr


def test_empty_folders_and_wrong_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        check_folder(tmp_path)
    assert kind_of("net_anything.safetensors") == kind_of("x.safetensors", ["case.mid.tokens.x"])
    assert kind_of("x.safetensors", ["something"]) is None and KINDS


@pytest.mark.parametrize(
    ("got", "expected", "passes"),
    [
        ([1.0, float("nan")], [1.0, float("nan")], True),
        ([1.0, float("nan")], [1.0, 2.0], False),
        ([float("inf")], [float("inf")], True),
        ([float("inf")], [float("-inf")], False),
        ([1.0], [1.0, 1.0], False),
        ([1.0], [1.00001], True),
        ([1.0], [1.001], False),
    ],
)
def test_comparison(got: list[float], expected: list[float], passes: bool) -> None:
    assert compare("x", torch.tensor(got), torch.tensor(expected), 1e-4).passed == passes
