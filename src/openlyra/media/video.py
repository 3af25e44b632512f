"""H.264 video in and out through PyAV: colours tagged BT.709, the same bytes for the same frames."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from openlyra.errors import InputError
from openlyra.media.atomic import atomic_path

MAX_FRAME_PIXELS = 64_000_000
_BT709, _LIMITED_RANGE = 1, 1  # H.264 VUI codes (ITU-T H.273)
# The number of threads may change what x264 writes, and its default follows the machine.
_THREADS = 1
# Macroblock-tree rate control with B-frames wavers from call to call, even on one thread (seen with PyAV 18.1).
_REPRODUCIBLE = "mbtree=0"
# swscale's quick paths truncate instead of round: every colour would come back about one level darker.
_EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)


@dataclass(frozen=True)
class VideoInfo:
    """What a video holds."""

    frames: int
    """Number of frames."""
    fps: float
    """Frames per second."""
    width: int
    """Pixels, after rotation."""
    height: int
    """Pixels, after rotation."""


class VideoWriter:
    """Write H.264 in MP4 (yuv420p, BT.709, index in front), one frame at a time; use as a context manager.

    `size` is (height, width); odd sizes are padded to even by repeating the last row or column. The file appears under
    its name only when the block ends without an error.
    """

    def __init__(
        self, path: str | os.PathLike[str], fps: float, size: tuple[int, int], crf: int = 18, preset: str = "veryfast"
    ) -> None:
        height, width = size
        if Path(path).suffix.lower() != ".mp4":
            raise InputError(f"{path}: videos are written as .mp4")
        if not 0 < fps <= 1000:
            raise InputError(f"fps {fps}: must lie between 0 and 1000")
        if height < 1 or width < 1 or height * width > MAX_FRAME_PIXELS:
            raise InputError(f"video size {height}x{width}: must be at least 1x1 and at most 64 million pixels")
        if not 0 <= crf <= 51:
            raise InputError(f"crf {crf}: must lie between 0 (best) and 51")
        self.path = Path(path)
        self.height, self.width = height, width
        self.frames = 0
        self._rate = Fraction(fps).limit_denominator(1001)
        self._options = {"crf": str(crf), "preset": preset, "x264-params": _REPRODUCIBLE}
        self._reformatter = VideoReformatter()
        self._files: AbstractContextManager[Path] | None = None

    def __enter__(self) -> VideoWriter:
        self._files = atomic_path(self.path)
        temporary = self._files.__enter__()
        try:
            self._container = av.open(
                str(temporary), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}
            )
            self._stream = self._container.add_stream("libx264", rate=self._rate, options=self._options)
            self._stream.width, self._stream.height = self.width + self.width % 2, self.height + self.height % 2
            self._stream.pix_fmt = "yuv420p"
            context = self._stream.codec_context
            context.thread_count = _THREADS
            context.color_primaries = context.color_trc = context.colorspace = _BT709
            context.color_range = _LIMITED_RANGE
        except BaseException as error:
            self._abandon(error)
            raise
        return self

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append a frame, uint8 (height, width, 3)."""
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            raise ValueError(
                f"frame {self.frames} is {image.dtype} {image.shape}, must be uint8 {(self.height, self.width, 3)}"
            )
        padded = np.pad(image, ((0, self.height % 2), (0, self.width % 2), (0, 0)), mode="edge")
        frame = self._reformatter.reformat(
            VideoFrame.from_ndarray(padded, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=_EXACT,
        )
        frame.pts = self.frames
        frame.time_base = 1 / self._rate
        self._mux(frame)
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._abandon(error)
            return
        try:
            if self.frames == 0:
                raise InputError(f"{self.path}: a video needs at least one frame")
            self._mux(None)
            _as_os_error(self._container.close, self.path)
        except BaseException as failure:
            self._abandon(failure)
            raise
        assert self._files is not None
        self._files.__exit__(None, None, None)

    def _mux(self, frame: VideoFrame | None) -> None:
        _as_os_error(lambda: self._container.mux(self._stream.encode(frame)), self.path)

    def _abandon(self, error: BaseException) -> None:
        """Close what is open and delete the temporary file; `error` itself is the caller's to raise."""
        container = getattr(self, "_container", None)
        if container is not None:
            # The file is thrown away; the first error is the one to report.
            with contextlib.suppress(av.error.FFmpegError, OSError):
                container.close()
        assert self._files is not None
        try:
            self._files.__exit__(type(error), error, error.__traceback__)
        except BaseException as raised:
            if raised is not error:
                raise


def probe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """Frames, rate and size of a video; counts packets, decodes one frame. InputError if it is none."""
    with _open_video(path) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        try:
            first = next(container.decode(stream))
            container.seek(0)
            frames = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
        except (av.error.FFmpegError, StopIteration):
            raise InputError(f"{path}: the video holds no readable frame") from None
        height, width = first.height, first.width
        if first.rotation % 180:
            height, width = width, height
        return VideoInfo(frames, float(rate), width, height)


def read_video(path: str | os.PathLike[str]) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a video as uint8 (H, W, 3) RGB, upright. InputError if it is none or is damaged."""
    with _open_video(path) as container:
        reformatter, stream = VideoReformatter(), container.streams.video[0]
        stream.thread_type = "AUTO"  # the next frames are decoded while this one is converted and used
        try:
            for frame in container.decode(stream):
                turns = round(frame.rotation / 90)
                yield np.ascontiguousarray(np.rot90(_to_rgb(reformatter, frame), turns))
        except av.error.FFmpegError as error:
            raise InputError(f"{path}: the video is damaged ({error.strerror})") from None


def _to_rgb(reformatter: VideoReformatter, frame: VideoFrame) -> NDArray[np.uint8]:
    """Convert by the frame's own colour matrix; untagged video follows the players' rule, BT.601 below 720 rows."""
    known = {int(space) for space in Colorspace}
    space = frame.colorspace if frame.colorspace in known else None
    if space is None:
        space = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
    rgb = reformatter.reformat(
        frame, format="rgb24", src_colorspace=space, dst_color_range=ColorRange.JPEG, interpolation=_EXACT
    )
    return np.asarray(rgb.to_ndarray(), np.uint8)


def _open_video(path: str | os.PathLike[str]) -> av.container.InputContainer:
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{path}: no such file" if not file.exists() else f"{path}: is not a file; give a video")
    try:
        container = av.open(str(file))
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a video ({error.strerror})") from None
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: holds no video")
    context = container.streams.video[0].codec_context
    if context.width * context.height > MAX_FRAME_PIXELS:
        container.close()
        raise InputError(f"{path}: frames of {context.width}x{context.height} are more than 64 million pixels")
    return container


def _as_os_error(action, path: Path) -> None:  # type: ignore[no-untyped-def]
    """Run a muxing step; FFmpeg's own errors (a full disk) become the OSError the rest of Python would raise."""
    try:
        action()
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
