"""One rank of the two-rank test: trains the walls of a folder and writes the losses it saw."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from world_case import settings

from openlyra.training.world_ranks import joined_ranks
from openlyra.training.world_trainer import train_world

STEPS = 4


def run(walls: Path, output: Path) -> None:
    torch.set_num_threads(1)
    with joined_ranks():
        train_world(settings(walls, run={"steps": STEPS, "batch": 2}, objective={"photo_share": 0.0}), output)


def losses(output: Path) -> list[float]:
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
