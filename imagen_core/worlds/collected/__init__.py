"""A world that people collected: the pictures and captions of a prepared folder."""
