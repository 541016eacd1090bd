"""What a version must be before it is copied, and after: gates, proof, signatures."""
