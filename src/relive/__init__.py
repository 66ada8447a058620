"""relive: change C and C++ programs while they run."""

__version__ = "0.1.0"
