"""The table top: the captioned, ray-cast world that the shipped weights know."""
