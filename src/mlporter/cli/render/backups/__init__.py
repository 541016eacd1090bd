"""Snapshots: made, listed, found, verified, looked at."""
