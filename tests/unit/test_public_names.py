"""The names that users of the library know, from the top of the package and without importing all of it at once."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import ltx_core_impl

README_NAMES = """
SingleGPUModelBuilder QuantizationPolicy LTXModel Modality PerturbationType LTX2Scheduler LinearQuadraticScheduler
BetaScheduler CFGGuider STGGuider LtxAPGGuider MultiModalGuider Embeddings1DConnector AVGemmaTextEncoderModel
VideoGemmaTextEncoderModel LTXModelConfigurator LTXVideoOnlyModelConfigurator VideoEncoderConfigurator
VideoDecoderConfigurator AudioEncoderConfigurator AudioDecoderConfigurator VocoderConfigurator
LatentUpsamplerConfigurator EmbeddingsProcessorConfigurator X0Model BatchedPerturbationConfig PerturbationConfig
Perturbation GuidedDenoiser euler_denoising_loop LatentState VideoLatentTools AudioLatentTools VideoLatentPatchifier
AudioPatchifier VideoPixelShape VideoLatentShape AudioLatentShape TilingConfig
""".split()


@pytest.mark.parametrize("name", sorted({*README_NAMES, *ltx_core_impl.__all__}))
def test_a_public_name_is_there(name: str) -> None:
    value = getattr(ltx_core_impl, name)
    assert value.__name__ == name
    assert value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        ltx_core_impl.Nothing  # noqa: B018


def test_importing_the_package_imports_no_part_of_it() -> None:
    code = "import sys, ltx_core_impl; print([name for name in sys.modules if name.startswith('ltx_core_impl.')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['ltx_core_impl.on_demand']"


PACKAGES = sorted(info.name for info in pkgutil.walk_packages(ltx_core_impl.__path__, "ltx_core_impl.") if info.ispkg)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_offers_what_it_names(package: str) -> None:
    """Also after a module of the package was imported, which must not take the place of a name."""
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [])
    assert not {info.name for info in pkgutil.iter_modules(module.__path__)} & set(names)
    assert set(names) <= set(dir(module))
    for name in names:
        assert getattr(module, name) is not None
