"""video_vae."""
