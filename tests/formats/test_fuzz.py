"""Mutated scene files: one clear error or a valid scene, in bounded memory. `make fuzz` reads 10,000 a format."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="memory limits need a Unix")
import format_fuzz

COUNT = int(os.environ.get("OPENLYRA_FUZZ", "300"))
SEED = int(os.environ.get("OPENLYRA_FUZZ_SEED", "0"))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory limits need Linux")
@pytest.mark.parametrize("suffix", format_fuzz.FORMATS)
def test_mutated_files(suffix: str) -> None:
    script = Path(__file__).with_name("format_fuzz.py")
    done = subprocess.run(
        [sys.executable, script, suffix, str(SEED), str(COUNT)],
        capture_output=True, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    print(f"{suffix}: {report['read']} read, {report['refused']} refused, {report['peak_mb']} MB more at most")
    assert report["failures"] == [], "\n".join(report["failures"][:5])
    assert report["read"] > COUNT / 50 and report["refused"] > COUNT / 10
