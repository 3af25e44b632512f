from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from openlyra.errors import InputError
from openlyra.evaluation.parity.folder import check_file
from openlyra.evaluation.parity.text_image_encoders import original_image_shapes
from openlyra.models.image_encoder import (
    ImageEncoder,
    ImageEncoderConfig,
    build_image_network,
    from_original,
    network_key,
)
from openlyra.models.text_encoder import (
    TextEncoder,
    TextEncoderConfig,
    build_text_network,
    clean_caption,
    folder_tokeniser,
    original_text_key,
)

pytest.importorskip("transformers")
GOLDEN = Path(__file__).parents[1] / "golden"


def test_recorded_numbers() -> None:
    report = check_file(GOLDEN / "text_image_encoders.safetensors")
    assert report.verdict == "ok" and len(report.comparisons) == 5 and not report.not_compared


def test_rows_after_the_caption_are_zero() -> None:
    encoder = TextEncoder.random(width=32, tokens=16)
    tokens = encoder.encode(["a red house", "a red house by the sea", ""])
    assert tokens.shape == (3, 16, 32) and tokens.dtype == torch.float32
    lengths = [int((row.abs().sum(-1) > 0).sum()) for row in tokens]
    assert lengths == [4, 7, 1]
    assert (tokens[0, 4:] == 0).all()
    # The padding of one caption does not depend on, nor change, the words of another.
    assert torch.allclose(encoder.encode(["a red house"])[0], tokens[0], atol=1e-6)
    assert not torch.allclose(tokens[0, :4], tokens[1, :4], atol=1e-2)
    assert TextEncoder.random(tokens=4).encode(["one two three four five"]).abs().sum(-1).min() > 0


def test_captions_are_cleaned() -> None:
    assert clean_caption("  a \n\n caf\u00c3\u00a9 &amp;amp; more\t") == "a caf\u00e9 & more"


def test_missing_tokeniser_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokeniser") as caught:
        folder_tokeniser(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_tokeniser_of_a_folder(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "red": 3, "house": 4}
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    raw.post_processor = tokenizers.processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(tmp_path)
    ids, mask = folder_tokeniser(tmp_path, 5)(["red house", "red red red red red red"])
    assert ids.tolist() == [[3, 4, 1, 0, 0], [3, 3, 3, 3, 1]]
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


def test_image_tokens() -> None:
    encoder = ImageEncoder.random(width=32, seed=3)
    image = torch.rand((2, 3, 48, 80), generator=torch.Generator().manual_seed(0)) * 2 - 1
    tokens = encoder.encode(image)
    assert tokens.shape == (2, 257, 32) and tokens.dtype == torch.float32
    assert torch.equal(ImageEncoder.random(width=32, seed=3).encode(image), tokens)
    with pytest.raises(InputError, match=r"\(3, 48, 80\)"):
        encoder.encode(image[0])


def test_full_size_text_encoder_has_the_published_keys() -> None:
    """242 tensors, 5,680,910,336 parameters, counted without memory."""
    with torch.device("meta"):
        network = build_text_network(TextEncoderConfig())
    shapes = {original_text_key(key): value.shape for key, value in network.state_dict().items()}
    shapes.pop(None, None)
    assert len(shapes) == 242 and sum(math.prod(shape) for shape in shapes.values()) == 5_680_910_336
    assert shapes["token_embedding.weight"] == (256384, 4096)
    assert shapes["blocks.23.ffn.gate.0.weight"] == (10240, 4096)
    assert shapes["blocks.23.pos_embedding.embedding.weight"] == (32, 64)


def test_full_size_image_encoder_has_the_published_keys() -> None:
    """632,076,800 parameters with the unused head, and every tensor finds its place."""
    config = ImageEncoderConfig()
    with torch.device("meta"):
        network = build_image_network(config)
        original = {key: torch.empty(*shape) for key, shape in original_image_shapes(config).items()}
        renamed = {network_key(key, network): value.shape for key, value in from_original(original).items()}
    own = {key: value.shape for key, value in network.state_dict().items() if not key.endswith("position_ids")}
    assert renamed == own
    assert sum(math.prod(shape) for shape in own.values()) + 1280 * 1024 == 632_076_800
    for wrong in ("transformer.0.attn.to_q.weight", "logit_scale"):
        with pytest.raises(InputError, match="unknown"):
            from_original({wrong: torch.zeros(3)})
