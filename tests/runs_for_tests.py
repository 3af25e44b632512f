"""Running the program, and more than one process of it, from tests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

TOY = ("--size", "64x96", "--frames", "5", "--quiet")
"""A run that takes seconds."""


def outputs(folder: Path) -> dict[str, str]:
    """Hashes of all files of a finished run."""
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["finished"]
    return manifest["outputs"]


def run_ranks(script: Path, *arguments: object, ranks: int = 2) -> None:
    """Run a script as so many processes of one torch.distributed group; all must succeed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(ranks), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, str(script), *map(str, arguments)],
            env={**os.environ, **group, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(ranks)
    ]
    try:
        assert [process.wait(timeout=300) for process in running] == [0] * ranks
    finally:
        for process in running:
            process.kill()
