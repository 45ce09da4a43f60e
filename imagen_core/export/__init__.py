"""A cascade as graphs that a browser tab samples with: app/static/tab/engine runs them."""
