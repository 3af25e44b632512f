"""The PLY format: exact bytes, round trips, foreign dialects, and files that lie."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openlyra.errors import InputError
from openlyra.formats import read_gaussians, write_gaussians
from openlyra.formats.axes import UP
from openlyra.formats.ply import read_ply, write_ply
from openlyra.gaussians.spherical_harmonics import C0
from openlyra.gaussians.types import Gaussians


def scene(count: int, degree: int = 0, seed: int = 0) -> Gaussians:
    """Random Gaussians of all shapes, far from any clamp."""
    rng = np.random.default_rng(seed)
    quaternions = rng.normal(size=(count, 4))
    return Gaussians(
        means=rng.normal(size=(count, 3)) * 10,
        quaternions=quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        scales=np.exp(rng.uniform(-8, 2, (count, 3))),
        opacities=rng.uniform(0.01, 0.99, count),
        sh=rng.normal(size=(count, (degree + 1) ** 2, 3)),
    )


def assert_same(a: Gaussians, b: Gaussians) -> None:
    np.testing.assert_array_equal(a.means, b.means)
    np.testing.assert_array_equal(a.sh, b.sh)
    np.testing.assert_allclose(a.quaternions, b.quaternions, atol=1e-6)
    np.testing.assert_allclose(a.scales, b.scales, rtol=2e-6)
    np.testing.assert_allclose(a.opacities, b.opacities, atol=1e-6)


ONE = Gaussians(
    means=np.array([[1.0, -2.0, 3.5]]),
    quaternions=np.array([[0.5, -0.5, 0.5, 0.5]]),
    scales=np.array([[math.e, 1.0, math.exp(-2.0)]]),
    opacities=np.array([0.5]),
    sh=np.arange(12.0).reshape(1, 4, 3),
)
LOGS = [math.log(float(sigma)) for sigma in ONE.scales[0]]  # 1, 0 and -2, but for float32


def body(path: Path) -> tuple[list[str], bytes]:
    head, _, rows = path.read_bytes().partition(b"end_header\n")
    return head.decode().splitlines(), rows


def test_compact_bytes(tmp_path: Path) -> None:
    write_ply(ONE, tmp_path / "a.ply", units="metre", comments=["made by\nhand"])
    head, rows = body(tmp_path / "a.ply")
    # Coefficients 1..3 of red, then green, then blue; coefficient-major in memory.
    rest = [3, 6, 9, 4, 7, 10, 5, 8, 11]
    assert rows == struct.pack("<23f", 1, -2, 3.5, 0, 1, 2, *rest, 0, *LOGS, 0.5, -0.5, 0.5, 0.5)
    assert head[:2] == ["ply", "format binary_little_endian 1.0"]
    notes = ["generator OpenLyra", "axes RDF", "units metre", "antialiased 0", "sh_degree 1", "made by hand"]
    assert head[2:9] == [f"comment {note}" for note in notes] + ["element vertex 1"]
    names = [line.removeprefix("property float ") for line in head[9:]]
    assert names[:6] == ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2"]
    assert names[-8:] == ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]


def test_compatible_bytes(tmp_path: Path) -> None:
    write_ply(ONE, tmp_path / "a.ply", layout="compatible")
    head, rows = body(tmp_path / "a.ply")
    zeros = [0.0] * 12
    rest = [3, 6, 9, *zeros, 4, 7, 10, *zeros, 5, 8, 11, *zeros]
    assert rows == struct.pack("<62f", 1, -2, 3.5, 0, 0, 0, 0, 1, 2, *rest, 0, *LOGS, 0.5, -0.5, 0.5, 0.5)
    assert sum(line.startswith("property float f_rest_") for line in head) == 45


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 40), st.integers(0, 3), st.sampled_from(["compact", "compatible"]), st.integers(0, 99))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, count: int, degree: int, layout: str, seed: int) -> None:
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    original = scene(count, degree, seed)
    write_gaussians(original, path, layout=layout)
    result = read_gaussians(path)
    expected = original if layout == "compact" else original.with_sh_degree(3)
    assert_same(expected, result)


def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ply(scene(50, 1), tmp_path / "whole.ply")
    monkeypatch.setattr("openlyra.formats.ply._BLOCK", 7)
    write_ply(scene(50, 1), tmp_path / "blocks.ply")
    assert (tmp_path / "whole.ply").read_bytes() == (tmp_path / "blocks.ply").read_bytes()


def test_saturated_values_stay_finite(tmp_path: Path) -> None:
    extreme = Gaussians(ONE.means, ONE.quaternions, np.array([[1e-30, 1.0, 1e30]]), np.array([1.0]), ONE.sh)
    write_ply(extreme, tmp_path / "a.ply")
    _, rows = body(tmp_path / "a.ply")
    values = np.frombuffer(rows, "<f4")
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[-7:-4], [-20, 0, 20])
    assert read_ply(tmp_path / "a.ply").opacities[0] == pytest.approx(1 - 1e-6, abs=1e-7)


def covariances(g: Gaussians) -> np.ndarray:
    w, x, y, z = g.quaternions.astype(np.float64).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    rotation = np.array(rows).transpose(2, 0, 1) * g.scales[:, None, :]
    return rotation @ rotation.transpose(0, 2, 1)


@pytest.mark.parametrize(("up", "down", "ahead"), [("y-down", "+y", "+z"), ("y-up", "-y", "-z"), ("z-up", "-z", "+y")])
def test_up(tmp_path: Path, up: str, down: str, ahead: str) -> None:
    original = scene(20, 2)
    write_ply(original, tmp_path / "a.ply", up=up)
    stated = read_ply(tmp_path / "a.ply")  # the file states its axes
    np.testing.assert_allclose(stated.means, original.means, atol=1e-5)
    result = read_ply(tmp_path / "a.ply", up="y-down")  # as stored
    axis = {
        sign + name: value * np.eye(3)[i] for i, name in enumerate("xyz") for sign, value in (("+", 1.0), ("-", -1.0))
    }
    rotation = np.stack([axis["+x"], axis[down], axis[ahead]], 1)  # columns: where right, down and forward go
    np.testing.assert_array_equal(rotation, UP[up])
    np.testing.assert_allclose(result.means, original.means @ rotation.T, atol=1e-5)
    turned = rotation @ covariances(original) @ rotation.T
    np.testing.assert_allclose(covariances(result), turned, atol=1e-4 * np.abs(turned).max())
    np.testing.assert_allclose(np.linalg.norm(result.sh, axis=1), np.linalg.norm(original.sh, axis=1), rtol=1e-4)
    assert (up == "y-down") == np.array_equal(result.sh, original.sh)


# Foreign dialects ---------------------------------------------------------------------------------------------------

COLUMNS = [*"xyz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2"]
COLUMNS += ["rot_0", "rot_1", "rot_2", "rot_3"]
ROWS = np.array([[1, 2, 3, 0.5, -0.5, 0, 0, 0, -1, -2, 2, 0, 0, 0], [4, 5, 6, 1, 0, -1, 3, -3, -4, -5, 0, 0, 3, 4.0]])


def make(
    path: Path, encoding: str = "binary_little_endian", types: dict[str, str] | None = None, **change: object
) -> Path:
    """A file of two Gaussians; `before` and `after` are (header lines, bytes) of other elements."""
    types = types or {}
    names = list(change.get("names", COLUMNS))  # type: ignore[call-overload]
    codes = {"float": "f4", "double": "f8", "uchar": "u1", "int": "i4"}
    values = dict(zip(COLUMNS, ROWS.T, strict=True)) | dict(change.get("values", {}))  # type: ignore[call-overload]
    order = ">" if encoding == "binary_big_endian" else "<"
    rows = np.zeros(2, np.dtype([(n, order + codes[types.get(n, "float")]) for n in names]))
    for name in names:
        rows[name] = values[name]
    before, after = change.get("before", ("", b"")), change.get("after", ("", b""))
    head = f"ply\nformat {encoding} 1.0\ncomment x\n{before[0]}element vertex {change.get('count', 2)}\n"  # type: ignore[index]
    head += "".join(f"property {types.get(n, 'float')} {n}\n" for n in names) + f"{after[0]}end_header\n"  # type: ignore[index]
    data = rows.tobytes()
    if encoding == "ascii":
        data = "".join(" ".join(repr(float(v)) for v in row) + "\n" for row in rows.tolist()).encode()
    path.write_bytes(head.encode() + before[1] + data + after[1])  # type: ignore[index, operator]
    return path


def check_rows(g: Gaussians) -> None:
    np.testing.assert_allclose(g.means, ROWS[:, :3])
    np.testing.assert_allclose(g.sh[:, 0], ROWS[:, 3:6], atol=1e-6)
    np.testing.assert_allclose(g.opacities, [0.5, 1 / (1 + math.exp(-3))], rtol=1e-6)
    np.testing.assert_allclose(g.scales, np.exp(ROWS[:, 7:10]), rtol=1e-6)
    np.testing.assert_allclose(g.quaternions, [[1, 0, 0, 0], [0, 0, 0.6, 0.8]], atol=1e-7)


@pytest.mark.parametrize("encoding", ["binary_little_endian", "binary_big_endian", "ascii"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    check_rows(read_ply(make(tmp_path / "a.ply", encoding)))


@pytest.mark.parametrize("encoding", ["binary_little_endian", "ascii"])
def test_other_types_order_and_elements(tmp_path: Path, encoding: str) -> None:
    names = [*reversed(COLUMNS), "extra"]
    ascii_ = encoding == "ascii"
    before = ("element camera 3\nproperty double f\nproperty short k\n", b"1 2\n3 4\n5 6\n" if ascii_ else bytes(30))
    after = ("element face 1\nproperty list uchar int v\n", b"1 7\n" if ascii_ else bytes(5))
    types = {"x": "double", "rot_2": "double", "extra": "uchar"}
    path = make(tmp_path / "a.ply", encoding, types, names=names, values={"extra": [1, 2]}, before=before, after=after)
    check_rows(read_ply(path))


def test_crlf_header(tmp_path: Path) -> None:
    path = make(tmp_path / "a.ply")
    head, end, rows = path.read_bytes().partition(b"end_header\n")
    path.write_bytes((head + end).replace(b"\n", b"\r\n") + rows)
    check_rows(read_ply(path))


def test_byte_colours_and_flat_discs(tmp_path: Path) -> None:
    colors = ["red", "green", "blue"]
    names = [n for n in COLUMNS if not n.startswith("f_dc") and n != "scale_2"] + colors
    values = {"red": [255, 0], "green": [0, 51], "blue": [128, 255]}
    g = read_ply(make(tmp_path / "a.ply", types=dict.fromkeys(colors, "uchar"), names=names, values=values))
    np.testing.assert_allclose(0.5 + C0 * g.sh[:, 0], [[1, 0, 128 / 255], [0, 0.2, 1]], atol=1e-6)
    np.testing.assert_allclose(g.scales[:, 2], 1e-6, rtol=1e-5)


def test_bad_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    path = make(tmp_path / "a.ply", values={"y": [np.nan, 5]})
    with pytest.warns(UserWarning, match="dropped 1 of 2 Gaussians"):
        g = read_ply(path)
    assert g.count == 1 and g.means[0, 0] == 4
    make(path, values={"rot_2": [0, 0], "rot_3": [0, 0], "x": [np.inf, 1]})
    with pytest.raises(InputError, match="every one of its 2"):
        read_ply(path)


def test_infinite_logit_is_a_saturated_opacity(tmp_path: Path) -> None:
    g = read_ply(make(tmp_path / "a.ply", values={"opacity": [np.inf, -np.inf], "scale_0": [-np.inf, -3]}))
    np.testing.assert_allclose(g.opacities, [1 - 1e-6, 1e-6], atol=1e-7)
    assert g.scales[0, 0] == pytest.approx(math.exp(-20))
    g.validate()


# Files that are not what they say -----------------------------------------------------------------------------------


def refuse(path: Path, pattern: str) -> None:
    with pytest.raises(InputError, match=pattern) as caught:
        read_ply(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("encoding", ["binary_little_endian", "ascii"])
def test_promised_rows_are_checked_before_allocating(tmp_path: Path, encoding: str) -> None:
    refuse(make(tmp_path / "a.ply", encoding, count=10**9), "promises 1000000000 rows")
    refuse(make(tmp_path / "b.ply", encoding, count=10**30), "promises")
    refuse(make(tmp_path / "c.ply", encoding, count=-1), "negative count")


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    path.write_bytes(b"PK\x03\x04 something else")
    refuse(path, "is not a PLY file")
    path.write_bytes(b"ply\nformat ascii 1.0\n" + b"comment long\n" * 10000)
    refuse(path, "no end_header")
    path.write_bytes(b"ply\nformat ascii 1.0\nelement vertex 1\nend_header")
    refuse(path, "ends inside")
    path.write_bytes(b"ply\nformat ascii 1.0\nelement face 0\nproperty float x\nend_header\n")
    refuse(path, "no element 'vertex'")
    path.write_bytes(b"ply\nformat ascii 2.0\nelement vertex 1\nproperty quad x\nend_header\n")
    refuse(path, "unknown type 'quad'")
    refuse(make(path, names=["x", "y", "z"]), "column 'opacity' is missing")
    refuse(make(path, names=[*COLUMNS, "f_rest_0"], values={"f_rest_0": [0, 0]}), "has 1 f_rest columns")
    refuse(make(path, names=[n for n in COLUMNS if n != "f_dc_1"]), "no colour")
    refuse(make(path, before=("element face 1\nproperty list uchar int v\n", b"")), "lists")
    refuse(make(path, names=[*COLUMNS, "packed_position"], values={"packed_position": [0, 0]}), "no usable column")
    refuse(tmp_path / "missing.ply", "cannot be read")
    whole = make(path).read_bytes()
    path.write_bytes(whole[:-1])
    refuse(path, "cut short")
    make(path, "ascii")
    path.write_bytes(path.read_bytes().replace(b"6.0", b"six"))
    refuse(path, "lines of numbers")


@pytest.mark.filterwarnings("ignore:.*dropped")
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=6), st.sampled_from(["binary_little_endian", "ascii"]))
def test_damage_never_escapes(tmp_path_factory: pytest.TempPathFactory, where: int, junk: bytes, encoding: str) -> None:
    path = make(tmp_path_factory.mktemp("ply") / "a.ply", encoding)
    data = bytearray(path.read_bytes())
    start = where % len(data)
    data[start : start + len(junk)] = junk
    path.write_bytes(data)
    try:
        read_ply(path).validate()
    except InputError as error:
        assert "\n" not in str(error)


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    write_ply(ONE, path)
    before = path.read_bytes()
    broken = Gaussians(np.array([[np.nan, 0, 0]]), ONE.quaternions, ONE.scales, ONE.opacities, ONE.sh)
    with pytest.raises(InputError, match="1 Gaussians from row 0 on hold NaN"):
        write_ply(broken, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="up is 'left'; it must be one of y-down, y-up, z-up"):
        write_gaussians(ONE, tmp_path / "a.ply", up="left")
    with pytest.raises(InputError, match="layout is 'tiny'"):
        write_gaussians(ONE, tmp_path / "a.ply", layout="tiny")
    with pytest.raises(InputError, match="has no option 'layout'; there are up"):
        write_gaussians(ONE, tmp_path / "a.splat", layout="compact")
    with pytest.raises(InputError, match=r"end in .*\.ply, .* or \.usd, not '\.obj'"):
        write_gaussians(ONE, tmp_path / "a.obj")
    with pytest.raises(InputError, match="not ''"):
        read_gaussians(tmp_path)
