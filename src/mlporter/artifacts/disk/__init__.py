"""This machine's files: looked for, copied, made durable, taken back."""
