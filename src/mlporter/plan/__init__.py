"""What a transfer will do, decided before anything is written: pure, the same for every target."""
