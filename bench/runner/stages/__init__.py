"""The stages of one cell: protect -> counter -> fit -> generate -> measure.

Each module has `key(...)`, the hash of everything that determines the output, and a function that writes the output
into a folder. A key is made of the keys of its inputs, so the keys of a whole run are known before any work starts.
"""
