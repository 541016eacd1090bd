"""Traces of a file store, with their spans and assessments."""
