"""From a server's answers to rows, in as few requests as there can be."""
