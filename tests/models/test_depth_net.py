from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from openlyra.errors import InputError
from openlyra.models.depth_net import DepthNet, Mixer, convex_upsample
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


def test_every_place_hears_of_the_whole_photo() -> None:
    photo = torch.rand(1, 3, 256, 320, requires_grad=True)
    fresh()(photo).inverse[0, :8, :8].sum().backward()
    assert photo.grad is not None and photo.grad[0, :, -8:, -8:].abs().sum() > 0


def test_attention_is_that_of_its_formula() -> None:
    torch.manual_seed(1)
    mixer = Mixer(8, heads=2)
    x = torch.randn(1, 8, 2, 3)
    y = x + mixer.place(x)
    tokens = y.flatten(2)[0].T
    tokens = (tokens - tokens.mean(1, keepdim=True)) / (tokens.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    ask, answer = mixer.ask.weight[:, :, 0, 0], mixer.answer.weight[:, :, 0, 0]
    query, key, value = (tokens @ ask.T + mixer.ask.bias).chunk(3, 1)
    heard = [torch.softmax(query[:, h] @ key[:, h].T / 2, 1) @ value[:, h] for h in (slice(0, 4), slice(4, 8))]
    y = y + (torch.cat(heard, 1) @ answer.T + mixer.answer.bias).T.view(1, 8, 2, 3)
    plain = y + mixer.shrink(F.gelu(mixer.grow(F.layer_norm(y.permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2))))
    torch.testing.assert_close(mixer(x), plain, rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(mixer(x), plain.detach(), rtol=1e-4, atol=1e-5)
