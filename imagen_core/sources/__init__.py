"""Captioned pictures from outside: where they come from, and what is kept of them."""
