"""Ids that are others in the target, wherever they stand: in columns, strings and files."""
