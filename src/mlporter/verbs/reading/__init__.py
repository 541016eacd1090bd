"""Verbs that only read: what is there, whether it is the same, whether it is whole."""
