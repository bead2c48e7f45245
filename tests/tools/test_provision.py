"""Where the host comes from, and that what is not ours stays untouched."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tools import host_python
from tools import provision as provisioning
from tools.farm.environment import FARM_REQUIREMENTS
from tools.host_python import DEV_REQUIREMENTS
from tools.provision import REPO, Host, ProvisionError, demo_inputs, provision, tiny_models


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setenv("LTX2_HOST_DIR", str(tmp_path / "host"))


def make_comfyui(folder: Path) -> Path:
    (folder / "comfy").mkdir(parents=True)
    (folder / "custom_nodes").mkdir()
    for file in ("main.py", "nodes.py", "requirements.txt"):
        (folder / file).touch()
    (folder / "comfyui_version.py").write_text('__version__ = "9.9.9"\n')
    return folder


def test_comfyui_path_wins_and_gets_pack_and_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    comfyui = make_comfyui(tmp_path / "mine")
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui))
    monkeypatch.setattr(provisioning, "can_import", lambda python, modules: True)
    host = provision()
    assert (host.comfyui, host.owned) == (comfyui, False)
    assert "9.9.9" in str(host)
    assert [entry.resolve() for entry in (comfyui / "custom_nodes").iterdir()] == [REPO]
    for place, source in tiny_models().items():
        assert (comfyui / "models" / place).resolve() == source.resolve()
    assert demo_inputs()
    for source in demo_inputs():
        assert (comfyui / "input" / source.name).read_bytes() == source.read_bytes()
    before = sorted(comfyui.rglob("*"))
    provision()
    assert sorted(comfyui.rglob("*")) == before


def test_comfyui_path_without_comfyui_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(ProvisionError, match=r"COMFYUI_PATH is .* holds no main\.py.*Set it to the folder"):
        provision()


def test_a_named_python_runs_a_comfyui_that_has_none_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A farm's actor runs in Ray's Python; the one that the command was given is ComfyUI's."""
    comfyui = make_comfyui(tmp_path / "mine")
    python = tmp_path / "python"
    python.touch()
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui))
    monkeypatch.setenv("COMFYUI_PYTHON", str(python))
    monkeypatch.setattr(provisioning, "can_import", lambda path, modules: path == python)
    assert provision().python == python


def test_a_file_of_someone_else_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    target.write_text("theirs")
    assert not provisioning._link(REPO / "pyproject.toml", target)
    assert target.read_text() == "theirs"


@pytest.mark.parametrize("owned", [True, False])
def test_an_input_file_is_renewed_only_in_a_comfyui_of_ours(tmp_path: Path, owned: bool) -> None:
    host = Host(make_comfyui(tmp_path / "host"), tmp_path / "python", owned=owned)
    source = demo_inputs()[0]
    host.input.mkdir()
    (host.input / source.name).write_text("theirs")
    provisioning._place_inputs(host)
    assert ((host.input / source.name).read_bytes() == source.read_bytes()) is owned


def test_a_stale_link_is_renewed(tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    target.symlink_to(tmp_path / "gone")
    assert provisioning._link(REPO / "pyproject.toml", target)
    assert target.resolve() == REPO / "pyproject.toml"


def test_a_foreign_python_without_pytest_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host_python, "can_import", lambda python, modules: modules[0] not in DEV_REQUIREMENTS)
    monkeypatch.setattr(host_python, "install_packages", lambda *arguments: pytest.fail("installed something"))
    host = Host(make_comfyui(tmp_path / "mine"), tmp_path / "python", owned=False)
    with pytest.raises(ProvisionError, match="installs nothing into a Python it did not make"):
        host_python.install_dev(host.python)


def test_every_tiny_model_exists() -> None:
    assert all(source.exists() for source in tiny_models().values())


def test_dev_requirements_are_those_of_the_package() -> None:
    project = (REPO / "pyproject.toml").read_text()
    extra = re.search(r"^dev = \[(.*?)\]", project, re.MULTILINE | re.DOTALL)
    assert extra is not None
    assert set(re.findall(r'"([^"]+)"', extra[1])) == set(DEV_REQUIREMENTS)


def test_farm_requirements_are_those_of_the_package() -> None:
    extra = re.search(r"^farm = \[(.*?)\]", (REPO / "pyproject.toml").read_text(), re.MULTILINE)
    assert extra is not None
    assert tuple(re.findall(r'"([^"]+)"', extra[1])) == FARM_REQUIREMENTS
    pins = [(REPO / "constraints" / f"{name}.txt").read_text() for name in ("host", "farm")]
    assert not set(re.findall(r"^[\w.-]+(?===)", pins[0], re.M)) & set(re.findall(r"^[\w.-]+(?===)", pins[1], re.M))


@pytest.mark.parametrize("name", ["host", "dev", "farm"])
def test_constraints_pin_and_name_no_registry(name: str) -> None:
    lines = (REPO / "constraints" / f"{name}.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert all(re.match(r"[A-Za-z0-9_.-]+==[\w.]+( ; .+)?$", line) for line in pins)
    assert not any("://" in line for line in lines)


def test_host_python_is_current_only_for_this_interpreter(tmp_path: Path) -> None:
    import sys

    assert Host(tmp_path, Path(sys.executable), owned=True).is_current
    assert not Host(tmp_path, tmp_path / "python", owned=True).is_current
    assert os.path.isabs(sys.executable)


def test_every_dev_requirement_is_found_by_the_name_of_its_module() -> None:
    assert host_python.can_import(Path(sys.executable), [host_python._module_of(name) for name in DEV_REQUIREMENTS])
