"""Lessons: Markdown files whose claims and numbers come from the recorded runs."""
