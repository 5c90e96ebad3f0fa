"""Faces: alignment, detectors and recognisers, and the judge, which no attack or defense may touch."""
