"""The committed viewer script is what its sources give."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

VIEWER = Path(__file__).resolve().parents[2] / "viewer"


def test_bundle_is_up_to_date() -> None:
    if shutil.which("node") is None or not (VIEWER / "node_modules" / "esbuild").is_dir():
        pytest.skip("needs node and the packages of viewer/ (npm ci)")
    result = subprocess.run(["node", "build.mjs", "--check"], cwd=VIEWER, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
