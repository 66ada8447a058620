"""A session: the loop, the control socket, settings, and `pipeline.py`, the story of one reload."""
