"""Verbs that move a registry, or carry out a plan to do so."""
