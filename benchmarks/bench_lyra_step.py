"""Time a step of the video transformer with the constants of a chunk kept, against the plain formulation, in one run.

Run: python benchmarks/bench_lyra_step.py --latent 8x12 --model toy

The plain formulation computes in every block and at every step what does not change during a chunk: the sin-cos field
of the correspondences and its squeeze, camera tokens, rotary angles, keys and values of text and image. Both use the
same weights and the same fused attention. Rounds alternate between the two, so that a change of load meets both; times
are CPU seconds of the process, which other load changes little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from openlyra.models.lyra_config import SIZES, LyraConfig
from openlyra.models.lyra_dit import LyraDiT
from openlyra.models.lyra_init import initialise
from openlyra.models.lyra_plain import plain_velocity


def inputs(config: LyraConfig, height: int, width: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Random latents, a timestep, and what a chunk is prepared from."""
    generator = torch.Generator().manual_seed(0)
    packing = config.packing
    assert packing is not None
    video = (packing.total_frames, height, width)

    def normal(*shape: int) -> Tensor:
        return torch.randn(1, *shape, generator=generator)

    chunk = {
        "conditions": normal(config.condition_channels, *video),
        "text": normal(config.text_tokens, config.text_width),
        "image": normal(257, config.image_width),
        "rays": normal(config.camera_channels, *video),
        "buffer": normal(config.buffer_channels, *video).clamp(-1, 1),
    }
    return normal(config.latent_channels, *video), torch.tensor([[722.0]]), chunk


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call, all threads together."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(SIZES), default="toy", help="configuration; weights are random")
    parser.add_argument("--latent", default="8x12", help="latent rows x columns, an eighth of the video's")
    parser.add_argument("--width", type=int, default=0, help="another width of the network, in heads of 32")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=35, help="steps of a chunk, for the last figure")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = SIZES[options.model]
    if options.width:
        config = replace(config, width=options.width, heads=options.width // 32, ffn_width=options.width * 27 // 10)
    height, width = map(int, options.latent.split("x"))
    assert config.packing is not None
    model = initialise(LyraDiT(config), 0, head_std=0.02).eval()
    latents, timestep, given = inputs(config, height, width)
    tokens = sum(config.packing.token_counts(height, width))
    print(f"{options.model}, width {config.width}, {config.blocks} blocks, {tokens} tokens, {options.threads} threads")
    times: dict[str, list[float]] = {"prepare a chunk": [], "step, constants kept": [], "step, plain": []}
    with torch.no_grad():
        chunk = model.prepare_chunk(**given)

        def plain() -> Tensor:
            return plain_velocity(model, latents, timestep, **given, attention=scaled_dot_product_attention)

        difference = (model(latents, timestep, chunk) - plain()).abs().max().item()
        for _ in range(options.rounds):
            times["prepare a chunk"].append(seconds(lambda: model.prepare_chunk(**given)))
            times["step, constants kept"].append(seconds(lambda: model(latents, timestep, chunk)))
            times["step, plain"].append(seconds(plain))
    for name, taken in times.items():
        print(f"{name:<24} median {statistics.median(taken) * 1e3:8.1f} ms   fastest {min(taken) * 1e3:8.1f} ms")
    prepare, kept, plain_step = (statistics.median(taken) for taken in times.values())
    calls = 2 * options.steps
    print(f"a step is {plain_step / kept:.1f} times faster; largest difference of the velocities {difference:.1e}")
    print(
        f"a chunk of {options.steps} steps with two branches: {prepare + calls * kept:.2f} s against "
        f"{calls * plain_step:.2f} s, {calls * plain_step / (prepare + calls * kept):.1f} times faster"
    )


if __name__ == "__main__":
    main()
