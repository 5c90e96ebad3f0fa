"""The settings of a run: what a command line means, checked before anything is computed."""
