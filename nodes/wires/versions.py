"""Which parts may be combined. Only what the headers say for certain is refused: versions share many shapes.

A LoRA is refused for its shapes alone, by the loader: people use LoRAs of one version on the next every day.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ltx_core_impl import loader
from .checks import InputError
from .handles import ComponentHandle, Context, LoraRef, describe


def versions_of(checkpoint: loader.Checkpoint) -> tuple[str, ...]:
    """The model versions that a file may belong to; none when nothing tells."""
    return tuple(sorted(version.value for version in checkpoint.possible_versions))


def check_fits_model(handle: ComponentHandle, model: ComponentHandle, input_name: str) -> None:
    """A component must not be of another version than the model."""
    if _differ(handle.versions, model.versions):
        raise InputError(
            f"{input_name} is {describe(handle)}, which is of {_named(handle.versions)}; {model.file.name} is "
            f"{_named(model.versions)}. Load the {handle.component.replace('_', ' ')} of {_named(model.versions)}."
        )


def check_latent_fits(latent: dict, handle: ComponentHandle, input_name: str) -> None:
    """A latent must not have been made by another version than the component that takes it."""
    check_made_by(latent.get("model_version"), handle, input_name)


def check_made_by(made_by: str | None, handle: ComponentHandle, input_name: str) -> None:
    """As :func:`check_latent_fits`, for whatever says by which version it was made; None when it is not certain."""
    if made_by and handle.versions and made_by not in handle.versions:
        raise InputError(
            f"{input_name} was made by {_named([made_by])}; {describe(handle)} is of {_named(handle.versions)}. "
            f"Load the {handle.component.replace('_', ' ')} of {_named([made_by])}."
        )


def check_context_fits(context: Context, handle: ComponentHandle, input_name: str) -> None:
    """A prompt must not have been encoded for another version."""
    if context.version and handle.versions and context.version not in handle.versions:
        raise InputError(
            f"{input_name} was encoded for {_named([context.version])}; {handle.file.name} is of "
            f"{_named(handle.versions)}. Encode it with the text encoder and text projection of that version."
        )


def lora_note(lora: loader.LoraFile, ref: LoraRef, report: loader.LoraReport, model: ComponentHandle) -> str:
    """What the user should know of a LoRA that fits the model's shapes; ``""`` when all is as it should be."""
    notes = []
    versions = lora_versions(lora)
    if _differ(versions, model.versions):
        notes.append(
            f"{ref.file.name} seems to be made for {_named(versions)}; {model.file.name} is {_named(model.versions)}. "
            "Its shapes fit, so it is used."
        )
    if report.unmatched:
        notes.append(
            f"{len(report.unmatched)} of {len(lora.checkpoint.shapes)} tensors in {ref.file.name} have no place in "
            f"this model and are not used, first {report.unmatched[0]}."
        )
    return " ".join(notes)


def lora_versions(lora: loader.LoraFile) -> tuple[str, ...]:
    """The model versions that a LoRA may be made for."""
    stated = loader.version_from_metadata(lora.metadata.get("model_version"))
    if stated is None:
        changed = {}
        for module, pair in lora.pairs.items():
            down, up = lora.shapes_of(pair)
            if not down or not up:
                continue
            changed[f"{module}.weight"] = (up[0], down[-1])
        try:
            allowed = loader.possible_versions(changed, complete=False)
        except loader.VersionError:  # of no known model: whether it fits is for the shapes to say
            allowed = frozenset()
        named = loader.version_from_name(lora.checkpoint.path.name)
        if named is None or (allowed and named not in allowed):
            return tuple(sorted(version.value for version in allowed))
        stated = named
    return (stated.value,)


def latent_version(handle: ComponentHandle) -> dict[str, str]:
    """What a latent carries on so that the node that takes it can tell a mistake: the version, where it is certain."""
    return {"model_version": handle.versions[0]} if len(handle.versions) == 1 else {}


def _differ(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return bool(one and other and not set(one) & set(other))


def _named(versions: Sequence[str]) -> str:
    return " or ".join("LTX-2" if version == "2.0" else f"LTX-{version}" for version in versions)
