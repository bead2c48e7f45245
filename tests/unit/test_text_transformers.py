"""The text encoder with other versions of transformers than the host's, and without a usable one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ltx_core_impl.text_encoders.gemma import Gemma, TextEncoderFileError, networks, open_gemma
from ltx_core_impl.text_encoders.gemma.gemma4 import Gemma4TextModel
from tests.text_helpers import GEMMA3, GEMMA4
from tools.transformers_versions import VERSIONS

REPO = Path(__file__).resolve().parents[2]
FOLDER = os.environ.get("LTX2_TRANSFORMERS_VENVS")
CASES = (
    "tests/golden_cases/test_text.py",
    "tests/unit/test_text_gemma.py",
    "tests/unit/test_text_enhancement.py",
    "tests/unit/test_text_writer.py",
)


@pytest.mark.skipif(
    not FOLDER,
    reason="OTHER VERSIONS OF TRANSFORMERS ARE NOT TESTED: run tools/transformers_versions.py and set "
    "LTX2_TRANSFORMERS_VENVS to the folder it names",
)
@pytest.mark.parametrize("version", VERSIONS)
def test_golden_cases_with_another_version(version: str) -> None:
    folder = Path(FOLDER).resolve() / version
    environment = os.environ | {"PYTHONPATH": str(folder)}
    asked = "import transformers; print(transformers.__version__)"
    found = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, cwd=REPO)
    assert found.stdout.strip() == version, found.stderr
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *CASES]
    run = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]


@pytest.mark.parametrize(("found", "said"), [("4.49.0", "version 4.49.0 is installed"), (None, "none is installed")])
def test_gemma_3_says_which_version_it_needs(monkeypatch: pytest.MonkeyPatch, found: str | None, said: str) -> None:
    monkeypatch.setattr(networks, "installed_transformers", lambda: found)
    with pytest.raises(TextEncoderFileError, match=rf'needs .* transformers 4\.50 or newer; {said}.*pip install "tra'):
        open_gemma(GEMMA3)


@pytest.mark.parametrize("found", ["4.49.0", "5.7.9", None])
def test_gemma_4_is_computed_here_where_transformers_has_none(monkeypatch, found: str | None) -> None:
    monkeypatch.setattr(networks, "installed_transformers", lambda: found)
    with torch.device("meta"):
        assert isinstance(Gemma(open_gemma(GEMMA4).config).language_model, Gemma4TextModel)


def test_transformers_is_imported_only_when_an_encoder_is_built() -> None:
    code = "import sys, ltx_core_impl.text_encoders.gemma; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPO).returncode == 0
