"""File stores: `mlruns` folders of every MLflow since 0.9, read without any of MLflow's code."""
