"""One rank of the tests with two ranks: trains the walls of a folder and writes the losses it saw."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from world_case import settings

from openlyra.training import world_trainer
from openlyra.training.ranks import joined_ranks
from openlyra.training.world_settings import WorldTraining
from openlyra.training.world_trainer import WorldTrainer, train_world

STEPS = 4
HOW = {
    "plain": {},
    "shard": {"shard": True},
    "both": {"shard": True, "context_ranks": 2},
}


def case(walls: Path, how: str = "plain") -> WorldTraining:
    """The training that all runs of the tests share; `how` its ranks divide the work."""
    run = {"steps": STEPS, "batch": 2, "save_every": 1, **HOW[how]}
    return settings(walls, run=run, objective={"photo_share": 0.0}, optimiser={"freeze": ("head.modulation",)})


def run(walls: Path, output: Path, stop: int = STEPS, how: str = "plain") -> None:
    """Train, but be gone before step `stop` + 1."""
    torch.set_num_threads(1)
    with joined_ranks() as rank:
        if how in ("shard", "both"):
            watch_memory(output / f"memory-{rank}.json")
        with leaving(stop), suppress(Gone):
            train_world(case(walls, how), output)


class Gone(BaseException):
    """The process stops here."""


@contextmanager
def leaving(stop: int) -> Iterator[None]:
    learn = WorldTrainer.learn

    def until(self: WorldTrainer) -> dict[str, float]:
        if self.step == stop:
            raise Gone
        return learn(self)

    WorldTrainer.learn = until  # type: ignore[method-assign]
    try:
        yield
    finally:
        WorldTrainer.learn = learn  # type: ignore[method-assign]


def watch_memory(path: Path) -> None:
    """Write how many bytes of weights are on this rank at rest, and at most, as seen when blocks begin to compute."""
    begun = WorldTrainer.__init__
    most = {"most": 0, "rest": 0}
    seen: dict[int, torch.UntypedStorage] = {}

    def with_watch(self: WorldTrainer, *arguments: object, **named: object) -> None:
        begun(self, *arguments, **named)  # type: ignore[arg-type]
        rest = sum(value.to_local().nbytes for value in self.network.parameters())  # type: ignore[attr-defined]

        def look(module: torch.nn.Module, given: object) -> None:
            for value in self.network.parameters():
                if hasattr(value, "to_local"):
                    continue
                seen[value.untyped_storage()._cdata] = value.untyped_storage()  # freed ones have no bytes
            alive = sum(storage.nbytes() for storage in seen.values())
            most.update(most=max(most["most"], rest + alive), rest=rest)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(most))

        for _, block in self.network.each_block():
            block.register_forward_pre_hook(look)

    world_trainer.WorldTrainer.__init__ = with_watch  # type: ignore[method-assign]


def losses(output: Path) -> list[float]:
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
