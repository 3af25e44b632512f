"""OpenUSD: one `ParticleField3DGaussianSplat` prim (OpenUSD 26.03 and newer). Out only, through the extra `formats`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from openlyra.errors import InputError, MissingExtraError
from openlyra.formats.axes import AXES
from openlyra.formats.scene_checks import for_writing
from openlyra.gaussians.types import Gaussians
from openlyra.media.atomic import atomic_path

STAGE_UP = {"y-up": "Y", "z-up": "Z"}
"""Stages know two directions for up."""


def write_usd(
    gaussians: Gaussians,
    path: str | os.PathLike[str],
    *,
    up: str = "y-up",
    generator: str = "OpenLyra",
    meters_per_unit: float = 1.0,
) -> None:
    """Write N Gaussians to `.usd`, `.usdc` (binary), `.usda` (text) or `.usdz`, losslessly, whole or not at all.

    `up` is "y-up" or "z-up" and becomes the stage's up axis. Raises InputError for other axes, an empty scene and
    values that are not finite, MissingExtraError without usd-core.
    """
    what = os.fspath(path)
    if up not in STAGE_UP:
        raise InputError(f"{what}: OpenUSD stages are {' or '.join(STAGE_UP)}, not '{up}'")
    scene = for_writing(gaussians, up, what)
    suffix = Path(path).suffix.lower()
    with atomic_path(path) as temporary:
        # OpenUSD goes by the suffix, which a temporary name does not have.
        named = temporary.with_suffix(".usdc" if suffix == ".usdz" else suffix)
        package = temporary.with_suffix(".usdz")
        try:
            _export(scene, named, up, f"{generator}; axes {AXES[up]}", meters_per_unit)
            if suffix == ".usdz":
                _package(named, package)
            os.replace(package if suffix == ".usdz" else named, temporary)
        finally:
            named.unlink(missing_ok=True)
            package.unlink(missing_ok=True)


def _pxr() -> tuple[Any, ...]:
    try:
        from pxr import Sdf, Usd, UsdGeom, UsdUtils, UsdVol, Vt
    except ImportError:
        raise MissingExtraError("usd-core", "formats") from None
    if not hasattr(UsdVol, "ParticleField3DGaussianSplat"):
        raise InputError("the installed usd-core is older than 26.3 and knows no Gaussians; update it")
    return Sdf, Usd, UsdGeom, UsdUtils, UsdVol, Vt


def _export(scene: Gaussians, path: Path, up: str, note: str, meters_per_unit: float) -> None:
    Sdf, Usd, UsdGeom, _, UsdVol, Vt = _pxr()
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, STAGE_UP[up])
    UsdGeom.SetStageMetersPerUnit(stage, meters_per_unit)
    stage.GetRootLayer().comment = note
    prim = UsdVol.ParticleField3DGaussianSplat.Define(stage, Sdf.Path("/scene"))
    stage.SetDefaultPrim(prim.GetPrim())
    prim.CreatePositionsAttr(Vt.Vec3fArray.FromNumpy(scene.means))
    # NumPy arrays become quaternions with the real part last, as they lie in memory.
    prim.CreateOrientationsAttr(Vt.QuatfArray.FromNumpy(np.ascontiguousarray(scene.quaternions[:, [1, 2, 3, 0]])))
    prim.CreateScalesAttr(Vt.Vec3fArray.FromNumpy(scene.scales))
    prim.CreateOpacitiesAttr(Vt.FloatArray.FromNumpy(scene.opacities))
    prim.CreateRadianceSphericalHarmonicsDegreeAttr(scene.sh_degree)
    coefficients = prim.CreateRadianceSphericalHarmonicsCoefficientsAttr(
        Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(scene.sh.reshape(-1, 3)))
    )
    coefficients.SetMetadata("elementSize", scene.sh.shape[1])
    prim.CreateProjectionModeHintAttr("perspective")
    prim.CreateSortingModeHintAttr("cameraDistance")
    reach = 3.0 * scene.scales.max(1, keepdims=True)
    extent = np.stack([(scene.means - reach).min(0), (scene.means + reach).max(0)]).astype(np.float32)
    prim.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(extent))
    stage.GetRootLayer().Save()


def _package(layer: Path, package: Path) -> None:
    UsdUtils = _pxr()[3]
    if not UsdUtils.CreateNewUsdzPackage(str(layer), str(package), "scene.usdc"):
        raise InputError(f"{package}: OpenUSD could not write the package")
