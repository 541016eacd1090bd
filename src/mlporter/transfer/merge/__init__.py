"""Merging into a registry that is in use: what is new, what is there, what is in conflict."""
