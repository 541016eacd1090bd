"""File contents by their SHA-256: small ones in packs, large ones alone, and where each is."""
