"""Live capture: a camera in, a window, streams and recordings out."""
