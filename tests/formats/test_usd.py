"""OpenUSD: the prim as the schema names it, checked by OpenUSD itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_scenes import scene

from openlyra.errors import InputError, MissingExtraError
from openlyra.formats import read_gaussians, write_gaussians
from openlyra.formats.axes import UP


def prim_of(path: Path) -> Any:
    pxr = pytest.importorskip("pxr", reason="needs usd-core")
    from pxr import Usd, UsdVol

    assert pxr
    stage = Usd.Stage.Open(str(path))
    prim = stage.GetDefaultPrim()
    assert prim.GetTypeName() == "ParticleField3DGaussianSplat"
    return stage, UsdVol.ParticleField3DGaussianSplat(prim), prim


@pytest.mark.parametrize("suffix", ["usda", "usdc", "usd", "usdz"])
@pytest.mark.parametrize(("up", "degree"), [("y-up", 0), ("z-up", 3)])
def test_prim(tmp_path: Path, suffix: str, up: str, degree: int) -> None:
    pytest.importorskip("pxr", reason="needs usd-core")
    from pxr import UsdGeom

    original = scene(7, degree)
    path = tmp_path / f"a.{suffix}"
    write_gaussians(original, path, up=up)
    assert list(tmp_path.iterdir()) == [path]
    stage, field, prim = prim_of(path)
    assert UsdGeom.GetStageUpAxis(stage) == up[0].upper() and UsdGeom.GetStageMetersPerUnit(stage) == 1
    turned = original.transformed(UP[up], np.zeros(3))
    np.testing.assert_allclose(np.array(field.GetPositionsAttr().Get()), turned.means, atol=1e-5)
    np.testing.assert_allclose(np.array(field.GetScalesAttr().Get()), turned.scales, rtol=1e-6)
    np.testing.assert_allclose(np.array(field.GetOpacitiesAttr().Get()), turned.opacities, atol=1e-6)
    for value, expected in zip(field.GetOrientationsAttr().Get(), turned.quaternions, strict=True):
        np.testing.assert_allclose([value.GetReal(), *value.GetImaginary()], expected, atol=1e-5)
    assert field.GetRadianceSphericalHarmonicsDegreeAttr().Get() == degree
    coefficients = field.GetRadianceSphericalHarmonicsCoefficientsAttr()
    assert coefficients.GetMetadata("elementSize") == (degree + 1) ** 2
    np.testing.assert_allclose(np.array(coefficients.Get()).reshape(turned.sh.shape), turned.sh, atol=1e-5)
    assert field.GetProjectionModeHintAttr().Get() == "perspective"
    assert field.GetSortingModeHintAttr().Get() == "cameraDistance"
    low, high = np.array(UsdGeom.Boundable(prim).GetExtentAttr().Get())
    assert (low <= turned.means.min(0)).all() and (high >= turned.means.max(0)).all()


def test_openusd_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    pytest.importorskip("pxr", reason="needs usd-core")
    from pxr import Usd, UsdValidation

    write_gaussians(scene(7, 1), tmp_path / "a.usdz")
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 10
    context = UsdValidation.ValidationContext(validators)
    assert [e.GetMessage() for e in context.Validate(Usd.Stage.Open(str(tmp_path / "a.usdz")))] == []


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="y-up or z-up, not 'y-down'"):
        write_gaussians(scene(2), tmp_path / "a.usdc", up="y-down")
    with pytest.raises(InputError, match="written, not read"):
        read_gaussians(tmp_path / "a.usdc")
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(MissingExtraError, match=r"openlyra\[formats\]"):
        write_gaussians(scene(2), tmp_path / "a.usdc")
    assert not list(tmp_path.iterdir())
