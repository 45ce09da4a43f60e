"""Runs: from a request to pictures, and the experiments made of several runs."""
