"""What a version must be before it is carried, and after: gates, proof, signatures."""
