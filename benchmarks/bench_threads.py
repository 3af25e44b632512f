"""Time the depth network beside busy processes, with threads that sleep while they wait and with threads that do not.

Run: python benchmarks/bench_threads.py

Prints, for 0, 1 and 2 busy processes, the median and the slowest of some passes over two views of 320x512.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

PASSES = """
import time
import {first}
import torch, openlyra
from openlyra.models.depth_weights import load_depth_net
net = load_depth_net(None)
views = torch.rand(2, 3, 320, 512).contiguous(memory_format=torch.channels_last)
seconds = []
with torch.inference_mode():
    for _ in range({count} + 1):
        start = time.perf_counter()
        net(views)
        seconds.append(time.perf_counter() - start)
seconds = sorted(seconds[1:])
print(f"median {{seconds[len(seconds) // 2]:.2f}} s, slowest {{seconds[-1]:.2f}} s")
"""


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=15)
    count = parser.parse_args().passes
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for busy in (0, 1, 2):
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        try:
            # OpenLyra says how to wait only to a PyTorch that is imported after it.
            for first, waiting in (("openlyra", "sleeping"), ("torch", "spinning")):
                command = [sys.executable, "-c", PASSES.format(first=first, count=count)]
                done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                print(f"{busy} busy, {waiting}: {done.stdout.strip()}", flush=True)
        finally:
            for other in others:
                other.kill()


if __name__ == "__main__":
    main()
