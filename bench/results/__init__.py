"""Records, and what is read off them: arms, tables of rows, provenance."""
