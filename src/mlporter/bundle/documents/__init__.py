"""The texts of a bundle: its manifest, what people read of it, and its sums."""
