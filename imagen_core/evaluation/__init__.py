"""Measuring: what is in a picture, whether it is what was asked for, and how far it is from a true render."""
