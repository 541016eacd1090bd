"""The verbs: what to move, planned and carried out."""
