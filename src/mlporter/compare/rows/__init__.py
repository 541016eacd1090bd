"""Rows of two sides, compared batch by batch."""
