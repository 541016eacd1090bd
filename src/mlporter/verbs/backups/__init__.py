"""Backups: snapshots made, listed, found, tried, looked at and forgotten."""
