"""What of a model fits a GPU, and how long a chunk then takes: predicted from counted bytes and operations.

The formula, term by term, is in docs/memory.md. Nothing here is measured on a GPU: `openlyra models selftest` does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from openlyra.errors import InputError
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.quantise import QuantisedKind
from openlyra.models.video_vae import SPATIAL, Tiling
from openlyra.models.work import (
    HALF,
    STATE_BYTES,
    STEP_BYTES,
    NetworkWork,
    Parameters,
    transformer_work,
    vae_operations,
)

GB = 1e9
RESERVE = 1.0 * GB
"""GPU memory for the CUDA context, libraries and their workspaces."""
FRAGMENTATION = 1.08
"""Factor on what is allocated, for what the allocator cannot use."""
EFFICIENCY = 0.4
"""Part of a GPU's peak that large matrix products and attention reach together."""
VAE_EFFICIENCY = 0.2
"""The same for the convolutions of the auto-encoder."""
LINK_BYTES = 20e9
"""Bytes a second from pinned memory to the GPU (PCIe 4 with 16 lanes)."""
HOST_EXTRA = 6 * GB
"""Memory of the computer beside the weights that are kept there."""
DEPTH_BYTES = 3.0 * GB
"""A learned depth network with its activations; it runs between chunks."""
TILING = Tiling(32, 8)
"""Tiles of the auto-encoder when whole frames do not fit."""
GPUS: dict[str, tuple[float, float]] = {
    "RTX 3060 12GB": (12, 51), "RTX 3090": (24, 71), "RTX 4060 Ti 16GB": (16, 88), "RTX 4080": (16, 97),
    "RTX 4090": (24, 165), "RTX 5090": (32, 209), "L4": (24, 121), "L40S": (48, 362), "A100 40GB": (40, 312),
    "A100 80GB": (80, 312), "H100": (80, 989), "H200": (141, 989),
}  # fmt: skip
"""(memory in GB, peak dense bfloat16 TFLOPS) from the makers' data sheets."""

Where = Literal["resident", "offload"]


@dataclass(frozen=True)
class Machine:
    """What there is to run on."""

    gpu_bytes: float
    """Memory of the GPU."""
    tflops: float
    """Peak dense bfloat16 rate."""
    host_bytes: float
    """Memory of the computer."""


@dataclass(frozen=True)
class Work:
    """What is asked for."""

    height: int = 480
    width: int = 832
    """Frame size in pixels."""
    steps: int = 35
    """Sampler steps a chunk."""
    guided: bool = True
    """Two calls of the network a step (guidance other than 1)."""

    def check(self) -> None:
        """Raise InputError for sizes the networks cannot take."""
        for name, side in (("height", self.height), ("width", self.width)):
            if side % (2 * SPATIAL) or not 64 <= side <= 4096:
                raise InputError(f"{name} {side}: multiples of {2 * SPATIAL} from 64 to 4096 pixels can be made")
        if not 1 <= self.steps <= 1000:
            raise InputError(f"steps {self.steps}: must be from 1 to 1000")


@dataclass(frozen=True)
class Plan:
    """One way to run, with what it needs."""

    weights: Literal["bfloat16"] | QuantisedKind
    """Type the linear weights of the blocks are stored in."""
    blocks: Where
    """On the GPU for good, or in the computer's memory and visiting."""
    tiled: bool
    """Whether the auto-encoder works in tiles."""
    text_on_gpu: bool
    """Whether the text encoder runs on the GPU (before the transformer comes; freed after use)."""
    stages: tuple[tuple[str, float], ...]
    """Peak GPU bytes of each stage."""
    host_bytes: float
    """Memory of the computer."""
    step_seconds: float
    """One step of the sampler."""
    chunk_seconds: float
    """One chunk: all steps, and the auto-encoder."""
    link_bound: bool
    """Whether the blocks' travel takes longer than the computing."""

    @property
    def gpu_bytes(self) -> float:
        """Peak GPU memory."""
        return max(need for _, need in self.stages)

    @property
    def name(self) -> str:
        """In a few words."""
        where = "on the GPU" if self.blocks == "resident" else "visiting from the computer's memory"
        return f"{self.weights} weights, blocks {where}, auto-encoder {'in tiles' if self.tiled else 'whole'}"


def plans(work: Work, config: LyraConfig | None = None, machine: Machine | None = None) -> list[Plan]:
    """Every way to run, the best first: exact weights before eight bits, faster before slower, whole before tiles."""
    work.check()
    network = transformer_work(config or LyraConfig(), work.height, work.width)
    others = Parameters()
    machine = machine or Machine(80 * GB, 989, 256 * GB)
    found = [
        _plan(weights, blocks, tiled, work, network, others, machine)
        for weights in ("bfloat16", "int8", "float8") for blocks in ("resident", "offload") for tiled in (False, True)
    ]  # fmt: skip
    order = {"bfloat16": 0, "int8": 1, "float8": 2}
    return sorted(found, key=lambda plan: (order[plan.weights], plan.chunk_seconds, plan.tiled))


def choose(work: Work, machine: Machine, config: LyraConfig | None = None) -> Plan:
    """The best plan that fits. Raises InputError, with what the smallest one needs, when none does."""
    every = plans(work, config, machine)
    for plan in every:
        if fits(plan, machine):
            return plan
    least = min(every, key=lambda plan: (plan.gpu_bytes, plan.host_bytes))
    raise InputError(
        f"{work.height}x{work.width} does not fit {machine.gpu_bytes / GB:.0f} GB of GPU memory and "
        f"{machine.host_bytes / GB:.0f} GB of computer memory; the smallest way needs {least.gpu_bytes / GB:.1f} GB "
        f"and {least.host_bytes / GB:.0f} GB: take a smaller size"
    )


def fits(plan: Plan, machine: Machine) -> bool:
    """Whether both memories are large enough."""
    return plan.gpu_bytes <= machine.gpu_bytes and plan.host_bytes <= machine.host_bytes


def _plan(
    weights: Literal["bfloat16"] | QuantisedKind, blocks: Where, tiled: bool, work: Work, network: NetworkWork,
    others: Parameters, machine: Machine,
) -> Plan:  # fmt: skip
    block = _block_bytes(network, weights)
    outside = HALF * (network.parameters - network.blocks * network.block_parameters)
    on_gpu = outside + (network.blocks if blocks == "resident" else 2) * block
    companions = HALF * (others.vae + others.image_encoder)
    pixels = work.height * work.width
    streams: float = pixels * sum(STATE_BYTES)
    if tiled:
        tile = (TILING.size * SPATIAL) ** 2
        vae_step, streams = max(STEP_BYTES) * tile, streams * 1.5
    else:
        vae_step = max(STEP_BYTES) * pixels
    # A chunk's constants are gone when the auto-encoder works; the streams wait in the computer's memory meanwhile.
    between = on_gpu if blocks == "resident" else outside
    text = HALF * others.text_encoder
    # The text encoder has gone before anything else comes; where it does not fit it runs on the CPU.
    text_on_gpu = _peak(text + 0.5 * GB) <= machine.gpu_bytes
    stages = (
        ("captions", _peak(text + 0.5 * GB) if text_on_gpu else 0.0),
        ("prepare a chunk", _peak(on_gpu + companions + network.constant_bytes + network.prepare_bytes)),
        ("denoise", _peak(on_gpu + companions + network.constant_bytes + network.activation_bytes)),
        ("auto-encoder", _peak(between + companions + streams + vae_step)),
        ("depth", _peak(between + companions + DEPTH_BYTES)),
    )
    host = HOST_EXTRA + streams + (network.blocks * block if blocks == "offload" else 0)
    calls = 2 if work.guided else 1
    compute = calls * network.forward_operations / (machine.tflops * 1e12 * EFFICIENCY)
    travel = calls * network.blocks * block / LINK_BYTES if blocks == "offload" else 0.0
    step = max(compute, travel)
    vae = vae_operations(pixels, 20) * (1.6 if tiled else 1) / (machine.tflops * 1e12 * VAE_EFFICIENCY)
    return Plan(
        weights, blocks, tiled, text_on_gpu, stages, max(host, HOST_EXTRA + (0 if text_on_gpu else text)), step,
        work.steps * step + vae, travel > compute,
    )  # fmt: skip


def _block_bytes(network: NetworkWork, weights: str) -> float:
    if weights == "bfloat16":
        return HALF * network.block_parameters
    return network.block_linear + HALF * (network.block_parameters - network.block_linear)


def _peak(allocated: float) -> float:
    return RESERVE + FRAGMENTATION * allocated


def table(work: Work, machine: Machine, config: LyraConfig | None = None) -> list[str]:
    """Every way as lines of text, with what fits marked, and the stages of the one that is chosen."""
    every = plans(work, config, machine)
    best = next((plan for plan in every if fits(plan, machine)), None)
    lines = [f"{'':2}{'weights':<10}{'blocks':<10}{'vae':<7}{'GPU GB':>8}{'RAM GB':>8}{'s/step':>9}{'s/chunk':>9}"]
    for plan in every:
        mark = "*" if plan is best else " " if fits(plan, machine) else "-"
        lines.append(
            f"{mark:2}{plan.weights:<10}{plan.blocks:<10}{'tiles' if plan.tiled else 'whole':<7}"
            f"{plan.gpu_bytes / GB:>8.1f}{plan.host_bytes / GB:>8.0f}"
            f"{plan.step_seconds:>9.1f}{plan.chunk_seconds:>9.0f}"
            + ("  (waits for the link)" if plan.link_bound else "")
        )
    lines.append("* is chosen, - does not fit")
    if best is not None:
        lines += [f"    {stage:<18}{need / GB:>6.1f} GB" for stage, need in best.stages if need]
        lines.append("    captions are encoded on the " + ("GPU, before the rest" if best.text_on_gpu else "CPU"))
    return lines
