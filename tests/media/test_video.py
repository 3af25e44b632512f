from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from openlyra.errors import InputError
from openlyra.media.video import VideoWriter, probe_video, read_video


def moving(frames: int, height: int, width: int) -> list[np.ndarray]:
    y, x = np.mgrid[:height, :width]
    return [
        np.stack([(x * 3 + 5 * t) % 256, (y * 2) % 256, np.full_like(x, 40 + 3 * t)], -1).astype(np.uint8)
        for t in range(frames)
    ]


def write(path: Path, frames: list[np.ndarray], fps: float = 16.0, crf: int = 18) -> None:
    with VideoWriter(path, fps, frames[0].shape[:2], crf=crf) as video:
        for frame in frames:
            video.write(frame)


def test_flat_colours_come_back_within_two_levels(tmp_path: Path) -> None:
    corners = [[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    colours = np.vstack([corners, np.random.default_rng(0).integers(0, 256, (40, 3))]).reshape(6, 8, 3)
    image = np.repeat(np.repeat(colours, 32, 0), 32, 1).astype(np.uint8)
    write(tmp_path / "a.mp4", [image] * 3)
    for frame in read_video(tmp_path / "a.mp4"):
        patches = frame.astype(int).reshape(6, 32, 8, 32, 3)[:, 8:24, :, 8:24].mean(axis=(1, 3))
        difference = patches - colours
        assert np.abs(difference).max() < 3
        assert np.abs(difference.mean(axis=(0, 1))).max() < 0.3  # no overall darkening


def test_tags_and_order_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", moving(4, 32, 48))
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 1, 1)
        assert context.name == "h264" and context.pix_fmt == "yuv420p"
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    # Two runs agree by luck more often than not when the encoder wavers; thirty do not.
    contents = set()
    for _ in range(30):
        write(tmp_path / "a.mp4", moving(20, 96, 160))
        contents.add((tmp_path / "a.mp4").read_bytes())
    assert len(contents) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(("height", "width", "fps"), [(32, 48, 16.0), (33, 51, 29.97), (1, 1, 24.0), (17, 2, 10.5)])
def test_sizes_rates_and_count(tmp_path: Path, height: int, width: int, fps: float) -> None:
    frames = moving(7, height, width)
    write(tmp_path / "a.mp4", frames, fps, crf=10)
    info = probe_video(tmp_path / "a.mp4")
    assert (info.frames, info.height, info.width) == (7, height + height % 2, width + width % 2)
    assert info.fps == pytest.approx(fps, abs=0.01)
    read = list(read_video(tmp_path / "a.mp4"))
    assert len(read) == 7
    # Blue is flat, so it survives the halved chroma: frames arrive in order.
    for frame, original in zip(read, frames, strict=True):
        assert abs(frame[:height, :width].astype(float).mean() - original.mean()) < 4


def test_an_error_inside_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), VideoWriter(tmp_path / "a.mp4", 16, (32, 32)) as video:
        video.write(np.zeros((32, 32, 3), np.uint8))
        raise RuntimeError("mine")
    with pytest.raises(InputError, match="at least one frame"), VideoWriter(tmp_path / "a.mp4", 16, (32, 32)):
        pass
    with pytest.raises(ValueError, match="frame 0"), VideoWriter(tmp_path / "a.mp4", 16, (32, 32)) as video:
        video.write(np.zeros((30, 32, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_an_oserror_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on file sizes stands for the full disk; it needs a process of its own.
    script = """
import resource, signal, sys
import numpy as np
from openlyra.media.video import VideoWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
try:
    with VideoWriter(sys.argv[1], 16, (128, 128), crf=1) as video:
        for _ in range(60):
            video.write(np.roll(noise, 7, 0))
except OSError as error:
    print("OSError", error.errno)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.mp4")], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("OSError"), done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mp4"):
        VideoWriter(tmp_path / "a.avi", 16, (32, 32))
    with pytest.raises(InputError, match="fps 0"):
        VideoWriter(tmp_path / "a.mp4", 0, (32, 32))
    with pytest.raises(InputError, match="0x32"):
        VideoWriter(tmp_path / "a.mp4", 16, (0, 32))
    with pytest.raises(InputError, match="crf 99"):
        VideoWriter(tmp_path / "a.mp4", 16, (32, 32), crf=99)
    with pytest.raises(InputError, match="no such file"):
        probe_video(tmp_path / "missing.mp4")
    (tmp_path / "text.mp4").write_text("no video at all")
    for reader in (probe_video, lambda path: list(read_video(path))):
        with pytest.raises(InputError, match=r"text\.mp4"):
            reader(tmp_path / "text.mp4")
        with pytest.raises(InputError, match="not a file"):
            reader(tmp_path)
    write(tmp_path / "a.mp4", moving(10, 64, 64))
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: whole.index(b"mdat") + 8])
    with pytest.raises(InputError, match=r"a\.mp4"):
        probe_video(tmp_path / "a.mp4")
