"""`state_dict_*b.tsv` and its summary: keys, shapes and parameter counts of published networks, on the meta device."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator

from openlyra.evaluation.parity.golden import Comparison, GoldenFile, compare_exact
from openlyra.models.lyra_config import RELEASED, SMALL
from openlyra.models.lyra_keys import compare_with_table, network_keys


def check(file: GoldenFile) -> Iterator[Comparison]:
    """The table, or the totals of its summary."""
    if file.path.suffix == ".tsv":
        report = compare_with_table(file.path)
        yield compare_exact("keys and shapes", list(report.differences[:3]), [])
        yield compare_exact("keys", report.keys, report.table_keys)
        yield compare_exact("parameters", report.parameters, report.table_parameters)
        return
    summary = json.loads(file.path.read_text())
    keys = network_keys(RELEASED)
    sizes = {key: entry.numel for key, entry in keys.items() if entry.kind == "param"}
    added = [key for key in sizes if fnmatch.fnmatch(key, "*_encoder.*") or key.startswith("clean_patch_embeddings")]
    small = sum(entry.numel for entry in network_keys(SMALL).values() if entry.kind == "param")
    facts = {
        "total_parameters": sum(sizes.values()),
        "num_state_dict_keys": len(keys),
        "num_buffer_keys": len(keys) - len(sizes),
        "lyra_only_parameters": sum(sizes[key] for key in added),
        "base_wan_i2v_parameters": sum(sizes.values()) - sum(sizes[key] for key in added),
        "num_lyra_only_keys": len(added),
        "variant_1p3B_total_parameters": small,
    }
    for name in sorted(facts.keys() & summary.keys()):
        yield compare_exact(name, facts[name], summary[name])
    for group, expected in summary.get("parameters_by_group", {}).items():
        members = (size for key, size in sizes.items() if fnmatch.fnmatch(f"{key}.", f"{group}.*"))
        yield compare_exact(group, sum(members), expected)
