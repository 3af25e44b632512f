from __future__ import annotations

from pathlib import Path

import pytest

from openlyra.errors import InputError
from openlyra.models.licences import LICENCES, RECORD, Entry, licence_of_source, record, recorded, require_accepted
from openlyra.models.registry import REGISTRY, fetch, find, licence_of_repository


def test_every_download_has_a_known_licence() -> None:
    assert {weights.licence for weights in REGISTRY.values()} <= set(LICENCES)
    assert {name for name, weights in REGISTRY.items() if not weights.terms.commercial} == {
        "lyra-2.0", "lyra-2.0-lora", "lyra-2.0-encoders", "depth-anything-3",
    }  # fmt: skip
    with pytest.raises(InputError, match=r"'lyra-3' are not known; choose from: lyra-2\.0"):
        find("lyra-3")
    assert licence_of_repository("nvidia/Lyra-2.0") == "nvidia-research"
    assert licence_of_repository("somebody/something") == "unknown"


def test_licences_without_commercial_use_must_be_accepted_by_name() -> None:
    require_accepted(["apache-2.0", "mit"], [], "weights")
    with pytest.raises(InputError, match="--accept-license nvidia-research") as caught:
        require_accepted(["apache-2.0", "nvidia-research"], ["cc-by-nc-4.0"], "lyra-2.0")
    assert "\n" not in str(caught.value) and "commercial" in str(caught.value)
    require_accepted(["nvidia-research"], ["nvidia-research"], "lyra-2.0")
    with pytest.raises(InputError, match="--accept-license all: is not known"):
        require_accepted(["mit"], ["all"], "weights")


def test_the_record_of_a_folder(tmp_path: Path) -> None:
    assert recorded(tmp_path) == []
    record(tmp_path, [Entry("vae", "a/b", "apache-2.0"), Entry("transformer", "c/d", "nvidia-research")])
    record(tmp_path, [Entry("vae", "e/f", "mit")])
    assert {entry.part: entry.licence for entry in recorded(tmp_path)} == {
        "vae": "mit",
        "transformer": "nvidia-research",
    }
    inside = tmp_path / "checkpoints" / "model"
    inside.mkdir(parents=True)
    assert licence_of_source(inside) == ("c/d", "nvidia-research")
    (tmp_path / RECORD).write_text('[{"part": "vae", "source": "x", "licence": "secret"}]')
    with pytest.raises(InputError, match="licence 'secret' is not known"):
        recorded(tmp_path)
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(InputError, match="is not a record"):
        recorded(tmp_path)


def test_fetch(tmp_path: Path) -> None:
    """With a stand-in for the Hub: what is asked for, what is recorded, what is refused before any download."""
    asked: list[dict[str, object]] = []

    def download(**options: object) -> str:
        asked.append(options)
        for pattern in options["allow_patterns"]:  # type: ignore[attr-defined]
            path = tmp_path / pattern.replace("*", "x")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return str(tmp_path)

    with pytest.raises(InputError, match="--accept-license nvidia-research"):
        fetch("lyra-2.0", tmp_path, download=download)
    assert not asked and not any(tmp_path.iterdir())
    fetch("lyra-2.0", tmp_path, ["nvidia-research"], download=download)
    assert asked[0]["repo_id"] == "nvidia/Lyra-2.0" and asked[0]["local_dir"] == str(tmp_path)
    assert licence_of_source(tmp_path / "checkpoints" / "model") == ("nvidia/Lyra-2.0", "nvidia-research")
    fetch("wan-2.1-encoders", tmp_path, download=download)
    assert {"vae", "text_encoder", "image_encoder", "tokenizer"} < {entry.part for entry in recorded(tmp_path)}

    def offline(**options: object) -> str:
        raise OSError("no route to host\nmore")

    with pytest.raises(InputError, match=r"cannot be downloaded \(no route to host\)$"):
        fetch("wan-2.1-encoders", tmp_path, download=offline)
    with pytest.raises(InputError, match=r"has no files .*expected there has changed"):
        fetch("depth-anything-v2-small", tmp_path / "empty", download=lambda **options: "")
