"""All golden files of a folder: which are right, which are not, which nobody here can check."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from openlyra.errors import InputError
from openlyra.evaluation.parity import COMPANIONS, kind_of
from openlyra.evaluation.parity.golden import Comparison, GoldenFile

RESULT_PREFIXES_LEFT_OUT = ("in.",)
"""Tensors that are inputs, not results, need not be compared."""


@dataclass(frozen=True)
class FileReport:
    """What came out for one file."""

    path: Path
    """The file."""
    verdict: str
    """`ok`, `FAILED`, `no check` or `companion`."""
    comparisons: tuple[Comparison, ...] = ()
    """All comparisons that were made."""
    not_compared: tuple[str, ...] = ()
    """Recorded results no check has looked at."""
    remark: str = ""
    """Why a file could not be checked."""

    @property
    def worst(self) -> Comparison | None:
        """The comparison nearest to its tolerance, or farthest above it."""
        return max(self.comparisons, key=lambda c: (not c.passed, _pressure(c)), default=None)

    @property
    def bad(self) -> bool:
        return self.verdict == "FAILED"


def check_folder(folder: Path) -> Iterator[FileReport]:
    """Check every file of `folder` in the order of names, one report a file. Raises InputError when there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder; a folder of golden files is needed")
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    if not paths:
        raise InputError(f"{folder}: empty; a folder of golden files is needed")
    return (check_file(path) for path in paths)


def check_file(path: Path) -> FileReport:
    """Check one file. A check that cannot be carried out counts as failed and says why."""
    file = GoldenFile(path)
    comparisons: list[Comparison] = []
    try:
        kind = kind_of(path.name) or kind_of(path.name, file.keys if _is_tensors(path) else ())
        if kind is None:
            companion = any(re.fullmatch(pattern, path.name) for pattern in COMPANIONS)
            return FileReport(path, "companion" if companion else "no check")
        module = importlib.import_module(f"openlyra.evaluation.parity.{kind.module}")
        comparisons.extend(module.check(file))
    except Exception as error:  # one broken file must not hide the verdict on the others
        return FileReport(path, "FAILED", tuple(comparisons), remark=f"{type(error).__name__}: {error}")
    if not comparisons:
        return FileReport(path, "FAILED", remark="the check compared nothing")
    left = (key for key in file.unused() if not key.startswith(RESULT_PREFIXES_LEFT_OUT)) if _is_tensors(path) else ()
    verdict = "ok" if all(comparison.passed for comparison in comparisons) else "FAILED"
    return FileReport(path, verdict, tuple(comparisons), tuple(left))


def table(reports: Iterable[FileReport], verbose: bool = False) -> Iterator[str]:
    """Lines of text: file, worst absolute error, tolerance, how many tensors were compared, verdict."""
    yield f"{'file':<36} {'worst error':>12} {'tolerance':>10} {'compared':>9}  verdict"
    for report in reports:
        worst = report.worst
        numbers = f"{worst.error:>12.2e} {worst.tolerance:>10.0e}" if worst else f"{'-':>12} {'-':>10}"
        total = len(report.comparisons) + len(report.not_compared)
        counted = f"{len(report.comparisons)}/{total}" if total else "-"
        verdict = f"{report.verdict}: {report.remark}" if report.remark else report.verdict
        yield f"{report.path.name:<36} {numbers} {counted:>9}  {verdict}"
        for comparison in report.comparisons:
            if verbose or not comparison.passed:
                yield f"    {comparison.name:<44} {comparison.error:.2e} {comparison.remark}"
        if verbose and report.not_compared:
            yield f"    not compared: {', '.join(report.not_compared)}"


def _pressure(comparison: Comparison) -> float:
    return comparison.error / comparison.tolerance if comparison.tolerance else comparison.error


def _is_tensors(path: Path) -> bool:
    return path.suffix == ".safetensors"
