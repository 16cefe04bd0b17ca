"""The search over frontiers: spaces, trials and their confirmation, on Ray Tune and Optuna."""
