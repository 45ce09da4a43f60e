"""Serving the page: the model, its pace, visitors' sessions, the gate and the API."""
