from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from openlyra.errors import InputError
from openlyra.models.depth_net import DepthNet, convex_upsample
from openlyra.models.depth_weights import read_depth_net


def fresh(seed: int = 0) -> DepthNet:
    torch.manual_seed(seed)
    return DepthNet().eval()


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (32, 160)])
def test_outputs_have_the_photos_shape(size: tuple[int, int]) -> None:
    with torch.no_grad():
        said = fresh()(torch.rand(2, 3, *size))
    assert said.inverse.shape == said.sky.shape == said.spread.shape == (2, *size)
    assert said.log_focal.shape == (2,)
    assert (said.inverse > 0).all() and said.inverse.isfinite().all()


def test_convex_upsampling_keeps_bounds_and_picks_neighbours() -> None:
    coarse = torch.rand(1, 2, 4, 5)
    fine = convex_upsample(coarse, torch.randn(1, 36, 4, 5))
    assert fine.shape == (1, 2, 8, 10)
    assert coarse.min() <= fine.min() and fine.max() <= coarse.max()
    one_hot = torch.full((1, 9, 4, 4, 5), -1e4)
    one_hot[:, 4, :2], one_hot[:, 5, 2:] = 0, 0  # upper fine pixels: the middle; lower ones: the neighbour to the right
    picked = convex_upsample(coarse, one_hot.view(1, 36, 4, 5))
    torch.testing.assert_close(picked[:, :, 0::2, 0::2], coarse)
    right = F.pad(coarse, (0, 1, 0, 0), mode="replicate")[..., 1:]
    torch.testing.assert_close(picked[:, :, 1::2, 1::2], right)


def weights(path: Path) -> Path:
    save_file({name: value.half().contiguous() for name, value in fresh().state_dict().items()}, path)
    return path


def test_weights_survive_a_file(tmp_path: Path) -> None:
    net = read_depth_net(weights(tmp_path / "w.safetensors"))
    photo = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(photo).inverse, fresh()(photo).inverse, rtol=0.02, atol=1e-3)


def test_damaged_weights_give_one_clear_line(tmp_path: Path) -> None:
    good = weights(tmp_path / "good.safetensors")
    content = good.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.safetensors").write_text("hello")
    flipped = bytearray(content)
    flipped[-100] ^= 0xFF
    (tmp_path / "flipped.safetensors").write_bytes(flipped)
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    state = dict(fresh().state_dict())
    state["head.bias"] = torch.full_like(state["head.bias"], torch.nan)
    save_file(state, tmp_path / "nan.safetensors")
    import hashlib

    digest = hashlib.sha256(content).hexdigest()
    cases = {
        "cut": "not a readable", "text": "not a readable", "other": "not weights of this depth network",
        "nan": "not finite", "missing": "missing",
    }  # fmt: skip
    for name, message in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            read_depth_net(tmp_path / f"{name}.safetensors")
        assert "\n" not in str(caught.value)
    assert read_depth_net(good, digest) is not None
    with pytest.raises(InputError, match="damaged"):
        read_depth_net(tmp_path / "flipped.safetensors", digest)
