"""Which files make a text encoder: Gemma, the text projection and the connectors lie in one to three of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...ltx_core_impl import loader
from ...ltx_core_impl.loader import key_maps
from ...ltx_core_impl.text_encoders import gemma as ltx_gemma
from ..wires.checks import InputError
from ..wires.handles import ComponentHandle, FileRef, LoraRef, TextEncoderHandle


def check_text_encoder(gemma: FileRef, loras: Sequence[LoraRef]) -> str:
    """Judge Gemma and its LoRAs from headers alone; what should be said of the LoRAs, ``""`` for nothing.

    Raises ValueError when they do not fit one another.
    """
    files = ltx_gemma.open_gemma(gemma.path)
    fusion = ltx_gemma.match_loras(
        files, [loader.LoraPathStrengthAndSDOps(lora.file.path, lora.strength) for lora in loras]
    )
    unmatched = {} if fusion is None else {report.path: report.unmatched for report in fusion.reports}
    return " ".join(
        f"{len(keys)} tensors in {Path(path).name} have no place in this text encoder, so they are unused: {keys[0]}, …"
        for path, keys in unmatched.items()
        if keys
    )


def text_encoder_handle(
    gemma: FileRef, parts: Sequence[ComponentHandle], loras: tuple[LoraRef, ...] = ()
) -> TextEncoderHandle:
    """Join Gemma with the projection and the connectors, judged from headers alone.

    LTX-2 and LTX-2.3 have both in the combined checkpoint; LTX-2.5 has the connectors in the transformer file and the
    projection in the encoder's own file, which is joined without being asked for.

    Raises:
        InputError, ValueError: something is missing, or the parts belong to different models.
    """
    encoder = ltx_gemma.open_gemma(gemma.path)
    # The file with the model's config describes the whole.
    parts = sorted(
        dict.fromkeys(parts), key=lambda part: not loader.open_checkpoint(part.file.path).config.get("transformer")
    )
    names = ", ".join(part.file.name for part in parts)
    held = set().union(*(_modules(part.file) for part in parts))
    if "video_connector" not in held:
        raise InputError(
            f"text_projection is of {names}, which holds no text connectors: split models keep them in the transformer "
            "file. Connect the text_projection output of 'LTX-2 Load Checkpoint' with the transformer file in it."
        )
    ltx_gemma.check_gemma_version(encoder.config, loader.open_checkpoint(parts[0].file.path).headers[0].metadata)
    more = [part.file for part in parts[1:]]
    if "feature_extractor" not in held:
        if "feature_extractor" not in _modules(gemma):
            raise InputError(
                f"{names} holds text connectors but no text projection, and neither does the text encoder {gemma.name}."
                " Choose the text encoder file published with the model (gemma4-12b-with-proj-ltx-2.5), or connect the "
                "projection file of a split LTX-2.3 set to more_text_projection."
            )
        more.append(gemma)
    handle = TextEncoderHandle(gemma=gemma, projection=parts[0], more=tuple(more), loras=loras)
    shapes = loader.open_checkpoint(handle.projection_paths).shapes
    ltx_gemma.check_projection_fits(
        encoder.config, next(shape[1] for key, shape in shapes.items() if key.endswith("aggregate_embed.weight"))
    )
    processor_builder(handle).validate()
    return handle


def processor_builder(handle: TextEncoderHandle) -> loader.SingleGPUModelBuilder:
    """The recipe of the text projection and the connectors."""
    return loader.SingleGPUModelBuilder(
        model_class_configurator=ltx_gemma.EmbeddingsProcessorConfigurator, model_path=handle.projection_paths
    )


def _modules(file: FileRef) -> set[str]:
    """Which modules of the embeddings processor a file has: feature_extractor, video_connector, audio_connector."""
    shapes = loader.open_checkpoint(file.path).shapes
    rules = key_maps.select_key_map("embeddings_processor", shapes)
    return {name.split(".")[0] for name in map(rules.apply_to_key, shapes) if name is not None}
