"""Entry point: picks the command, turns errors into one line and an exit status."""

from __future__ import annotations

import ast
import errno
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import tyro

from openlyra.errors import OpenLyraError

DESCRIPTION = "One photo to a world you can walk through: video, 3D Gaussian scene and a page, on a laptop CPU."


COMMANDS: dict[str, Any] = {
    "create": "create.CreateCommand",
    "render": "render.RenderCommand",
    "view": "view.ViewCommand",
    "convert": "convert.ConvertCommand",
    "reconstruct": "reconstruct.ReconstructCommand",
    "merge": "merge.MergeCommand",
    "mesh": "mesh.MeshCommand",
    "info": "info.InfoCommand",
    "doctor": "doctor.DoctorCommand",
    "evaluate": {
        "run": "evaluate.EvaluateRunCommand",
        "reconstruction": "evaluate.EvaluateReconstructionCommand",
        "depth": "evaluate.EvaluateDepthCommand",
        "world": "evaluate_world.EvaluateWorldCommand",
    },
    "models": {
        "list": "models.ListCommand",
        "fetch": "models.FetchCommand",
        "verify": "models.VerifyCommand",
        "convert": "models.ConvertCommand",
        "plan": "models.PlanCommand",
        "selftest": "models.SelftestCommand",
    },
    "train": {
        "depth": "train.TrainDepthCommand",
        "world": "train.TrainWorldCommand",
        "distil": "train.TrainDistilCommand",
        "pack": "train.TrainPackCommand",
        "import": "train.TrainImportCommand",
        "shard": "train.TrainShardCommand",
        "check": "train.TrainCheckCommand",
    },
    "worlds": {"make": "worlds.WorldsMakeCommand", "show": "worlds.WorldsShowCommand"},
}
"""Where each command is: file and class in this package, or more commands."""


def commands(given: Sequence[str], table: dict[str, Any] | None = None) -> tyro.extras.SubcommandApp:
    """The command that is asked for, whose options are generated from its dataclass, and the mere names of all others:
    importing every command takes seconds. An option in place of a command (shells ask so for completions) loads all."""
    app = tyro.extras.SubcommandApp()
    asked, rest = (given[0], given[1:]) if given else ("", ())
    every = asked.startswith("-") and asked not in ("-h", "--help")
    for name, entry in (COMMANDS if table is None else table).items():
        if isinstance(entry, dict):
            app.command(commands(given if every else rest if name == asked else (), entry), name=name)
        else:
            app.command(name=name)((_class if every or name == asked else _mere_name)(*entry.split(".")))
    return app


def _class(file: str, name: str) -> Any:
    return getattr(import_module(f"{__package__}.{file}"), name)


def _mere_name(file: str, name: str) -> Callable[[], None]:
    """Something with a command's description and no options, without importing it."""

    def command() -> None: ...

    tree = ast.parse((Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    command.__doc__ = ast.get_docstring(found)
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 done, 2 wrong input, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _one_line(warnings.showwarning)
        return _run(given)


def _one_line(others: Callable[..., None]) -> Callable[..., None]:
    """Our own warnings as one line for people; those of other packages as Python shows them."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if category is UserWarning:
            print(f"openlyra: warning: {message}", file=sys.stderr, flush=True)
        else:
            others(message, category, *where, **more)

    return show


def _run(given: Sequence[str]) -> int:
    try:
        command = commands(given).cli(prog="openlyra", description=DESCRIPTION, args=given)
        return int(command.run())
    except OpenLyraError as error:
        return _fail(str(error), given)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except MemoryError:
        return _fail("out of memory; use a smaller --size, fewer frames or fewer Gaussians", given)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some space and continue with --resume" if full else "check the permissions"
        return _fail(f"{error.filename or 'output'}: {error.strerror}; {advice}", given)


def _fail(message: str, given: Sequence[str]) -> int:
    if "--verbose" in given:
        import traceback

        traceback.print_exc()
    print(f"openlyra: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
