"""Reads mutated scene files in limited memory: `python format_fuzz.py FORMAT SEED COUNT` prints a JSON report.

Mutations know the containers: what is inside gzip, zip or JSON is changed too and packed again with correct lengths and
check sums, so that damage reaches the code behind them. An input is fine if it is read as a valid scene or refused with
one line that names the file; anything else (another exception, too much memory, too much time) is a failure.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from openlyra.errors import InputError
from openlyra.formats import read_gaussians, write_gaussians
from openlyra.gaussians.types import Gaussians

MEMORY = 1536 * 2**20
"""Bytes a reader may take beyond what the process has at its start."""
SECONDS = 20
NUMBERS = ["0", "-1", "1", "3", "255", "1000000000", "4294967295", "-2147483648", "1e308", "-1e308", "1e999", "NaN",
           "9" * 400, "true", "null", "[]", "{}", '"x"', "0.5"]  # fmt: skip
WORDS = [0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 10**9, 0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF]


def scene(degree: int) -> Gaussians:
    rng = np.random.default_rng(degree)
    quaternions = rng.normal(size=(40, 4))
    return Gaussians(
        means=rng.normal(size=(40, 3)),
        quaternions=quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        scales=np.exp(rng.uniform(-4, 0, (40, 3))),
        opacities=rng.uniform(0.1, 0.9, 40),
        sh=rng.uniform(-0.5, 0.5, (40, (degree + 1) ** 2, 3)),
    )


def damage(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed without knowing what they mean."""
    if not data:
        return bytes(chance.randrange(64))
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, length = chance.randrange(len(changed) or 1), chance.choice((1, 2, 4, 16, 200))
        kind = chance.randrange(7)
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            del changed[at : at + length]
        elif kind == 2:
            changed[at:at] = chance.randbytes(length)
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        elif kind == 4:
            changed[at : at + length] = bytes([chance.choice((0, 255, 128))]) * length
        elif kind == 5:
            changed[at : at + length] = chance.randbytes(length)
        else:
            at -= at % 4
            changed[at : at + 4] = struct.pack("<I", chance.choice(WORDS))
        if not changed:
            break
    return bytes(changed)


def reword(text: str, chance: random.Random) -> str:
    """Text with numbers, words and lines changed."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        kind = chance.randrange(6)
        numbers = list(re.finditer(r"-?\d+(\.\d+)?(e-?\d+)?", text))
        words = list(re.finditer(r"[A-Za-z_]{2,}", text))
        if kind <= 2 and numbers:
            spot = chance.choice(numbers)
            text = text[: spot.start()] + chance.choice(NUMBERS) + text[spot.end() :]
        elif kind == 3 and words:
            spot, other = chance.choice(words), chance.choice(words)
            text = text[: spot.start()] + other[0] + text[spot.end() :]
        elif kind == 4:
            pieces = re.split(r"(?<=[,\n])", text)
            at = chance.randrange(len(pieces))
            pieces[at : at + 1] = chance.choice(([], [pieces[at]] * 2, [chance.choice(pieces)]))
            text = "".join(pieces)
        else:
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice(("[" * 5000, '"', "}", "\n", "\0", "é", "-")) + text[at:]
    return text


def ply(data: bytes, chance: random.Random) -> bytes:
    head, mark, body = data.partition(b"end_header\n")
    if chance.random() < 0.5:
        return reword(head.decode(), chance).encode() + mark + body
    return head + mark + damage(body, chance)


def spz(data: bytes, chance: random.Random) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return damage(data[:140], chance) + data[140:]
    raw = gzip.decompress(data)
    if chance.random() < 0.1:
        raw = raw[:8] + struct.pack("<I", chance.choice((10**5, 10**6, 10**7, 10**9))) + raw[12:] + bytes(4 * 10**6)
    elif chance.random() < 0.5:
        raw = damage(raw[:16], chance) + raw[16:]
    else:
        raw = damage(raw, chance)
    return gzip.compress(raw, 1)


def sog(data: bytes, chance: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice([*files, "meta.json", "meta.json", "meta.json"])
    if name == "meta.json":
        files[name] = reword(files[name].decode(), chance).encode()
    elif chance.random() < 0.3:
        files[name] = damage(files[name], chance)
    elif chance.random() < 0.1:
        files[name] = bytes(10**7)
    else:
        sides = (1, 4, 64, 192, 576, 1200)
        image = Image.new("RGBA", (chance.choice(sides), chance.choice(sides)), tuple(chance.randbytes(4)))
        packed = io.BytesIO()
        image.save(packed, chance.choice(("WEBP", "WEBP", "PNG")))
        files[name] = packed.getvalue()
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for member, content in files.items():
            archive.writestr(member, content)
    return result.getvalue()


def glb(data: bytes, chance: random.Random) -> bytes:
    size = struct.unpack_from("<I", data, 12)[0]
    text, binary = data[20 : 20 + size], data[28 + size :]
    if chance.random() < 0.8:
        text = reword(text.decode(), chance).encode()
    else:
        binary = damage(binary, chance)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def ascii_ply(folder: Path) -> bytes:
    g = scene(0)
    names = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2"]
    names += [f"rot_{i}" for i in range(4)]
    rows = np.concatenate([g.means, g.sh[:, 0], g.opacities[:, None], np.log(g.scales), g.quaternions], 1)
    head = ["ply", "format ascii 1.0", "element vertex 40", *(f"property float {name}" for name in names)]
    return ("\n".join(head) + "\nend_header\n" + "\n".join(" ".join(map(str, row)) for row in rows)).encode() + b"\n"


def written(suffix: str, degree: int, **options: Any) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        write_gaussians(scene(degree), folder / f"seed{suffix}", **options)
        return (folder / f"seed{suffix}").read_bytes()

    return make


FORMATS: dict[str, tuple[Callable[[bytes, random.Random], bytes], list[Callable[[Path], bytes]]]] = {
    ".ply": (ply, [written(".ply", 0), written(".ply", 3), ascii_ply]),
    ".compressed.ply": (ply, [written(".compressed.ply", 0), written(".compressed.ply", 2)]),
    ".splat": (damage, [written(".splat", 0)]),
    ".spz": (spz, [written(".spz", 0), written(".spz", 3)]),
    ".sog": (sog, [written(".sog", 0), written(".sog", 2)]),
    ".glb": (glb, [written(".glb", 0), written(".glb", 1)]),
}
"""Suffix -> a mutation that knows the container, and files to start from."""


def too_slow(*_: object) -> None:
    raise TimeoutError(f"took more than {SECONDS} s")


def run(suffix: str, seed: int, count: int) -> dict[str, Any]:
    """Read `count` mutated files; how many were read or refused, the failures, and the peak memory in MB."""
    mutate, makers = FORMATS[suffix]
    if suffix == ".spz":
        try:
            import zstandard
        except ImportError:
            pass
        else:
            assert zstandard
            makers = [*makers, written(".spz", 1, version=4)]
    report: dict[str, Any] = {"read": 0, "refused": 0, "failures": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = [make(folder) for make in makers]
        for data in seeds:
            judge(folder / f"seed{suffix}", data, report, "seed")
        assert report["read"] == len(seeds) and not report["failures"], report
        start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, in_use + MEMORY))
        signal.signal(signal.SIGALRM, too_slow)
        for index in range(count):
            chance = random.Random(f"{suffix} {seed} {index}")
            data = seeds[index % len(seeds)]
            changed = (mutate if chance.random() < 0.75 else damage)(data, chance)
            judge(folder / f"{index}{suffix}", changed, report, index)
    report["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - start)
    return report


def judge(path: Path, data: bytes, report: dict[str, Any], index: object) -> None:
    path.write_bytes(data)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", ".*dropped|.*left out")
            result = read_gaussians(path)
        result.validate()
        report["read"] += 1
    except InputError as error:
        report["refused"] += 1
        if "\n" in str(error) or str(path) not in str(error):
            report["failures"].append(f"{index}: message '{str(error)[:200]}'")
    except BaseException:
        report["failures"].append(f"{index}: {traceback.format_exc(limit=-3)}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        path.unlink()


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
