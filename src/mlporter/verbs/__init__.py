"""The verbs, one function each: the public API."""
