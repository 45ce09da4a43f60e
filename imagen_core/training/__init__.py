"""Training: data, loss and loop that made the shipped weights."""
