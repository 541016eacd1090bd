"""Where artifact files of any registry are found and written."""
