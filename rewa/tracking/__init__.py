"""MLflow: one run per training, written once, and read back as tables. The only package that imports it."""

from __future__ import annotations

from rewa.tracking.reading import read_sweep
from rewa.tracking.store import open_client
from rewa.tracking.view import log_report, ui_address
from rewa.tracking.writing import SweepTakenError, Tracker

__all__ = ["SweepTakenError", "Tracker", "log_report", "open_client", "read_sweep", "ui_address"]
