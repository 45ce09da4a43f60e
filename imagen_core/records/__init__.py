"""Records of runs on disk: PNG, trace, recording."""
