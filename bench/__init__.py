"""CloakBench: does a cloak stop others from personalising a diffusion model on a person?"""

from bench.imports import settle

__version__ = "0.1.0"

settle()
