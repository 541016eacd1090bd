"""What all steps of an import into a server share."""
