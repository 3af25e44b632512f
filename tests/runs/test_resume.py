"""A run can be killed, interrupted or run out of disk at any moment, and ends with the same bytes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from openlyra.cli.main import main
from openlyra.errors import OutputExistsError
from openlyra.runs import Manifest, RunFolder
from runs_for_tests import TOY, outputs


def start(photo: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "openlyra.cli.main", "create", str(photo), "-o", str(folder), *TOY]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    """Until a file appears: moments of the run rather than of the clock, the same on a fast and on a slow machine."""
    while process.poll() is None and not any(folder.glob(pattern)):
        time.sleep(0.002)


@pytest.mark.parametrize("moment", ["run.json", "memory/0001*", "frames/00002.png", "frames/00004.png", "scene.ply"])
def test_killed_and_resumed(photo: Path, toy_run: Path, tmp_path: Path, moment: str) -> None:
    folder = tmp_path / "w"
    process = start(photo, folder)
    wait_for(process, folder, moment)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert main(["create", str(photo), "-o", str(folder), *TOY, "--resume"]) == 0
    assert outputs(folder) == outputs(toy_run)


def test_interrupt_says_how_to_go_on(photo: Path, toy_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "w"
    # What a shell starts in the background inherits a SIGINT that is ignored; the run is to be one in the foreground.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start(photo, folder)
    signal.signal(signal.SIGINT, before)
    wait_for(process, folder, "memory/0000*")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "--resume" in said and "Traceback" not in said
    assert main(["create", str(photo), "-o", str(folder), *TOY, "--resume"]) == 0
    assert outputs(folder) == outputs(toy_run)


@pytest.mark.parametrize("full_from", [2, 6, 11])
def test_full_disk_then_resumed(
    photo: Path,
    toy_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    full_from: int,
) -> None:
    folder, calls, replace = tmp_path / "w", iter(range(10_000)), os.replace

    def full(source: object, target: object) -> None:
        if next(calls) >= full_from:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        replace(source, target)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert main(["create", str(photo), "-o", str(folder), *TOY]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "No space left on device" in said
    assert not list(folder.rglob(".*.tmp"))
    assert main(["create", str(photo), "-o", str(folder), *TOY, "--resume"]) == 0
    assert outputs(folder) == outputs(toy_run)


def test_killed_before_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / ".run.json.1-2.tmp").write_text("{")
    RunFolder.start(tmp_path, Manifest({"seed": 0}, {}), resume=True)
    assert (tmp_path / "run.json").is_file()


def test_overwrite_deletes_only_what_is_part_of_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    RunFolder.start(folder, Manifest({"seed": 0}, {}))
    (folder / "scene.ply").write_text("old")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="notes"):
        RunFolder.start(folder, Manifest({"seed": 1}, {}), overwrite=True)
    assert (folder / "scene.ply").exists()
    (folder / "notes.txt").unlink()
    RunFolder.start(folder, Manifest({"seed": 1}, {}), overwrite=True)
    assert not (folder / "scene.ply").exists()
    assert RunFolder.open(folder).manifest.settings == {"seed": 1}
