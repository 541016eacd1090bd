"""Runs and logged models of a file store, with their metrics and datasets."""
