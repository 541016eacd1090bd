"""What each report says: pure functions from results, and what was read for them, to a page."""
