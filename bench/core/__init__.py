"""What everybody may use: types, errors, hashing, registries, seeds, pictures, paths; it imports nothing above it."""
