"""The narrow causal auto-encoder: it learns, goes on after an interruption, and its streams resume from the cache."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from world_case import make_walls, settings

from openlyra.errors import InputError
from openlyra.models.codec import load_codec, save_codec
from openlyra.models.patch_codec import PatchCodec
from openlyra.models.video_vae import VideoVae, VideoVaeConfig
from openlyra.sampling.flow import FlowTable
from openlyra.training import world_vae
from openlyra.training.world_augment import remade_history
from openlyra.training.world_cache import ClipCache
from openlyra.training.world_data import open_dataset
from openlyra.training.world_network import new_network
from openlyra.training.world_objective import generator
from openlyra.training.world_settings import WorldTraining
from openlyra.training.world_trainer import small_videos
from openlyra.training.world_vae import VaeTrainer, codec_psnr, decode_all, encode_mean, train_vae


@pytest.fixture(scope="module")
def walls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_walls(tmp_path_factory.mktemp("data") / "walls")


def narrow(walls: Path, **changes: object) -> WorldTraining:
    plain: dict[str, object] = {
        "kind": "wan", "base_width": 4, "residual_blocks": 1, "channels": 4, "frames": 5, "steps": 14, "rate": 5e-3
    }  # fmt: skip
    return settings(walls, vae=plain | changes, run={"save_every": 2, "log_every": 1, "precision": "float32"})


def test_training_uses_the_network_as_streams_do(walls: Path) -> None:
    trainer = VaeTrainer(narrow(walls, frames=5), small_videos(narrow(walls)))
    clips = trainer.clips(0)
    plain = VideoVae(trainer.network.eval(), narrow(walls).vae_config())
    latents = encode_mean(trainer.network, clips, 4)
    torch.testing.assert_close(latents.detach(), plain.encode(clips))
    torch.testing.assert_close(decode_all(trainer.network, latents).detach(), plain.decode(plain.encode(clips)))


def test_the_error_falls_and_latents_are_measured(walls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_vae, "MEASURED_CLIPS", 6)
    how = narrow(walls)
    trainer = VaeTrainer(how, [small_videos(how)[0][:5]])
    decibels = [trainer.learn()["psnr"] for _ in range(14)]
    assert decibels[-1] > decibels[0] + 1  # the squared error falls by a fifth; sharpness takes hundreds of steps
    latents = trainer.finished().encode(trainer.clips(0))
    assert latents.mean((0, 2, 3, 4)).abs().max() < 0.01
    assert (latents.std((0, 2, 3, 4)) - 1).abs().max() < 0.05


def test_an_interrupted_training_ends_with_the_same_weights(walls: Path, tmp_path: Path) -> None:
    how = narrow(walls, steps=3)
    videos = small_videos(how)
    lines: list[dict[str, object]] = []
    whole = train_vae(how, videos, tmp_path / "whole.safetensors", lines.append)
    assert [line["vae_step"] for line in lines] == [1, 2, 3]

    class Killed(Exception):
        pass

    def kill(line: dict[str, object]) -> None:
        if line["vae_step"] == 3:
            raise Killed

    with pytest.raises(Killed):
        train_vae(how, videos, tmp_path / "parts.safetensors", kill)
    parts = train_vae(how, videos, tmp_path / "parts.safetensors", lambda line: None)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, parts.network.state_dict()[name]), name
    assert whole.config == parts.config


def test_cached_states_continue_the_streams(walls: Path, tmp_path: Path) -> None:
    how = narrow(walls)
    vae = VideoVae.random(VideoVaeConfig(4, residual_blocks=1, latent_mean=(0.1,) * 4, latent_std=(0.5,) * 4), seed=3)
    cache = ClipCache(open_dataset(walls)[:1], vae, how, tmp_path)
    cache.fill()
    clip = cache.clip(0)
    for chunk in (0, 2):
        first = 1 + 4 * chunk
        pixels = torch.stack([clip.pixels(index) for index in range(first, first + 4)], 1)[None]
        torch.testing.assert_close(vae.encode_more(pixels, clip.state("encoder", chunk))[0], clip.target(chunk))
        shown = vae.decode_more(clip.target(chunk), clip.state("decoder", chunk))[0].clamp(-1, 1)
        torch.testing.assert_close(shown[0, :, -1], clip.again(first + 3), atol=1e-3, rtol=0)
    network = new_network(how.network(), how)
    changes = remade_history(clip, 1, how, network, vae, FlowTable.shifted(), generator(0, 1, 0))
    assert changes.latents.shape == clip.until(2).shape and torch.isfinite(changes.latents).all()


@pytest.mark.parametrize("kind", ["wan", "patches"])
def test_a_folder_gives_the_same_codec_back(walls: Path, tmp_path: Path, kind: str) -> None:
    videos = small_videos(narrow(walls))
    if kind == "patches":
        codec = PatchCodec.fit((video.transpose(0, 1).float() / 127.5 - 1 for video in videos), 24)
    else:
        codec = VideoVae.random(VideoVaeConfig(4, residual_blocks=1, latent_mean=(0.5,) * 3, latent_std=(2.0,) * 3))
    save_codec(codec, tmp_path / "vae")
    again = load_codec(tmp_path / "vae")
    clip = videos[0][:9].transpose(0, 1)[None].float() / 127.5 - 1
    assert torch.equal(codec.encode(clip), again.encode(clip))
    config = tmp_path / "vae" / "config.json"
    config.write_text(config.read_text().replace("24", "23").replace('"base_width": 4', '"base_width": 8'))
    with pytest.raises(InputError, match=r"do not fit|cannot be read|size mismatch"):
        load_codec(tmp_path / "vae")


def test_patches_are_the_best_linear_code(walls: Path) -> None:
    """More components, less error; all of them, none; streamed in parts, the same latents; energies that fall."""
    videos = small_videos(settings(walls))
    clips = [video.transpose(0, 1).float() / 127.5 - 1 for video in videos]
    codecs = {count: PatchCodec.fit(clips, count) for count in (4, 16, 768)}
    quality = [codec_psnr(codec, videos) for codec in codecs.values()]
    assert quality[0] + 3 < quality[1] and quality[2] > 60
    video = clips[0][None]
    whole = codecs[16].encode(video)
    first, state = codecs[16].encode_more(video[:, :, :5], None)
    rest, _ = codecs[16].encode_more(video[:, :, 5:], state)
    torch.testing.assert_close(torch.cat([first, rest], 2), whole)
    assert codecs[16].decode(whole).shape == video.shape
    spread = whole.std((0, 2, 3, 4))
    assert spread[0] > spread[8] > 0
    with pytest.raises(InputError, match="4n frames"):
        codecs[4].encode(video[:, :, :4])
