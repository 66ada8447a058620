"""Faces: each is a function of one event. They know `events`, and nothing below."""
