"""Trained models: what a cascade is, how it is stored, and how one is opened."""
