"""The exemplar walk with colours from a tiny, randomly initialised inpainting pipeline, built here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from openlyra.cli.main import main
from openlyra.errors import InputError
from openlyra.generation.exemplar import HoleView
from openlyra.generation.inpaint import InpaintGenerator, InpaintSettings
from openlyra.generation.patchmatch import GuidedImage
from openlyra.geometry.camera import Camera
from openlyra.memory.frame import load_frame

pytest.importorskip("diffusers")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable-Diffusion-type inpainting pipeline of 30 thousand parameters, saved as safetensors."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("pipeline")
    words = ["<|startoftext|>", "<|endoftext|>", "a", "s", "e", "a</w>", "s</w>", "e</w>", "!", "!</w>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=16, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1,
        sample_size=16, in_channels=9, out_channels=4, cross_attention_dim=16,
        attention_head_dim=4, norm_num_groups=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 16), latent_channels=4, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet, 
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder / "pipe", safe_serialization=True)
    return folder / "pipe"


def hole_view(height: int, width: int) -> HoleView:
    color = np.full((height, width, 3), 0.5, np.float32)
    mask = np.zeros((height, width), bool)
    mask[10:30, 20:50] = True
    flat = np.zeros((height, width), np.float32)
    known = GuidedImage(color, flat, np.zeros_like(mask), ~mask)
    target = GuidedImage(color, flat, np.zeros_like(mask), mask)
    return HoleView(0, Camera.from_fov(*mask.shape, 1.0), target, known, None)  # type: ignore[arg-type]


def test_painting_follows_the_seed_and_the_size(pipeline_folder: Path) -> None:
    generator = InpaintGenerator(InpaintSettings(str(pipeline_folder), captions="a sea", steps=2))
    view = hole_view(52, 70)  # not multiples of 8
    painted = generator.painter(view, 1)
    assert painted.shape == (52, 70, 3) and painted.min() >= 0 and painted.max() <= 1
    assert np.array_equal(painted, generator.painter(view, 1))
    hole = view.target.mask
    assert np.abs(painted - generator.painter(view, 2))[hole].max() > 0.01
    assert painted[hole].std() > 0.01


def test_a_world_painted_by_a_pipeline(photo: Path, pipeline_folder: Path, tmp_path: Path) -> None:
    """Through the command line: geometry as with exemplar, other colours."""
    words = ["--size", "64x96", "--frames", "5", "--quiet", "--path", "truck-left"]
    inpaint = ["--generator", "inpaint", "--inpaint-model", str(pipeline_folder), "--steps", "2"]
    accept = ["--accept-license", "unknown"]
    assert main(["create", str(photo), "-o", str(tmp_path / "a"), *words]) == 0
    assert main(["create", str(photo), "-o", str(tmp_path / "b"), *words, *inpaint, *accept]) == 0
    runs = [sorted((tmp_path / name / "memory").iterdir()) for name in "ab"]
    assert len(runs[0]) > 1
    first, second = (load_frame(files[1]) for files in runs)
    assert np.allclose(first.depth, second.depth) and np.array_equal(first.valid, second.valid)
    new = first.valid
    assert np.abs(first.image.astype(int) - second.image)[new].max() > 10
    licences = json.loads((tmp_path / "b" / "run.json").read_text())["licences"]
    assert licences[str(pipeline_folder)] == "no licence is stated"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--generator", "inpaint"], "needs --inpaint-model"),
        (["--generator", "inpaint", "--inpaint-model", "nowhere"], "neither a folder nor a Hub id"),
        (["--generator", "inpaint", "--inpaint-model", "owner/name"], "--accept-license unknown"),
        (["--generator", "inpaint", "--inpaint-model", "."], "no model_index.json"),
        (["--generator", "exemplar", "--inpaint-model", "owner/name"], "has no option --inpaint-model"),
        (["--generator", "inpaint", "--inpaint-model", "a/b", "--captions", "c.json"], "one text for the whole scene"),
        (["--generator", "inpaint", "--inpaint-model", "a/b", "--model", "toy"], "has no option --model"),
        (["--generator", "inpaint", "--inpaint-model", "a/b", "--steps", "0"], "--steps 0"),
    ],
)
def test_wrong_words_are_one_clear_line(
    photo: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["create", str(photo), "-o", str(tmp_path / "w"), "--size", "64x96", "--frames", "5", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error
    assert not (tmp_path / "w").exists()


def test_a_folder_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionInpaintPipeline"}')
    generator = InpaintGenerator(InpaintSettings(str(tmp_path)))
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        generator.painter(hole_view(32, 64), 0)
    assert "\n" not in str(caught.value)
