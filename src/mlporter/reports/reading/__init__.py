"""What reports read of a registry beside what verbs found: streamed, and bounded."""
