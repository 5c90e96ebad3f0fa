"""Adapters of zero-shot attacks, from their official layouts."""
