"""Two registries held against each other: same, only here, only there, differs, unreadable."""
