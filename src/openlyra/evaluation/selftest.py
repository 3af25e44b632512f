"""Does it work on this machine? Small networks on every device; then, with a model folder, the real weights.

A folder of weights that is complete and has the right shapes can still be wrong: untrained, or with tensors in each
other's places. So the weights are asked for what only trained ones can do: reconstruct a picture, and take noise away
from a scene that stands still (random weights cannot; a test shows it). Captions and pictures are compared as well,
which finds gross damage only. The bounds were not tuned on the released weights.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from openlyra.errors import InputError
from openlyra.generation.conditioning import ChunkContext, build_inputs
from openlyra.generation.denoise import ChunkVelocity
from openlyra.generation.history import padding_frames
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import MemoryFrame
from openlyra.memory.spatial_memory import SpatialMemory
from openlyra.models.fit import Fitted, load_fitted, this_machine
from openlyra.models.folder import ModelFolder
from openlyra.models.licences import recorded, require_accepted
from openlyra.models.lyra_config import TOY
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.lyra_init import initialise
from openlyra.models.offload import BlockOffload
from openlyra.models.plan import Plan, Work, choose
from openlyra.models.quantise import quantise
from openlyra.models.video_vae import VideoVae, VideoVaeConfig

CAPTIONS = ("a red car on a road", "a red automobile driving along a street", "notes on the theory of prime numbers")
"""The first two are alike, the third is not."""
LEVEL = 0.6
"""Part of noise in the latents that the video transformer is asked to clean."""


@dataclass(frozen=True)
class Result:
    """One check."""

    name: str
    passed: bool
    text: str
    """The figures."""


def selftest(
    folder: Path | None, size: tuple[int, int], accepted: Collection[str] = (), plan: Plan | None = None
) -> Iterator[Result]:
    """All checks, one after the other. Raises InputError for a folder that is not complete or not accepted."""
    work = Work(*size, steps=1)
    work.check()
    if folder is not None:
        require_accepted(sorted({entry.licence for entry in recorded(folder)}), accepted, str(folder))
        ModelFolder(folder).check()
    yield from _small()
    if folder is not None:
        yield Result("all names, shapes and types of the weights", True, str(folder))
        yield from _real(folder, work, plan)


def _small() -> Iterator[Result]:
    """Networks of toy size: the same numbers however they are run."""
    network = initialise(LyraDiT(TOY), 1, 0.05).eval().requires_grad_(False)
    plain = _toy_output(network, "cpu")
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for device in devices:
        moved = initialise(LyraDiT(TOY), 1, 0.05).eval().requires_grad_(False)
        offload = BlockOffload(moved, device)
        yield _near(f"toy network, blocks visiting ({device})", _toy_output(moved, device), plain, 2e-3)
        offload.close()
        quantise(moved, "int8")
        yield _near(f"toy network, eight bits ({device})", _toy_output(moved.to(device), device), plain, 0.02)
    if "cuda" in devices:
        yield _near("toy network, CPU against GPU", _toy_output(network.to("cuda"), "cuda"), plain, 2e-3)
    for device in devices:
        vae = VideoVae.random(VideoVaeConfig(base_width=8), 1).to(device)
        clip = pattern(64, 96)[None, :, None].repeat(1, 1, 9, 1, 1)
        first, state = vae.encode_more(clip[:, :, :5], None)
        streamed = torch.cat([first, vae.encode_more(clip[:, :, 5:], state)[0]], 2)
        yield _near(f"small auto-encoder, stream against whole ({device})", streamed, vae.encode(clip), 1e-4)


def _near(name: str, got: Tensor, expected: Tensor, tolerance: float) -> Result:
    change = float((got.cpu() - expected.cpu()).square().mean().sqrt() / expected.square().mean().sqrt())
    return Result(name, change < tolerance, f"relative change {change:.1e}, tolerance {tolerance:.0e}")


@torch.no_grad()
def _toy_output(network: LyraDiT, device: str) -> Tensor:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    frames = TOY.packing.total_frames if TOY.packing else 1
    chunk = network.prepare_chunk(
        conditions=normal(1, TOY.condition_channels, frames, 8, 8), text=normal(1, TOY.text_tokens, TOY.text_width),
        image=normal(1, 257, TOY.image_width), rays=normal(1, TOY.camera_channels, frames, 8, 8),
        buffer=normal(1, TOY.buffer_channels, frames, 8, 8),
    )  # fmt: skip
    return network(normal(1, TOY.latent_channels, frames, 8, 8), torch.full((1,), 500.0, device=device), chunk)


def _real(folder: Path, work: Work, plan: Plan | None) -> Iterator[Result]:
    machine = this_machine()
    if plan is None and machine is not None:
        plan = choose(work, machine)
    begin = time.perf_counter()
    models = load_fitted(ModelFolder(folder), CAPTIONS, work, plan=plan)
    seconds = time.perf_counter() - begin
    yield Result("loading", True, f"{seconds:.0f} s; {plan.name if plan else 'on the CPU, float32'}")
    yield _captions(models)
    yield _pictures(models, work)
    yield _reconstruction(models, work)
    yield from _denoising(models, work, plan)


def _captions(models: Fitted) -> Result:
    means = [tokens[0][tokens[0].abs().sum(-1) > 0].mean(0) for tokens in (models.texts[c] for c in CAPTIONS)]
    like, unlike = (float(functional.cosine_similarity(means[0], means[i], dim=0)) for i in (1, 2))
    return Result("text encoder tells captions apart", like > unlike + 0.05, f"alike {like:.3f}, unlike {unlike:.3f}")


def _pictures(models: Fitted, work: Work) -> Result:
    picture = pattern(work.height, work.width)
    noise = torch.rand(picture.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    tokens = models.image_encoder.encode(torch.stack([picture, picture.roll(32, 2), noise]).to(models.device)).mean(1)
    like, unlike = (float(functional.cosine_similarity(tokens[0], tokens[i], dim=0)) for i in (1, 2))
    return Result("image encoder tells pictures apart", like > unlike + 0.05, f"alike {like:.3f}, unlike {unlike:.3f}")


def _reconstruction(models: Fitted, work: Work) -> Result:
    clip = pattern(work.height, work.width)[None, :, None].repeat(1, 1, 5, 1, 1)
    again = models.vae.decode(models.vae.encode(clip)).clamp(-1, 1)
    psnr = float(-10 * torch.log10(((again - clip) / 2).square().mean()))
    return Result("auto-encoder reconstructs a picture", psnr > 25, f"{psnr:.1f} dB, at least 25")


def _denoising(models: Fitted, work: Work, plan: Plan | None) -> Iterator[Result]:
    """A camera that stands still before a picture: the clean latents are known, so the cleaned ones can be compared."""
    layout = models.network.packing
    if layout is None or not models.network.config.buffer_channels:
        raise InputError("the transformer in this folder cannot walk: it has no frame packing or correspondences")
    if models.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    frame, pixels = _still(work)
    frames = 1 + layout.new_pixel_frames
    clip = pixels[None, :, None].expand(-1, -1, padding_frames(layout) + frames, -1, -1)
    latents = models.vae.encode(clip)
    clean, history = latents[:, :, -layout.new_frames :], latents[:, :, : -layout.new_frames]
    memory = SpatialMemory()
    memory.add(frame)
    cameras = Camera(
        np.tile(np.eye(4), (frames, 1, 1)), np.tile(frame.camera.intrinsics, (frames, 1, 1)), work.width, work.height
    )
    context = ChunkContext(0, history, frame, cameras, memory, lambda index: pixels)
    inputs = build_inputs(context, layout, models.vae.encode)
    tokens = models.image_encoder.encode(pixels[None].to(models.device))
    with torch.no_grad():
        velocity = ChunkVelocity(
            models.network, inputs, models.texts[CAPTIONS[0]], models.negative, tokens, 1.0, models.device
        )
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        noisy = (1 - LEVEL) * clean + LEVEL * noise
        velocity(noisy, 1000 * LEVEL)  # the first call also starts what is started once
        begin = time.perf_counter()
        cleaned = noisy - LEVEL * velocity(noisy, 1000 * LEVEL)
        seconds = time.perf_counter() - begin
    error = float((cleaned - clean).square().mean().sqrt() / (noisy - clean).square().mean().sqrt())
    yield Result(
        "transformer takes noise away", error < 0.5, f"{error:.2f} of the error is left, less than 0.5 is right"
    )
    predicted = f", predicted {plan.step_seconds / 2:.1f} s" if plan is not None else ""
    yield Result("one call of the transformer", True, f"{seconds:.1f} s{predicted} at {work.height}x{work.width}")
    if models.device.type == "cuda" and plan is not None:
        peak = torch.cuda.max_memory_allocated() / 1e9
        within = peak < 1.15 * plan.gpu_bytes / 1e9
        yield Result("peak GPU memory", within, f"{peak:.1f} GB, predicted {plan.gpu_bytes / 1e9:.1f} GB")


def _still(work: Work) -> tuple[MemoryFrame, Tensor]:
    """A picture on a wall four units away, as a remembered frame, and its pixels."""
    pixels = pattern(work.height, work.width)
    image = ((pixels.permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    shape = (work.height, work.width)
    intrinsics = np.array([[work.width, 0, work.width / 2], [0, work.width, work.height / 2], [0, 0, 1.0]])
    camera = Camera(np.eye(4), intrinsics, work.width, work.height)
    depth = np.full(shape, 4.0, np.float32)
    return MemoryFrame(0, image, depth, np.ones(shape, bool), np.zeros(shape, bool), camera), pixels


def pattern(height: int, width: int) -> Tensor:
    """A smooth coloured picture with a few edges, (3, height, width) in [-1, 1]."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    waves = torch.stack([torch.sin(3 * x + y), torch.sin(2.5 * y - x + 0.5), torch.cos(2 * x + 1.5 * y)])
    disc = ((x - 0.3).square() + (y - 0.1).square() < 0.15).float()
    return (0.7 * waves * (1 - disc) + disc * torch.tensor([0.8, -0.2, -0.6]).view(3, 1, 1)).clamp(-1, 1)
