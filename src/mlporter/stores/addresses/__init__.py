"""What people name, and which place that is."""
