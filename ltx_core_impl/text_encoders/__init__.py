"""Text encoders of the LTX-2 family."""
