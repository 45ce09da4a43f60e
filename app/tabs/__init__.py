"""The page's tabs, one file each; no tab imports another."""
