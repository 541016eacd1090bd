"""Bytes: find them behind a URI, copy and hash them in one pass, rewrite URIs."""
