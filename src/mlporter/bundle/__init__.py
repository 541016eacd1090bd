"""The portable directory: layout, manifest, parts, blobs, lock, check (docs/bundle-format.md)."""
