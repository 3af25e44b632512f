"""Memory and time of a training step on many GPUs, predicted from counted bytes and operations. Not measured on any.

The same style of formula as `models/plan.py`; docs/training.md names every term. Blocks are checkpointed: between
forward and backward pass only what enters them is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from openlyra.errors import InputError
from openlyra.models.lyra_config import LyraConfig
from openlyra.models.plan import EFFICIENCY, FRAGMENTATION, GB, RESERVE, VAE_EFFICIENCY, Machine
from openlyra.models.work import HALF, STATE_BYTES, STEP_BYTES, Parameters, transformer_work, vae_operations

NODE = 8
"""GPUs that are joined by the fast link."""
NODE_BYTES, NETWORK_BYTES = 200e9, 40e9
"""Bytes a second a GPU exchanges within a node and between nodes, of about 450e9 and 50e9 at best."""
BACKWARD_WIDTHS = 82.0
"""Bytes a token and channel alive at the fullest moment of a block's backward pass, recomputing included, counted by
PyTorch's MemTracker (a test counts it again)."""
AUGMENTED = 0.35
"""Share of the released steps that re-make a history first: one more forward pass."""


@dataclass(frozen=True)
class TrainingLayout:
    """How a training is divided."""

    gpus: int = 8
    context_ranks: int = 1
    """GPUs that share the tokens of an example."""
    shard: bool = True
    """Whether weights, gradients and optimiser states are divided among all GPUs."""
    average: bool = False
    """Whether a running mean of the weights is kept."""

    def check(self) -> None:
        """Raise InputError for what cannot be divided so."""
        if not 1 <= self.gpus <= 100_000 or not 1 <= self.context_ranks <= self.gpus or self.gpus % self.context_ranks:
            raise InputError(f"{self.gpus} GPUs in groups of {self.context_ranks}: the groups must divide the GPUs")


@dataclass(frozen=True)
class TrainingPlan:
    """What one GPU holds, and how long a step takes."""

    parts: tuple[tuple[str, float], ...]
    """Bytes by what they are for."""
    compute_seconds: float
    """A step's operations at the assumed part of the peak."""
    exchange_seconds: float
    """Weights, gradients, keys and values on their way; mostly behind the computing."""
    examples: int
    """Examples a step, one a group."""

    @property
    def gpu_bytes(self) -> float:
        """Peak memory of a GPU."""
        return RESERVE + FRAGMENTATION * sum(size for _, size in self.parts)

    @property
    def step_seconds(self) -> float:
        """The slower of the two; all of the exchange is taken to go on beside the computing."""
        return max(self.compute_seconds, self.exchange_seconds)


def training_plan(
    height: int, width: int, machine: Machine, layout: TrainingLayout, config: LyraConfig | None = None
) -> TrainingPlan:
    """Count a step of one example a group, bfloat16 network and float32 weights for the optimiser."""
    layout.check()
    config = config or LyraConfig()
    work = transformer_work(config, height, width)
    share = work.parameters / (layout.gpus if layout.shard else 1)
    outside = work.parameters - work.blocks * work.block_parameters
    tokens, wide = work.tokens / layout.context_ranks, config.width
    field = HALF * tokens * 4 * config.buffer_channels * 2 * config.buffer_octaves
    context = 2 * HALF * 2 * work.tokens * wide if layout.context_ranks > 1 else 0.0
    preparing = work.prepare_bytes / layout.context_ranks - field
    pixels = height * width
    parts = (
        ("weights of the network, bfloat16", HALF * share),
        ("weights for the optimiser, float32", 4 * share),
        ("moments of AdamW, float32", 8 * share),
        ("running mean, float32", 4 * share if layout.average else 0.0),
        ("gradients, bfloat16 and float32", (HALF + 4) * share),
        # The block at work, the next one on its way, what is outside of blocks, and a block's gradient as it is summed.
        ("whole weights and gradients", HALF * (2 * work.block_parameters + 2 * outside) + 6 * work.block_parameters
         if layout.shard else 0.0),
        ("kept for the backward pass", field + HALF * work.blocks * tokens * (wide + config.squeeze_width)),
        ("a block's backward pass, or preparing", max(BACKWARD_WIDTHS * tokens * wide + context, preparing)),
        ("auto-encoder", HALF * Parameters().vae + pixels * (sum(STATE_BYTES) + max(STEP_BYTES))),
    )  # fmt: skip
    # Forward, once more while going back, and the backward pass, which is two.
    passes = 4 + AUGMENTED
    compute = passes * work.forward_operations / layout.context_ranks / (machine.tflops * 1e12 * EFFICIENCY)
    new = config.packing.new_frames if config.packing else 1
    compute += AUGMENTED * vae_operations(pixels, new) / (machine.tflops * 1e12 * VAE_EFFICIENCY)
    link = NODE_BYTES if layout.gpus <= NODE else NETWORK_BYTES
    moved = 0.0
    if layout.gpus > 1:
        # Sharded: gathered to prepare a chunk, forward and backward, in bfloat16; gradients summed in float32.
        moved = (3 * HALF + 4) * work.parameters if layout.shard else 2 * 4 * work.parameters
    gathered = 3 * work.blocks * context * (layout.context_ranks - 1) / layout.context_ranks
    return TrainingPlan(parts, compute, moved / link + gathered / NODE_BYTES, layout.gpus // layout.context_ranks)


def training_lines(plan: TrainingPlan, machine: Machine) -> list[str]:
    """The plan in words and numbers."""
    lines = [f"    {name:<36}{size / GB:>7.1f} GB" for name, size in plan.parts if size]
    fits = "fits" if plan.gpu_bytes <= machine.gpu_bytes else "DOES NOT FIT"
    lines.append(f"a GPU needs {plan.gpu_bytes / GB:.1f} GB: {fits} {machine.gpu_bytes / GB:.0f} GB")
    lines.append(
        f"a step of {plan.examples} examples: {plan.step_seconds:.1f} s (computing {plan.compute_seconds:.1f} s, "
        f"exchange {plan.exchange_seconds:.1f} s); {plan.examples / plan.step_seconds:.2f} examples/s, "
        f"5,000 steps in {5000 * plan.step_seconds / 3600:.0f} hours"
    )
    return lines
