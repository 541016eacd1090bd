"""Artifact URIs: as text, whose files they name, where they may lead."""
