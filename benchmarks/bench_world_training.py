"""A training step of the video transformer, part by part, beside what matrix products reach on this machine.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/bench_world_training.py --work DIR

Makes a small walk in a world, its cache, and a network of the size of the small generator, then takes steps. Figures
are processor time, so that other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from openlyra.training.world_augment import draw_mode
from openlyra.training.world_objective import example_losses, generator
from openlyra.training.world_settings import WorldTraining, read_settings
from openlyra.training.world_trainer import WorldTrainer, open_cache, prepare_codec
from openlyra.worlds.dataset import DatasetSettings, make_dataset

CONFIG = Path(__file__).parent.parent / "examples" / "training" / "one-world.toml"
SIDE = 1536
"""Of the square matrices whose product is the machine's peak."""


def cpu(work: Callable[[], object]) -> float:
    """Processor seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def peak(kind: torch.dtype, repeats: int = 5) -> float:
    """GFLOP/s of the product of two square matrices, the fastest of some."""
    a, b = torch.randn(SIDE, SIDE, dtype=kind), torch.randn(SIDE, SIDE, dtype=kind)
    torch.mm(a, b)
    return 2 * SIDE**3 / min(cpu(lambda: torch.mm(a, b)) for _ in range(repeats)) / 1e9


def trainer(work: Path, precision: str, kept: int) -> WorldTrainer:
    """A training of the small generator's size on one walk, everything cached."""
    data = work / "walk"
    if not data.exists():
        make_dataset(data, DatasetSettings("square", 65, 64, 112, 3, speed=0.03), 1)
    plain = read_settings(CONFIG)
    how: WorldTraining = replace(
        plain,
        data=replace(plain.data, folder=str(data)),
        vae=replace(plain.vae, channels=96),
        model=replace(plain.model, width=256, heads=4, ffn_width=768, blocks=6),
        objective=replace(plain.objective, predicts="change", warped="memory", augment_every=3, photo_share=0.2),
        run=replace(plain.run, precision=precision, kept_megabytes=kept),
    )
    output = work / "training"
    output.mkdir(parents=True, exist_ok=True)
    vae = prepare_codec(how, output, lambda values: None, lambda line: None)
    cache = open_cache(how, vae, output)
    cache.fill()
    return WorldTrainer(how, cache.clip, len(cache), vae)


def measure(which: WorldTrainer, steps: int) -> dict[str, float]:
    """Processor seconds of the parts of a step with a clean history, medians; the first step is not counted."""
    parts: dict[str, list[float]] = {"draw": [], "forward": [], "backward": [], "optimiser": [], "augmented draw": []}
    aim, batch = which.settings.objective, which.settings.run.batch
    which.learn()
    for step in range(1, steps + 1):
        began = time.process_time()
        example = which.draw(step)
        drawn = time.process_time()
        name = "augmented draw" if draw_mode(step, aim, generator(0, step)) == "augmented" else "draw"
        parts[name].append(drawn - began)
        losses, _ = example_losses(which.network, example, which.table, aim.weighting, which.config.image_width)
        forward = time.process_time()
        parts["forward"].append(forward - drawn)
        loss = losses.sum() / batch
        which.learner.backward(loss)
        backward = time.process_time()
        parts["backward"].append(backward - forward)
        which.learner.follow()
        parts["optimiser"].append(time.process_time() - backward)
    return {name: statistics.median(values) for name, values in parts.items() if values}


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", type=Path, required=True, help="folder for the walk and its cache")
    options.add_argument("--steps", type=int, default=12)
    options.add_argument("--kept", type=int, default=1, help="megabytes of inputs kept in memory")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    for precision in ("bfloat16", "float32"):
        which = trainer(chosen.work, precision, chosen.kept)
        best = peak(getattr(torch, precision))
        seconds = measure(which, chosen.steps)
        batch = which.settings.run.batch
        step = sum(seconds[name] for name in ("draw", "forward", "backward", "optimiser"))
        networks = batch * which.operations() / (seconds["forward"] + seconds["backward"]) / 1e9
        print(
            f"{precision}: peak {best:.0f} GFLOP/s; {batch / step:.2f} examples/s; "
            f"{batch * which.operations() / step / 1e9:.0f} GFLOP/s of a step ({networks:.0f} in forward and backward)"
        )
        for name, value in seconds.items():
            print(f"    {name:<16}{1000 * value / batch:8.1f} ms an example")


if __name__ == "__main__":
    main()
