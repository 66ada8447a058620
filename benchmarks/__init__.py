"""Measurements, not tests: `python -m benchmarks [NAME…]` writes one page for this machine into benchmarks/results/."""
