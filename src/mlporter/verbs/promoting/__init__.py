"""Promotions: made, undone, listed."""
