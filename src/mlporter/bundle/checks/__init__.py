"""Verify: a bundle held against docs/bundle-format.md."""
