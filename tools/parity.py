"""Compare every golden file of a folder with what this code computes: python tools/parity.py DIR [--verbose]."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from openlyra.errors import OpenLyraError
from openlyra.evaluation.parity.folder import check_folder, table


@dataclass(frozen=True)
class ParityCommand:
    """Check golden files. Exit status: 0 all right, 1 a number is off or a check failed, 2 wrong input."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with golden files."""
    verbose: bool = False
    """Print every comparison and the tensors that were not compared."""

    def run(self) -> int:
        torch.manual_seed(0)
        bad = False

        def watched():
            nonlocal bad
            for report in check_folder(self.folder):
                bad |= report.bad
                yield report

        for line in table(watched(), self.verbose):
            print(line, flush=True)
        return int(bad)


def main() -> int:
    try:
        return tyro.cli(ParityCommand, description=__doc__).run()
    except OpenLyraError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
