from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from openlyra.depth import load_depth
from openlyra.depth.depth_anything import MODELS, Prediction, prepare, to_metres
from openlyra.errors import InputError, MissingExtraError

FOCAL = 260.0  # of the fixtures
Scene = Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with randomly initialised V2 models, relative and metric."""
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    folders = {}
    for kind in ("relative", "metric"):
        config = transformers.DepthAnythingConfig(
            backbone_config=backbone, reassemble_hidden_size=24, neck_hidden_sizes=[8, 8, 16, 16],
            fusion_hidden_size=8, head_hidden_size=8, patch_size=14, depth_estimation_type=kind, max_depth=20,
        )  # fmt: skip
        folders[kind] = tmp_path_factory.mktemp(kind)
        transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folders[kind])
    return folders


@pytest.mark.parametrize("kind", ["relative", "metric"])
def test_tiny_model_runs_end_to_end(tiny: dict[str, Path], kind: str, street: Scene) -> None:
    image, _, sky = street()
    estimator = load_depth("depth-anything", model=str(tiny[kind]), resolution=70)
    result = estimator.estimate(image, 300.0)
    result.validate()
    assert result.focal == 300.0 and result.backend == "depth-anything" and result.licence == "unknown"
    assert (result.sky & sky).sum() / (result.sky | sky).sum() > 0.97
    assert np.array_equal(result.depth, estimator.estimate(image, 300.0).depth)
    if kind == "metric":
        assert result.depth[~result.sky].max() <= 20.01


def test_prepare_resizes_to_multiples_of_14_and_normalises() -> None:
    image = np.full((90, 161, 3), 124, np.uint8)
    pixels = prepare(image, 70)
    assert pixels.shape == (1, 3, 70, 126)
    expected = (124 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    assert np.allclose(pixels.mean(dim=(0, 2, 3)).numpy(), expected, atol=1e-4)
    assert prepare(np.zeros((16, 900, 3), np.uint8), 14).shape == (1, 3, 14, 784)


@pytest.mark.parametrize("meaning", ["inverse", "relative", "metres"])
def test_scale_comes_from_the_ground(meaning: str, street: Scene) -> None:
    image, depth, sky = street()
    exact = np.where(sky, 500.0, depth)
    values = {"inverse": 37 / exact, "relative": 0.05 * exact, "metres": exact}[meaning]
    metres = to_metres(Prediction(values.astype(np.float32), meaning), image, sky, FOCAL)  # type: ignore[arg-type]
    ratio = np.log(metres[~sky] / depth[~sky])
    assert abs(np.median(ratio)) < (1e-3 if meaning == "metres" else 0.2)
    assert ratio.std() < 0.15


def test_useless_predictions_still_give_depth(street: Scene) -> None:
    image, _, sky = street()
    rng = np.random.default_rng(0)
    for values in (
        np.zeros(sky.shape),
        np.full(sky.shape, 7.0),
        rng.random(sky.shape),
        np.linspace(1, 0, sky.size).reshape(sky.shape),
    ):
        for meaning in ("inverse", "relative"):
            metres = to_metres(Prediction(values.astype(np.float32), meaning), image, sky, FOCAL)  # type: ignore[arg-type]
            assert np.isfinite(metres).all() and (metres > 0).all()


def test_wrong_names_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="v2-small") as caught:
        load_depth("depth-anything", model="v2-huge")
    assert "'v2-huge'" in str(caught.value)
    with pytest.raises(InputError, match="resolution 3"):
        load_depth("depth-anything", resolution=3)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="transformers is not installed"):
        load_depth("depth-anything")
    monkeypatch.setitem(sys.modules, "depth_anything_3.api", None)
    with pytest.raises(MissingExtraError, match="depth-anything-3"):
        load_depth("depth-anything", model="3-small")


@pytest.mark.parametrize("error", [OSError("We couldn't connect to the Hub\nsecond line"), ValueError("bad config")])
def test_unreachable_weights_are_one_clear_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    transformers = pytest.importorskip("transformers")

    def offline(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(transformers.AutoModelForDepthEstimation, "from_pretrained", offline)
    with pytest.raises(InputError, match="Depth-Anything-V2-Small-hf") as caught:
        load_depth("depth-anything")
    assert "hf download" in str(caught.value) and "\n" not in str(caught.value)


def test_folder_without_a_model(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        load_depth("depth-anything", model=str(tmp_path))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_version_3_through_its_package(monkeypatch: pytest.MonkeyPatch, street: Scene) -> None:
    """A stand-in for the package with the call it documents: depth up to scale and intrinsics of its own size."""
    image, depth, sky = street()

    class Network:
        @classmethod
        def from_pretrained(cls, repository: str) -> Network:
            assert repository == MODELS["3-small"].repository
            return cls()

        def to(self, device: str) -> Network:
            return self

        def eval(self) -> Network:
            return self

        def inference(self, image: list[np.ndarray], process_res: int) -> types.SimpleNamespace:
            assert image[0].dtype == np.uint8 and process_res == 140
            small = np.where(sky, 100.0, depth)[::2, ::2] * 0.1
            intrinsics = np.diag([FOCAL / 2, FOCAL / 2, 1.0])[None]
            return types.SimpleNamespace(depth=small[None], intrinsics=intrinsics)

    monkeypatch.setitem(sys.modules, "depth_anything_3", types.ModuleType("depth_anything_3"))
    api = types.ModuleType("depth_anything_3.api")
    api.DepthAnything3 = Network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "depth_anything_3.api", api)
    result = load_depth("depth-anything", model="3-small", resolution=140).estimate(image)
    result.validate()
    assert result.focal == pytest.approx(FOCAL)
    assert result.licence == "Apache-2.0"
    assert abs(np.median(np.log(result.depth[~sky] / depth[~sky]))) < 0.2


def test_importing_depth_is_light() -> None:
    heavy = "('torch', 'transformers', 'numba', 'av')"
    code = "import sys, openlyra.depth, openlyra.media, openlyra.depth.layout\n"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
