"""What of the source is what of the target: by name, and by what is said of it."""
