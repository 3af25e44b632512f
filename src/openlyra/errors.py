"""Errors a user can cause and mend. The command line prints their one line and exits with status 2."""

from __future__ import annotations


class OpenLyraError(Exception):
    """Base of every error whose message is meant for the user: one line, naming the value and what would be right."""


class InputError(OpenLyraError):
    """A file or an argument is not usable."""


class OutputExistsError(OpenLyraError):
    """Writing would overwrite something that is already there."""


class MissingExtraError(OpenLyraError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; it comes with: pip install 'openlyra[{extra}]'")
