"""`vae*`: the auto-encoder, whole clips and streams, with weights by formula."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from openlyra.evaluation.parity.formula import formula_weights
from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare
from openlyra.models.video_vae import TEMPORAL, VideoVae, VideoVaeConfig, build_network, original_key

TOLERANCE = 2e-5


def tiny_vae(base_width: int = 8) -> VideoVae:
    """The auto-encoder of the golden files, in float32."""
    config = VideoVaeConfig(base_width=base_width)
    with torch.device("meta"):
        network = build_network(config)
    names = {original_key(key): key for key in network.state_dict()}
    shapes = {original: network.state_dict()[key].shape for original, key in names.items()}
    weights = formula_weights(shapes, "vae.")
    network.load_state_dict({names[original]: weight for original, weight in weights.items()}, assign=True)
    return VideoVae(network, config)


def check(file: GoldenFile) -> Iterator[Comparison]:
    """Encoding of a clip and of its first frame, decoding, and streams that continue after a first part."""
    vae = tiny_vae(int(file.facts("extra_info").get("vae_cfg", {}).get("dim", 8)))
    video = file.get("in.video")
    if video is not None:
        yield from _encoding(file, vae, video)
    if "in.z" in file:
        yield compare("decoded", vae.decode(file["in.z"]), file["decoded"], TOLERANCE)
        yield compare("decoded, streamed", _decoded_one_by_one(vae, file["in.z"]), file["decoded"], TOLERANCE)


def _encoding(file: GoldenFile, vae: VideoVae, video: torch.Tensor) -> Iterator[Comparison]:
    if "latents" in file:
        yield compare("latents", vae.encode(video), file["latents"], TOLERANCE)
    if "latents_single_frame" in file:
        yield compare("latents_single_frame", vae.encode(video[:, :, :1]), file["latents_single_frame"], TOLERANCE)
    features = file.get("encoder_features_prefix")
    prefix = 5 if features is None else TEMPORAL * (features.shape[2] - 1) + 1
    if features is not None:
        yield compare("encoder_features_prefix", _features(vae, video[:, :, :prefix]), features, TOLERANCE)
    tails = {"streamed_latents": video[:, :, prefix:], "streamed_zero_tail_latents": 0 * video[:, :, prefix:]}
    start, state = vae.encode_more(video[:, :, :prefix], None)
    for name, tail in tails.items():
        if name in file:
            got = torch.cat([start, vae.encode_more(tail, state)[0]], dim=2)
            yield compare(name, got, file[name], TOLERANCE)


@torch.no_grad()
def _features(vae: VideoVae, video: torch.Tensor) -> torch.Tensor:
    """What the encoder gives before its last 1x1x1 convolution."""
    vae.network.clear_cache()
    caches: list[object] = [None] * len(vae.network._enc_feat_map)
    pieces = video.split([1] + [TEMPORAL] * ((video.shape[2] - 1) // TEMPORAL), dim=2)
    return torch.cat([vae.network.encoder(piece, feat_cache=caches, feat_idx=[0]) for piece in pieces], dim=2)


def _decoded_one_by_one(vae: VideoVae, latents: torch.Tensor) -> torch.Tensor:
    state, pieces = None, []
    for latent in latents.split(1, dim=2):
        pixels, state = vae.decode_more(latent, state)
        pieces.append(pixels)
    return torch.cat(pieces, dim=2)
