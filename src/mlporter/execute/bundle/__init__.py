"""A registry into a bundle, or into a snapshot of a repository."""
