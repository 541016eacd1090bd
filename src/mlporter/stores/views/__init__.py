"""Sources around other sources: they show something else, and change nothing in the place."""
