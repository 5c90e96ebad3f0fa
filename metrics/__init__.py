"""Metrics as pure functions of arrays. Each states its direction and range."""
