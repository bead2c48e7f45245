"""audio_vae."""
