"""Rows that people look at: by condition, sorted, cut off; and runs with what hangs on them."""
