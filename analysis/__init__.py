"""Pure functions over the tables of a sweep, and the report made of them.

Run ``python -m analysis.report --sweep NAME``. Nothing here imports MLflow, Ray or Optuna; the
tables come in as a :class:`analysis.tables.SweepRecord` and every number on the page can be
computed again from the CSV files beside it.
"""
