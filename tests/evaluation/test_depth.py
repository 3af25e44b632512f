from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from openlyra.cli.main import main
from openlyra.errors import InputError
from openlyra.evaluation.depth import align_inverse, mean_score, read_rgbd, score_aligned, score_depth, vertical_ramp


def test_figures_by_hand() -> None:
    truth = np.array([[1.0, 2.0, 4.0, 0.0]])
    said = np.array([[1.0, 2.6, 3.0, 9.0]])
    score = score_depth(said, truth)
    assert score.delta1 == pytest.approx(1 / 3)  # ratios 1, 1.3, 1.333; the unknown pixel does not count
    assert score.absrel == pytest.approx((0 + 0.3 + 0.25) / 3)
    assert score.rmse_log == pytest.approx(np.sqrt((np.log(1.3) ** 2 + np.log(4 / 3) ** 2) / 3))


def test_alignment_undoes_scale_and_shift_and_cuts_at_twenty_metres() -> None:
    truth = np.array([[0.5, 1.0, 2.0, 4.0, 10.0, 0.0]])
    inverse = (1 / np.where(truth > 0, truth, 1) - 0.3) / 7
    inverse[0, 5] = -5.0
    aligned = align_inverse(inverse, truth)
    np.testing.assert_allclose(aligned[0, :5], truth[0, :5], rtol=1e-9)
    assert aligned[0, 5] == 20.0
    assert score_aligned(inverse, truth).delta1 == 1.0


def test_least_squares_by_hand() -> None:
    """Inverse depths 1, 1/2 and 1/2 said as 1, 0 and 1: scale 1/4, shift 1/2."""
    aligned = align_inverse(np.array([[1.0, 0.0, 1.0]]), np.array([[1.0, 2.0, 2.0]]))
    np.testing.assert_allclose(aligned, [[1 / 0.75, 2.0, 1 / 0.75]])


def test_ramp_and_mean() -> None:
    ramp = vertical_ramp(3, 2)
    np.testing.assert_array_equal(ramp, [[0, 0], [0.5, 0.5], [1, 1]])
    one, two = score_depth(np.ones((1, 2)), np.ones((1, 2))), score_depth(np.ones((1, 2)), np.full((1, 2), 2.0))
    mean = mean_score([one, two])
    assert (mean.delta1, mean.absrel) == (0.5, 0.25)


def write(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


RGB, DEPTH = np.zeros((20, 30, 3), np.uint8), np.ones((20, 30), np.float16)


def test_reader_takes_what_it_should(tmp_path: Path) -> None:
    depth = DEPTH.copy()
    depth[0, :3] = np.nan, np.inf, -1
    photo = read_rgbd(write(tmp_path / "a.npz", rgb=RGB, depth=depth))
    assert photo.name == "a" and photo.depth.dtype == np.float32
    assert (photo.depth[0, :4] == [0, 0, 0, 1]).all()


def test_reader_refuses_the_rest_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    objects = np.empty((20, 30), object)
    cases = {
        "no such file": tmp_path / "missing.npz",
        "not a readable": tmp_path / "text.npz",
        "no array 'rgb'": write(tmp_path / "b.npz", depth=DEPTH),
        "rgb is float32": write(tmp_path / "c.npz", rgb=RGB.astype(np.float32), depth=DEPTH),
        "depth is float16": write(tmp_path / "d.npz", rgb=RGB, depth=DEPTH[:-1]),
        "array 'depth' is object": write(tmp_path / "e.npz", rgb=RGB, depth=objects),
        "0 pixels": write(tmp_path / "f.npz", rgb=RGB, depth=DEPTH * 0),
    }
    for message, path in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            read_rgbd(path)
        assert "\n" not in str(caught.value)


def test_a_claimed_size_is_checked_before_memory_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", rgb=RGB, depth=DEPTH)
    with zipfile.ZipFile(path) as archive:
        header = archive.read("rgb.npy")
    huge = header.replace(b"(20, 30, 3), ", b"(99999, 9999, 3), ")
    huge = huge[:8] + (int.from_bytes(huge[8:10], "little") + len(huge) - len(header)).to_bytes(2, "little") + huge[10:]
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("rgb.npy", huge)
    with pytest.raises(InputError, match="64 megapixels"):
        read_rgbd(tmp_path / "huge.npz")


def test_command_prints_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (48, 64, 3), np.uint8)
    depth = np.repeat(np.linspace(4, 1, 48)[:, None], 64, axis=1)
    path = write(tmp_path / "desk.npz", rgb=rgb, depth=depth)
    assert main(["evaluate", "depth", str(path), "--depth", "layout", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["vertical ramp"]["desk"]["delta1"] > 0.5
    assert figures["layout"].keys() == {"desk", "mean"}
    assert main(["evaluate", "depth", str(path), "--depth", "layout"]) == 0
    assert "desk" in capsys.readouterr().out
    assert main(["evaluate", "depth"]) == 2
