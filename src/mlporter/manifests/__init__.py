"""Manifests: transfers as files that people review, what they can say, and how they are read."""
