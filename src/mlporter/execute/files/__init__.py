"""Artifact files on their way, and those that cannot be read or belong to nothing."""
