"""``openlyra view``: open a run or a scene in the browser."""

from __future__ import annotations

import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path

import tyro

from openlyra.cli.console import Verbosity, say
from openlyra.errors import InputError, OutputExistsError
from openlyra.explorer.viewer import export_viewer
from openlyra.formats import read_gaussians
from openlyra.geometry.trajectory_io import read_trajectory


@dataclass(frozen=True)
class ViewCommand:
    """Look around in a run or a scene: opens one self-contained page in the browser.

    Example: openlyra view my-world        openlyra view scene.ply --export page.html
    """

    source: tyro.conf.Positional[Path]
    """Run folder, or a scene file."""
    export: Path | None = None
    """Write the page here instead of opening it; it works without a network."""
    overwrite: bool = False
    """Replace the page if it exists."""
    verbosity: tyro.conf.OmitArgPrefixes[Verbosity] = Verbosity()

    def run(self) -> int:
        """Run it; returns the exit status."""
        if self.export is not None and self.export.exists() and not self.overwrite:
            raise OutputExistsError(f"{self.export}: exists; replace it with --overwrite")
        page = self.export or self._existing_page() or Path(tempfile.mkdtemp(prefix="openlyra-view-")) / "viewer.html"
        if not page.exists() or self.export is not None:
            self._write(page)
        if self.export is not None:
            say(f"wrote {page}", self.verbosity)
        elif webbrowser.open(page.resolve().as_uri()):
            say(f"opened {page}", self.verbosity)
        else:
            say(f"no browser found here; open this file yourself: {page}", self.verbosity)
        return 0

    def _existing_page(self) -> Path | None:
        page = self.source / "viewer.html"
        return page if page.is_file() else None

    def _write(self, page: Path) -> None:
        scene = self.source / "scene.ply" if self.source.is_dir() else self.source
        if not scene.exists():
            raise InputError(f"{scene}: does not exist; give a finished run folder or a scene file")
        cameras = scene.parent / "cameras.json"
        trajectory = read_trajectory(cameras) if cameras.is_file() else None
        export_viewer(read_gaussians(scene), page, trajectory=trajectory, title=scene.resolve().parent.name)
