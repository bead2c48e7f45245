"""The page about several cards is what the code computes, and its example runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ltx_core_impl.media import read_frames
from ltx_core_impl.text_encoders.context_file import StoredContext, save_context
from tests.conftest import checkpoint_path
from tests.golden_cases.test_text_to_video import contexts
from tools import scaling_table

PAGE = scaling_table.PAGE.read_text(encoding="utf-8")


def test_the_page_is_what_the_code_gives() -> None:
    assert scaling_table.page(PAGE) == PAGE, "run python3 tools/scaling_table.py"


def test_the_page_says_that_nothing_was_measured() -> None:
    assert "**Nothing on this page was measured on several cards.**" in PAGE


@pytest.mark.timeout(300)
def test_the_example_runs(tmp_path: Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "one_clip.py").write_text(example, encoding="utf-8")
    with torch.inference_mode():
        wanted_video, wanted_audio, unwanted_video, unwanted_audio = (one.clone() for one in contexts("2.3"))
    save_context(tmp_path / "positive.safetensors", StoredContext(wanted_video, wanted_audio))
    save_context(tmp_path / "negative.safetensors", StoredContext(unwanted_video, unwanted_audio))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "one_clip.py"]
    files = [str(checkpoint_path("2.3")), "positive.safetensors", "negative.safetensors"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(scaling_table.REPO)}
    done = subprocess.run(
        [*command, *files, "64", "64", "17", "clip.mp4"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert sum(map(len, read_frames(tmp_path / "clip.mp4"))) == 17
