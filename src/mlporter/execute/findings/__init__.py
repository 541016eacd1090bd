"""What of a source people must know of before it goes: what stays where it is, what is odd."""
