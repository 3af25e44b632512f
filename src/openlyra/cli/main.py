"""Entry point: picks the command, turns errors into one line and an exit status."""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from openlyra.errors import OpenLyraError

DESCRIPTION = "One photo to a world you can walk through: video, 3D Gaussian scene and a page, on a laptop CPU."


def commands() -> tyro.extras.SubcommandApp:
    """All commands; their options are generated from their dataclasses."""
    from openlyra.cli.convert import ConvertCommand
    from openlyra.cli.create import CreateCommand
    from openlyra.cli.doctor import DoctorCommand
    from openlyra.cli.evaluate import EvaluateDepthCommand, EvaluateReconstructionCommand, EvaluateRunCommand
    from openlyra.cli.evaluate_world import EvaluateWorldCommand
    from openlyra.cli.info import InfoCommand
    from openlyra.cli.merge import MergeCommand
    from openlyra.cli.mesh import MeshCommand
    from openlyra.cli.models import models_app
    from openlyra.cli.reconstruct import ReconstructCommand
    from openlyra.cli.render import RenderCommand
    from openlyra.cli.train import (
        TrainCheckCommand,
        TrainDepthCommand,
        TrainDistilCommand,
        TrainImportCommand,
        TrainPackCommand,
        TrainShardCommand,
        TrainWorldCommand,
    )
    from openlyra.cli.view import ViewCommand
    from openlyra.cli.worlds import WorldsMakeCommand, WorldsShowCommand

    app = tyro.extras.SubcommandApp()
    for name, command in {
        "create": CreateCommand, "render": RenderCommand, "view": ViewCommand, "convert": ConvertCommand,
        "reconstruct": ReconstructCommand, "merge": MergeCommand, "mesh": MeshCommand, "info": InfoCommand,
        "doctor": DoctorCommand,
    }.items():  # fmt: skip
        app.command(name=name)(command)
    evaluate = tyro.extras.SubcommandApp()
    evaluate.command(name="run")(EvaluateRunCommand)
    evaluate.command(name="reconstruction")(EvaluateReconstructionCommand)
    evaluate.command(name="depth")(EvaluateDepthCommand)
    evaluate.command(name="world")(EvaluateWorldCommand)
    app.command(evaluate, name="evaluate")
    app.command(models_app(), name="models")
    train = tyro.extras.SubcommandApp()
    train.command(name="depth")(TrainDepthCommand)
    train.command(name="world")(TrainWorldCommand)
    train.command(name="distil")(TrainDistilCommand)
    train.command(name="pack")(TrainPackCommand)
    train.command(name="import")(TrainImportCommand)
    train.command(name="shard")(TrainShardCommand)
    train.command(name="check")(TrainCheckCommand)
    app.command(train, name="train")
    worlds = tyro.extras.SubcommandApp()
    worlds.command(name="make")(WorldsMakeCommand)
    worlds.command(name="show")(WorldsShowCommand)
    app.command(worlds, name="worlds")
    return app


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
        command = commands().cli(prog="openlyra", description=DESCRIPTION, args=given)
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
