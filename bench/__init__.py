"""CloakBench: does a cloak stop others from personalising a diffusion model on a person?"""

__version__ = "0.1.0"
