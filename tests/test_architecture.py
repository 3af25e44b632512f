"""The rules of the house, checked on the source itself: which way imports point, and what shipped code never does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import openlyra

SOURCE = Path(openlyra.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

LAYERS = (
    {"errors"},
    {"media"},
    {"geometry"},
    {"models", "sampling"},
    {"depth", "memory", "worlds"},
    {"gaussians"},
    {"formats", "runs"},
    {"generation"},
    {"evaluation"},
    {"training"},
    {"explorer"},
    {"world", "reconstruction"},
    {"cli"},
    {"__main__"},
)
"""From the ground up: a room imports from itself and from lower layers only."""
HEIGHT = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        yield from (name.split(".")[1] for name in names if name.startswith("openlyra."))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    assert room in HEIGHT, f"room '{room}' has no place in LAYERS"
    for other in imported_rooms(ast.parse(path.read_text())):
        assert other == room or HEIGHT[other] < HEIGHT[room], f"{path}: '{room}' must not import from '{other}'"


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "torchvision"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "os.system", "joblib.load"}


PICKLE_READER = SOURCE / "models" / "foreign_pickle_reader.py"
"""The one file that may import pickle: it runs as a fenced process of its own (`models/foreign.py`), never imported."""
PICKLE_READER_IMPORTS = {"encodings", "io", "json", "os", "pickle", "resource", "struct", "sys", "zipfile"}


def test_the_pickle_reader_stands_alone() -> None:
    tree = ast.parse(PICKLE_READER.read_text())
    imported = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert imported == PICKLE_READER_IMPORTS
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))
    readers = [
        base for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in map(ast.unparse, node.bases)
    ]
    used = [
        ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n).startswith("pickle.")
    ]
    assert readers.count("pickle.Unpickler") == 1 and used == ["pickle.Unpickler"]
    for path in FILES:
        assert "foreign_pickle_reader" not in {
            name for node in ast.walk(ast.parse(path.read_text())) for name in _imported_names(node)
        }, path


def _imported_names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {part for alias in node.names for part in alias.name.split(".")}
    if isinstance(node, ast.ImportFrom):
        return {*(node.module or "").split("."), *(alias.name for alias in node.names)}
    return set()


@pytest.mark.parametrize("path", [p for p in FILES if p != PICKLE_READER], ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_unsafe_calls(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_MODULES, path
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN_MODULES, path
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in FORBIDDEN_CALLS, f"{path}:{node.lineno} {called}"
            for keyword in node.keywords:
                on = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
                assert not (keyword.arg in {"shell", "allow_pickle"} and on), f"{path}:{node.lineno} {keyword.arg}=True"


def test_the_rules_bite() -> None:
    """The two scanners see what they are meant to see."""
    source = "from openlyra.cli.main import main\nimport openlyra.world"
    assert list(imported_rooms(ast.parse(source))) == ["cli", "world"]
    assert HEIGHT["cli"] > HEIGHT["world"] > HEIGHT["geometry"]


def test_files_stay_small() -> None:
    long = {str(p.relative_to(SOURCE)): n for p in FILES if (n := len(p.read_text().splitlines())) > 500}
    assert not long, f"files over 500 lines are two ideas: {long}"
