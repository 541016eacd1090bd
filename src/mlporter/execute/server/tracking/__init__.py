"""Experiments, runs and logged models, step by step."""
