"""Bundles and snapshots of repositories as places to read from."""
