"""From files to models: headers, detection, key maps, LoRA fusion, building and block streaming."""

from __future__ import annotations

from .builder import SingleGPUModelBuilder
from .checkpoint import Checkpoint, open_checkpoint
from .errors import (
    CheckpointError,
    CheckpointNotFoundError,
    ConfigError,
    HeaderError,
    LoraError,
    MissingTensorsError,
    ShapeMismatchError,
    UnsupportedFormatError,
    VersionError,
)
from .fusion import LoraStateDictWithStrength, apply_loras
from .header import Header, TensorEntry, read_header
from .key_maps import (
    AUDIO_VAE_DECODER_COMFY_KEYS_FILTER,
    AUDIO_VAE_ENCODER_COMFY_KEYS_FILTER,
    EMBEDDINGS_PROCESSOR_KEY_OPS,
    GEMMA_LLM_KEY_OPS,
    LTXV_LORA_COMFY_RENAMING_MAP,
    LTXV_MODEL_COMFY_RENAMING_MAP,
    VAE_DECODER_COMFY_KEYS_FILTER,
    VAE_ENCODER_COMFY_KEYS_FILTER,
    VOCODER_COMFY_KEYS_FILTER,
)
from .lora_file import LoraFile, LoraPathStrengthAndSDOps, LoraReport, open_lora
from .module_ops import ModuleOps, create_meta_model
from .protocols import LoRAAdaptableProtocol, ModelBuilderProtocol
from .registry import DummyRegistry, Registry, StateDictRegistry
from .sd_ops import (
    ContentMatching,
    ContentReplacement,
    KeyValueOperation,
    KeyValueOperationResult,
    SDKeyValueOperation,
    SDOps,
)
from .state_dict import (
    SafetensorsModelStateDictLoader,
    SafetensorsStateDictLoader,
    StateDict,
    StateDictLoader,
    load_state_dict,
    read_model_config,
)
from .version import ModelVersion

__all__ = [
    "AUDIO_VAE_DECODER_COMFY_KEYS_FILTER",
    "AUDIO_VAE_ENCODER_COMFY_KEYS_FILTER",
    "EMBEDDINGS_PROCESSOR_KEY_OPS",
    "GEMMA_LLM_KEY_OPS",
    "LTXV_LORA_COMFY_RENAMING_MAP",
    "LTXV_MODEL_COMFY_RENAMING_MAP",
    "VAE_DECODER_COMFY_KEYS_FILTER",
    "VAE_ENCODER_COMFY_KEYS_FILTER",
    "VOCODER_COMFY_KEYS_FILTER",
    "Checkpoint",
    "CheckpointError",
    "CheckpointNotFoundError",
    "ConfigError",
    "ContentMatching",
    "ContentReplacement",
    "DummyRegistry",
    "Header",
    "HeaderError",
    "KeyValueOperation",
    "KeyValueOperationResult",
    "LoRAAdaptableProtocol",
    "LoraError",
    "LoraFile",
    "LoraPathStrengthAndSDOps",
    "LoraReport",
    "LoraStateDictWithStrength",
    "MissingTensorsError",
    "ModelBuilderProtocol",
    "ModelVersion",
    "ModuleOps",
    "Registry",
    "SDKeyValueOperation",
    "SDOps",
    "SafetensorsModelStateDictLoader",
    "SafetensorsStateDictLoader",
    "ShapeMismatchError",
    "SingleGPUModelBuilder",
    "StateDict",
    "StateDictLoader",
    "StateDictRegistry",
    "TensorEntry",
    "UnsupportedFormatError",
    "VersionError",
    "apply_loras",
    "create_meta_model",
    "load_state_dict",
    "open_checkpoint",
    "open_lora",
    "read_header",
    "read_model_config",
]
