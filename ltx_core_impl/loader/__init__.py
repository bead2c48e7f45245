"""From files to models: headers, detection, key maps, LoRA fusion, building and block streaming."""

from __future__ import annotations

from ..on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".builder": ("SingleGPUModelBuilder",),
        ".checkpoint": ("Checkpoint", "open_checkpoint"),
        ".errors": (
            "CheckpointError",
            "CheckpointNotFoundError",
            "ConfigError",
            "HeaderError",
            "LoraError",
            "MissingTensorsError",
            "ShapeMismatchError",
            "UnsupportedFormatError",
            "VersionError",
        ),
        ".fusion": ("LoraStateDictWithStrength", "apply_loras"),
        ".header": ("Header", "TensorEntry", "read_header"),
        ".key_maps": (
            "AUDIO_VAE_DECODER_COMFY_KEYS_FILTER",
            "AUDIO_VAE_ENCODER_COMFY_KEYS_FILTER",
            "EMBEDDINGS_PROCESSOR_KEY_OPS",
            "GEMMA_LLM_KEY_OPS",
            "LTXV_LORA_COMFY_RENAMING_MAP",
            "LTXV_MODEL_COMFY_RENAMING_MAP",
            "VAE_DECODER_COMFY_KEYS_FILTER",
            "VAE_ENCODER_COMFY_KEYS_FILTER",
            "VOCODER_COMFY_KEYS_FILTER",
        ),
        ".lora_file": ("LoraFile", "LoraPathStrengthAndSDOps", "LoraReport", "open_lora"),
        ".model_config": ("config_for",),
        ".module_ops": ("create_meta_model",),
        ".page_lock": ("PageLock",),
        ".placement": ("Placement", "WholeModel"),
        ".protocols": ("LoRAAdaptableProtocol", "ModelBuilderProtocol"),
        ".recipe": ("TransformerRecipe",),
        ".registry": ("DummyRegistry", "Registry", "StateDictRegistry"),
        "..operations": (
            "ContentMatching",
            "ContentReplacement",
            "KeyValueOperation",
            "KeyValueOperationResult",
            "ModuleOps",
            "SDKeyValueOperation",
            "SDOps",
        ),
        ".state_dict": (
            "SafetensorsModelStateDictLoader",
            "SafetensorsStateDictLoader",
            "StateDict",
            "StateDictLoader",
            "load_state_dict",
            "read_model_config",
        ),
        ".streaming": ("BlockStreamer",),
        ".version": ("ModelVersion", "possible_versions", "version_from_metadata", "version_from_name"),
    },
)
