"""Large data sets as tar shards of the WebDataset kind: <id>.rgb.mp4, <id>.pose.npz, ... one after the other.

    shards.json    {"format": 1, "shards": [{"file", "bytes", "sha256", "videos": [id, ...]}, ...]}
    000000.tar     plain, uncompressed

A video is unpacked when it is asked for, into a folder of its own that goes away again. Nothing of an archive decides
where a file is written: names are matched against the few that are known, links and other entries are refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from openlyra.errors import InputError, OutputExistsError
from openlyra.media.atomic import atomic_path, write_bytes_atomic
from openlyra.training.world_video import NAME, PARTS, PosedVideo

INDEX = "shards.json"
MAX_INDEX_BYTES = 1 << 28
MAX_PART_BYTES = 1 << 34
"""Largest file of a video that is unpacked."""
MAX_ENTRIES = 1_000_000
"""Most entries of an archive."""
FILE = re.compile(r"[0-9]{6,9}\.tar")


@dataclass(frozen=True)
class Shard:
    """One archive."""

    file: str
    """Its name in the folder."""
    bytes: int
    """Its size."""
    sha256: str
    """Of the whole file."""
    videos: tuple[str, ...]
    """Ids in it."""


@dataclass(frozen=True)
class ShardedVideo(PosedVideo):
    """A video in an archive of the folder."""

    shard: int = 0
    """Number of the archive."""
    file: str = ""
    """The archive."""

    @contextmanager
    def opened(self) -> Iterator[PosedVideo]:
        """The video unpacked for a while. Raises InputError for an archive that is damaged or lacks it."""
        path = self.folder / self.file
        entries = _entries(path)
        with TemporaryDirectory(prefix="openlyra-video-") as folder:
            for part, suffix in PARTS.items():
                found = entries.get(f"{self.name}.{part}{suffix}")
                if found is None and part == "captions":
                    continue
                if found is None:
                    raise InputError(f"{path}: holds no {self.name}.{part}{suffix}")
                (Path(folder) / part).mkdir()
                _copy(path, *found, Path(folder) / part / f"{self.name}{suffix}")
            yield PosedVideo(Path(folder), self.name)


def is_sharded(folder: Path) -> bool:
    """Whether a folder holds shards."""
    return (folder / INDEX).is_file()


def read_index(folder: Path) -> list[Shard]:
    """The shards of a folder. Raises InputError."""
    path = folder / INDEX
    try:
        if path.stat().st_size > MAX_INDEX_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        values = json.loads(path.read_text())
        if values["format"] != 1:
            raise ValueError(f"format {values['format']!r}")
        shards = [Shard(**{**entry, "videos": tuple(entry["videos"])}) for entry in values["shards"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path}: is not a list of shards ({error})") from None
    for shard in shards:
        if not (isinstance(shard.file, str) and FILE.fullmatch(shard.file)):
            raise InputError(f"{path}: {shard.file!r} is not a name such as 000000.tar")
    names = [name for shard in shards for name in shard.videos]
    if bad := [name for name in names if not (isinstance(name, str) and NAME.fullmatch(name))]:
        raise InputError(f"{path}: {bad[0]!r} is not a video id; letters, digits, '-' and '_' are allowed")
    if not names or len(set(names)) != len(names):
        raise InputError(f"{path}: names no video, or one twice")
    return shards


def sharded_videos(folder: Path) -> list[PosedVideo]:
    """The videos in the order of the index."""
    return [
        ShardedVideo(folder, name, number, shard.file)
        for number, shard in enumerate(read_index(folder))
        for name in shard.videos
    ]


def shard_problems(folder: Path) -> list[str]:
    """A line for every archive that is not what the index says."""
    problems = []
    for shard in read_index(folder):
        path = folder / shard.file
        if not path.is_file() or path.stat().st_size != shard.bytes:
            problems.append(f"{shard.file}: is missing or has another size than {shard.bytes} bytes")
        elif _sha256(path) != shard.sha256:
            problems.append(f"{shard.file}: has other bytes than when it was written (SHA-256)")
    return problems


def write_shards(videos: Sequence[PosedVideo], folder: Path, most_bytes: int) -> list[Shard]:
    """Pack videos, in their order, into archives of about `most_bytes`; the same videos give the same bytes.

    Raises InputError for a file that is missing and OutputExistsError when the folder holds something."""
    if folder.exists() and any(folder.iterdir()):
        raise OutputExistsError(f"{folder}: exists; give a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    for number, group in enumerate(_groups(videos, most_bytes)):
        path = folder / f"{number:06d}.tar"
        with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
            for video in group:
                for name, file in _files(video).items():
                    entry = tarfile.TarInfo(name)
                    entry.size = file.stat().st_size
                    with file.open("rb") as content:
                        archive.addfile(entry, content)
        names = tuple(video.name for video in group)
        shards.append(Shard(path.name, path.stat().st_size, _sha256(path), names))
    index = {"format": 1, "shards": [asdict(shard) for shard in shards]}
    write_bytes_atomic(folder / INDEX, (json.dumps(index, indent=1) + "\n").encode())
    return shards


def _groups(videos: Sequence[PosedVideo], most_bytes: int) -> Iterator[list[PosedVideo]]:
    group: list[PosedVideo] = []
    filled = 0
    for video in videos:
        size = sum(file.stat().st_size for file in _files(video).values())
        if group and filled + size > most_bytes:
            yield group
            group, filled = [], 0
        group.append(video)
        filled += size
    if group:
        yield group


def _files(video: PosedVideo) -> dict[str, Path]:
    """Files of a video by their name in an archive."""
    found = {f"{video.name}.{part}{suffix}": video.path(part, suffix) for part, suffix in PARTS.items()}
    missing = [path for path in found.values() if not path.is_file() and path.parent.name != "captions"]
    if missing:
        raise InputError(f"{missing[0]}: no such file; try `openlyra train check` on the data set")
    return {name: path for name, path in found.items() if path.is_file()}


@lru_cache(maxsize=64)
def _entries(path: Path) -> dict[str, tuple[int, int]]:
    """(offset, size) of the files in an archive. Raises InputError for whatever does not belong there."""
    known = re.compile(rf"{NAME.pattern}\.({'|'.join(re.escape(part + suffix) for part, suffix in PARTS.items())})")
    found: dict[str, tuple[int, int]] = {}
    try:
        total = path.stat().st_size
        with tarfile.open(path, "r:") as archive:
            for number, entry in enumerate(archive):
                if number >= MAX_ENTRIES:
                    raise InputError(f"{path}: has more than {MAX_ENTRIES} entries")
                if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or not known.fullmatch(entry.name):
                    raise InputError(f"{path}: entry {entry.name[:80]!r} is no file of a video")
                if entry.name in found:
                    raise InputError(f"{path}: holds {entry.name} twice")
                if entry.size > MAX_PART_BYTES or entry.offset_data + entry.size > total:
                    raise InputError(f"{path}: {entry.name} has {entry.size} bytes, which cannot be")
                found[entry.name] = entry.offset_data, entry.size
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a tar archive ({error})".replace("\n", " ")) from None
    return found


def _copy(path: Path, offset: int, size: int, target: Path) -> None:
    with path.open("rb") as archive, target.open("wb") as file:
        archive.seek(offset)
        left = size
        while left:
            piece = archive.read(min(left, 1 << 20))
            if not piece:
                raise InputError(f"{path}: ends before {target.name} does")
            file.write(piece)
            left -= len(piece)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
