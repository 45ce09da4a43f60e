"""Files: hub snapshots as data only, and writing a file whole or not at all."""
