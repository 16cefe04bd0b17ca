"""Runnable comparisons; what they measured stands in results/ with command, machine and versions."""
