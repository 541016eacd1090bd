"""Verbs that move a registry, and what they have in common."""
