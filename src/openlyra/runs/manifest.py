"""``run.json``: what a run was asked for, what made it, how long each stage took and what came out."""

from __future__ import annotations

import hashlib
import json
import platform
import resource
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from openlyra.errors import InputError
from openlyra.media.atomic import write_bytes_atomic

FORMAT = 1
MAX_BYTES = 16_000_000
PACKAGES = ("openlyra", "numpy", "scipy", "numba", "pillow", "av", "torch")


def package_versions() -> dict[str, str]:
    """Versions of the packages that shape the result."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def peak_memory_mb() -> float:
    """Highest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass
class Manifest:
    """Content of ``run.json``. Timings differ from run to run; all else is a function of settings and machine."""

    settings: dict[str, Any]
    """The settings that shape the result, as given."""
    input: dict[str, str]
    """Name and SHA-256 of the photo; SHA-256 of the cameras if they came from a file or folder."""
    versions: dict[str, str] = field(default_factory=package_versions)
    """Package versions."""
    licences: dict[str, str] = field(default_factory=dict)
    """Licence of every set of weights that was used; empty when none were."""
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    """Per finished stage: seconds, peak_memory_mb (of the process, up to the stage's end)."""
    outputs: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every file made."""
    finished: bool = False
    """Whether all stages are done."""
    format: int = FORMAT
    """Version of this layout."""

    def save(self, path: Path) -> None:
        """Write atomically."""
        write_bytes_atomic(path, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @staticmethod
    def load(path: Path) -> Manifest:
        """Read a manifest. Raises InputError when it is not one of ours."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise InputError(f"{path}: is larger than {MAX_BYTES} bytes, so it is no run manifest")
            content = json.loads(path.read_text())
            if content.get("format") != FORMAT:
                raise InputError(f"{path}: run format {content.get('format')!r} is not supported, expected {FORMAT}")
            return Manifest(**content)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: is not a readable run manifest ({error})") from None
