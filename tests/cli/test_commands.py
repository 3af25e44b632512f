"""Which commands there are, and that asking for one does not load the others."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from openlyra.cli.main import COMMANDS, _class, _mere_name, main


def entries(table: dict[str, Any] = COMMANDS, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, entry in table.items():
        if isinstance(entry, dict):
            yield from entries(entry, (*path, name))
        else:
            yield (*path, name), entry


@pytest.mark.parametrize(("path", "entry"), list(entries()), ids=lambda value: " ".join(value) if value else "")
def test_every_command_is_there_and_described(path: tuple[str, ...], entry: str) -> None:
    command = _class(*entry.split("."))
    assert dataclasses.is_dataclass(command) and callable(command.run)
    assert inspect.getdoc(_mere_name(*entry.split("."))) == inspect.getdoc(command)


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], ("torch", "numba", "scipy", "numpy")),
        (["evaluate", "--help"], ("torch", "numba", "scipy", "numpy")),
        (["info", "--help"], ("torch", "numba")),
        (["convert", "--help"], ("torch", "numba")),
        (["evaluate", "run", "--help"], ("torch", "numba")),
        (["evaluate", "reconstruction", "--help"], ("torch", "numba")),
        (["create", "--help"], ("torch",)),
    ],
)
def test_asking_for_help_loads_little(words: list[str], heavy: tuple[str, ...]) -> None:
    code = f"""
import sys
from openlyra.cli.main import main
try: main({words})
except SystemExit as end: print('loaded', end.code, [name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "loaded 0 []", done.stdout[-500:] + done.stderr


def test_completions_for_shells_know_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--tyro-print-completion", "bash"])
    printed = capsys.readouterr().out
    for option in ("--held-out", "--overwrite", "--encoder-rate", "--accept-license"):
        assert option in printed
