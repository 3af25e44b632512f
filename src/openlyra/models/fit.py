"""Loading a model folder so that it fits the machine, as `plan.py` decides."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from openlyra.models.folder import ModelFolder
from openlyra.models.image_encoder import ImageEncoder
from openlyra.models.lora import Lora, attach, merge
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.offload import BlockOffload
from openlyra.models.plan import GPUS, TILING, Machine, Plan, Work, choose
from openlyra.models.video_vae import VideoVae


@dataclass(frozen=True)
class Fitted:
    """Everything a walk calls; the text encoder has come and gone."""

    network: LyraDiT
    vae: VideoVae
    image_encoder: ImageEncoder
    texts: dict[str, Tensor]
    """Text tokens (1, rows, width) of each caption, on the CPU."""
    negative: Tensor
    """(1, rows, width) of the unconditional branch."""
    device: torch.device
    """Where the networks compute."""
    offload: BlockOffload | None = None
    """What brings the blocks, when they do not stay on the device."""

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Text tokens (B, rows, width) of captions that were given when loading."""
        return torch.cat([self.texts[caption] for caption in captions])


def this_machine() -> Machine | None:
    """The GPU and memory of this machine; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    free, _ = torch.cuda.mem_get_info(0)
    name = torch.cuda.get_device_name(0)
    tflops = next((rate for key, (_, rate) in GPUS.items() if key.split()[-1] in name), 100.0)
    return Machine(free, tflops, host_memory())


def host_memory() -> float:
    """Bytes of memory of the computer; 32 GB where the system does not say."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return 32e9


def load_fitted(
    folder: ModelFolder, captions: Sequence[str], work: Work, loras: Sequence[tuple[Path, float]] = (),
    plan: Plan | None = None, device: torch.device | str | None = None, dtype: torch.dtype | None = None,
) -> Fitted:  # fmt: skip
    """Check everything, choose a plan, encode the captions and load the rest.

    Args:
        loras: adapter files with their weights; merged, or attached when the weights are quantised.
        plan: how to run; chosen for this machine's GPU if not given. Without a GPU all is loaded whole, in float32.

    Raises:
        InputError: a part is missing or wrong, an adapter is for another model, nothing fits. No weight was read then.
    """
    folder.check()
    skeleton = folder.build("transformer")
    for path, _ in loras:
        Lora.open(path, skeleton)
    plan, device, dtype = how(work, plan, device, dtype)
    texts = encode_captions(folder, captions, device if plan is None or plan.text_on_gpu else "cpu", dtype)
    network, offload = load_transformer(folder, work, loras, plan, device, dtype)
    tiling = TILING if plan is not None and plan.tiled else None
    image_dtype = torch.float16 if device.type == "cuda" else dtype
    return Fitted(
        network, folder.vae(dtype, device, tiling, "cpu"), folder.image_encoder(image_dtype, device), texts,
        folder.negative_prompt().float(), device, offload,
    )  # fmt: skip


def load_transformer(
    folder: ModelFolder, work: Work, loras: Sequence[tuple[Path, float]] = (), plan: Plan | None = None,
    device: torch.device | str | None = None, dtype: torch.dtype | None = None,
) -> tuple[LyraDiT, BlockOffload | None]:  # fmt: skip
    """The video transformer alone, with its adapters, and what brings its blocks; arguments as in `load_fitted`."""
    plan, device, dtype = how(work, plan, device, dtype)
    visiting = plan is not None and plan.blocks == "offload"
    kind = plan.weights if plan is not None and plan.weights != "bfloat16" else None
    network = folder.transformer(dtype, device, "cpu" if visiting else None, kind)
    opened = [(Lora.open(path, network), weight) for path, weight in loras]
    if kind is not None:
        attach(network, opened)
    else:
        for lora, weight in opened:
            merge(network, lora, weight)
    network.requires_grad_(False)
    return network, BlockOffload(network, device) if visiting else None


def how(
    work: Work, plan: Plan | None, device: torch.device | str | None, dtype: torch.dtype | None
) -> tuple[Plan | None, torch.device, torch.dtype]:
    """What was left open, filled in for this machine."""
    machine = this_machine()
    if plan is None and machine is not None:
        plan = choose(work, machine)
    device = torch.device(device or ("cuda" if machine is not None else "cpu"))
    return plan, device, dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)


def encode_captions(
    folder: ModelFolder, captions: Sequence[str], device: torch.device | str, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Text tokens of every caption on the CPU. The encoder is gone from memory afterwards."""
    encoder = folder.text_encoder(dtype, device)
    texts = {caption: encoder.encode([caption]).cpu() for caption in dict.fromkeys(captions)}
    del encoder
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return texts
