"""What the synthetic images are like, in the eyes of a real-only classifier."""
