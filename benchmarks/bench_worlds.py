"""Time how fast worlds are drawn on one core, stage by stage, and print a table.

Run: python benchmarks/bench_worlds.py --count 8 --kinds rooms streets landscapes

Times are processor time of this one thread, so that other work on the machine disturbs little. `draw` is colour and
truth, what the goal of 8 frames a second is about; `sample` is everything that a training example costs.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from openlyra.worlds.cameras import choose_view
from openlyra.worlds.kinds import GROUPS
from openlyra.worlds.photo_look import develop, random_look
from openlyra.worlds.render import Scene
from openlyra.worlds.sample import sample_view, sample_world

STAGES = ("build", "pack", "choose", "truth", "draw", "develop", "sample")


def measure(kind: str, seed: int, height: int, width: int) -> tuple[dict[str, float], int]:
    """Seconds a stage for one world, and its number of primitives."""
    marks = [time.thread_time()]
    world = sample_world(seed, kind)
    marks.append(time.thread_time())
    scene = Scene(world)
    marks.append(time.thread_time())
    view = choose_view(scene, np.random.default_rng(seed), height, width)
    marks.append(time.thread_time())
    scene.truth(view.camera)
    marks.append(time.thread_time())
    light, _ = scene.draw(view.camera)
    marks.append(time.thread_time())
    rng = np.random.default_rng(seed)
    develop(light, random_look(rng), rng)
    marks.append(time.thread_time())
    sample_view(seed, kind, height=height, width=width)
    marks.append(time.thread_time())
    return dict(zip(STAGES, np.diff(marks).tolist())), len(world.primitives)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=8, help="worlds a kind")
    parser.add_argument("--size", default="192x336")
    parser.add_argument("--kinds", nargs="+", default=list(GROUPS))
    arguments = parser.parse_args()
    height, width = (int(side) for side in arguments.size.split("x"))
    measure(arguments.kinds[0], 0, height, width)  # compiles, or reads the cache
    print(f"{'milliseconds':14s} {'primitives':>10s} " + " ".join(f"{s:>8s}" for s in STAGES) + "  frames/s (draw)")
    for kind in arguments.kinds:
        runs = [measure(kind, 1000 + i, height, width) for i in range(arguments.count)]
        mean = {stage: float(np.mean([times[stage] for times, _ in runs])) for stage in STAGES}
        count = round(np.mean([n for _, n in runs]))
        cells = " ".join(f"{1e3 * mean[stage]:8.1f}" for stage in STAGES)
        print(f"{kind:14s} {count:10d} {cells}  {1 / mean['draw']:6.1f}", flush=True)


if __name__ == "__main__":
    main()
