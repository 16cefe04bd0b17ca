"""Pruning and the frontier: accuracy against compression."""
