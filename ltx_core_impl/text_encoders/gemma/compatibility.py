"""Whether a text encoder belongs to a checkpoint (spec 05 §7.1, §15.2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from .config import GEMMA3, GemmaConfig
from .files import parse_json
from .versions import parse_version

logger = logging.getLogger(__name__)

# From this version on, checkpoints name the text encoder they were trained with.
_FIRST_DECLARING_VERSION = (2, 4, 0)


class TextEncoderMismatchError(ValueError):
    """The text encoder is a valid model, but not the one the checkpoint was trained with."""


def check_projection_fits(config: GemmaConfig, in_features: int) -> None:
    """The checkpoint's text projection must take all hidden states of this encoder.

    Args:
        in_features: columns of the checkpoint's ``aggregate_embed`` weight.

    Raises:
        TextEncoderMismatchError: other sizes; says which.
    """
    width = config.hidden_size * config.num_hidden_states
    if width == in_features:
        return
    raise TextEncoderMismatchError(
        f"The text encoder has {config.num_hidden_states} hidden states of width {config.hidden_size}, {width} values "
        f"per token, but the checkpoint's text projection takes {in_features}"
        + (" (49 states of width 3840: Gemma 3 12B for LTX-2 and LTX-2.3)" if in_features == 188160 else "")
        + ". Choose the text encoder this checkpoint was made for."
    )


def check_gemma_version(config: GemmaConfig, checkpoint_metadata: Mapping[str, str]) -> None:
    """Compare the encoder's version with the one the transformer file names.

    Args:
        checkpoint_metadata: header metadata of the transformer (or combined) file.

    Raises:
        TextEncoderMismatchError: another version, or a Gemma 4 for a checkpoint older than LTX-2.5.
    """
    source = checkpoint_metadata.get("gemma_source_checkpoint")
    version = parse_version(checkpoint_metadata.get("model_version"))
    if source is not None:
        wanted = parse_json(source, "gemma_source_checkpoint in the checkpoint's metadata").get("gemma_version")
        if config.gemma_version != wanted:
            raise TextEncoderMismatchError(
                f"The checkpoint was trained with the text encoder {wanted}; this one is "
                f"{config.gemma_version or 'a stock ' + config.model_type + ' without a version'}. Use the "
                "text encoder file published with the checkpoint (gemma4-12b-with-proj-ltx-2.5)."
            )
    elif version >= _FIRST_DECLARING_VERSION:
        if config.gemma_version is not None:
            raise TextEncoderMismatchError(
                f"The text encoder is {config.gemma_version}, but the checkpoint (version "
                f"{checkpoint_metadata['model_version']}) does not say which encoder it needs, as files of that "
                "version do. Use the checkpoint as published."
            )
        logger.warning("The checkpoint does not name its text encoder; %s may not be the right one.", config.model_type)
    elif config.model_type != GEMMA3:
        raise TextEncoderMismatchError(
            f"The text encoder is {config.model_type}; LTX-2 and LTX-2.3 checkpoints need Gemma 3 12B."
        )
