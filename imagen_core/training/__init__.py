"""Data, loss and loop: how the shipped weights were made."""
