"""What the command line meets around it: streams, signals, logs, progress, failures."""
