"""Trainings that share one process and its passes over the data; each is reported as itself."""

from rewa.packs.together import OnResult, Training, can_pack, fit_one, fit_together

__all__ = ["OnResult", "Training", "can_pack", "fit_one", "fit_together"]
