"""Traces, what newer MLflow evaluates them with, and the AI gateway."""
