"""Rows of any registry, streamed: filtered, kept, looked up."""
