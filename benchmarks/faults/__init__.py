"""Faults injected into real sweeps, and what is counted after each: ``python -m benchmarks.faults``."""
