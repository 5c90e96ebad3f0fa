"""Scores of one cell: what the judge, witnesses and other instruments say of its photos and pictures."""
