"""Models: diffusion bases and the judge."""
