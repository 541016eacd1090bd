"""A repository: many snapshots of registries over shared parts, packs and blobs."""
