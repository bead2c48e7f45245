"""What the test command calls pytest with."""

from __future__ import annotations

import pytest

from tools.provision import REPO
from tools.run_tests import QUICK, plan


@pytest.fixture(autouse=True)
def no_threads_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("cores", "processes", "threads"), [(2, "2", "1"), (3, "3", "1"), (4, "4", "1"), (16, "4", "4")]
)
def test_processes_share_the_cores(cores: int, processes: str, threads: str) -> None:
    arguments, environment = plan(["tests/unit"], cores)
    assert arguments == ["-n", processes, "--dist", "worksteal", "tests/unit"]
    assert environment == {"OMP_NUM_THREADS": threads}


@pytest.mark.parametrize("asked", [["-n", "0"], ["-n3"], ["--numprocesses=2"], ["--pdb"], ["-p", "no:xdist"]])
def test_what_is_asked_for_is_not_changed(asked: list[str]) -> None:
    assert plan(asked, 8) == (asked, {})


def test_one_core_is_one_process() -> None:
    assert plan(["-x"], 1) == (["-x"], {})


def test_quick_is_units_and_golden_cases() -> None:
    arguments, _ = plan(["--quick", "-x"], 2)
    assert arguments[-3:] == [*QUICK, "-x"]
    assert all((REPO / folder).is_dir() for folder in QUICK)
