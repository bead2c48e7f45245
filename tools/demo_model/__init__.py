"""Makes the small model that ships with the pack: data, training, evaluation (docs/demo-model.md)."""
