"""One model version from one registry to another: gates before, proof after, a way back."""
