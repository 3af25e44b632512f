from __future__ import annotations

import os
import subprocess
import sys

import pytest

AFTER_A_LOOP = """
import openlyra
import numba, os, torch
from openlyra.models.threads import torch_threads

@numba.njit(parallel=True)
def loop(n):
    total = 0
    for k in numba.prange(n):
        total += k
    return total

def threads():
    return torch.get_num_threads()

{body}
"""


def printed(body: str, **environment: str) -> str:
    dropped = ("OMP_", "NUMBA_NUM", "LOCAL_RANK")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    command = [sys.executable, "-c", AFTER_A_LOOP.format(body=body)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=kept | environment).stdout.strip()


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({"OMP_NUM_THREADS": "1"}, "1 1 PASSIVE"),
        ({"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OMP_WAIT_POLICY": "ACTIVE"}, "1 1 ACTIVE"),
    ],
)
def test_a_number_of_threads_once_given_stays(environment: dict[str, str], expected: str) -> None:
    body = "loop(9); print(threads(), numba.config.NUMBA_NUM_THREADS, os.environ['OMP_WAIT_POLICY'])"
    assert printed(body, **environment) == expected


@pytest.mark.parametrize(
    "environment",
    [{"OMP_NUM_THREADS": "2,1"}, {"OMP_NUM_THREADS": "0"}, {"OMP_NUM_THREADS": "1", "LOCAL_RANK": "0"}, {}],
    ids=str,
)
def test_numbers_that_do_not_mean_numba_are_left_alone(environment: dict[str, str]) -> None:
    assert printed("print('NUMBA_NUM_THREADS' in os.environ)", **environment) == "False"


def test_a_loop_of_numba_changes_nothing_inside() -> None:
    body = "before = threads()\nwith torch_threads(1): loop(9); print(threads())\nprint(threads() == before)"
    assert printed(body, OMP_NUM_THREADS="2", NUMBA_NUM_THREADS="2").split() == ["1", "True"]
