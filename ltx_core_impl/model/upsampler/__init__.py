"""upsampler."""
