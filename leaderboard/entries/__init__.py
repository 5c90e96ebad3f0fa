"""What an entry is and how one is read: files by allow-listed names, strict JSON, sprites, and runs they come from."""
