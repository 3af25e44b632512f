"""Configurations of networks, their JSON, and the key table of the released one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from openlyra.errors import InputError
from openlyra.models.lyra_config import RELEASED, SIZES, SMALL, TOY, LyraConfig
from openlyra.models.lyra_keys import compare_with_table, network_keys, read_key_table

TABLE = Path(__file__).parents[1] / "golden" / "state_dict_14b.tsv"


@pytest.mark.parametrize("config", SIZES.values(), ids=SIZES.keys())
def test_json_round_trip(config: LyraConfig, tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    path.write_text(config.to_json())
    assert LyraConfig.read(path) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "a JSON object"),
        ("{", "not JSON"),
        ('{"depth": 3}', "field 'depth' is unknown"),
        ('{"width": "5120"}', "width is '5120'"),
        ('{"width": 5121}', "a multiple of 80 is needed"),
        ('{"width": 99999999999}', "an integer from 1 to"),
        ('{"blocks": true}', "blocks is True"),
        ('{"layout": "f1"}', "layout 'f1' is not understood"),
        ('{"layout": null}', "a layout or 0 channels"),
        ('{"eps": 0}', "eps is 0"),
        ('{"input_channels": 16}', "more than latent_channels"),
    ],
)
def test_bad_configurations(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as failure:
        LyraConfig.from_json(text, "my.json")
    assert str(failure.value).startswith(("my.json", "layout")) and "\n" not in str(failure.value)


def test_missing_and_oversized_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        LyraConfig.read(tmp_path / "none.json")
    (tmp_path / "big.json").write_bytes(b" " * (1 << 21))
    with pytest.raises(InputError, match="2097152 bytes"):
        LyraConfig.read(tmp_path / "big.json")


def test_the_released_keys() -> None:
    report = compare_with_table(TABLE)
    assert report.equal, report.differences[:3]
    assert (report.keys, report.parameters) == (1439, 17_029_871_424)
    assert report.summary() == "1,439 of 1,439 keys, 17,029,871,424 parameters, all shapes equal"


def test_sizes_of_the_other_networks() -> None:
    def parameters(config: LyraConfig) -> int:
        return sum(entry.numel for entry in network_keys(config).values() if entry.kind == "param")

    assert parameters(SMALL) == 1_821_773_120
    assert parameters(RELEASED.without_conditioning()) == 16_394_878_784
    assert parameters(TOY) < 5_000_000


def test_differences_are_named(tmp_path: Path) -> None:
    lines = TABLE.read_text().splitlines()
    wrong = [line for line in lines if not line.startswith("head.modulation")]
    wrong = [line.replace("5120x144\t737280", "5120x145\t742400") for line in wrong] + ["more\tparam\tfloat32\t2x3\t6"]
    path = tmp_path / "table.tsv"
    path.write_text("\n".join(wrong))
    text = "\n".join(compare_with_table(path).differences)
    assert "more: in the table, not in the network" in text
    assert "head.modulation: in the network, not in the table" in text
    assert "patch_embedding.weight: shape 5120x144 in the network, 5120x145 in the table" in text
    assert not compare_with_table(TABLE, replace(RELEASED, blocks=39)).equal


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a\tparam\tfloat32\t2x3", "line 2 has 4 columns"),
        ("a\tparam\tfloat32\t2x-3\t6", "is not like 5120x144"),
        ("a\tparam\tfloat32\t2x3\t7", "not consistent"),
        ("a\tthing\tfloat32\t2x3\t6", "not consistent"),
    ],
)
def test_bad_tables(row: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("key\tkind\tdtype\tshape\tnumel\n" + row + "\n")
    with pytest.raises(InputError, match=message):
        read_key_table(path)
    path.write_text(json.dumps({"a": 1}))
    with pytest.raises(InputError, match="first line"):
        read_key_table(path)
