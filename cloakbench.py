"""CloakBench from Python, under the name of its distribution: the same as `import bench`."""

from bench import __version__
from bench.api import Evaluation, cloak, evaluate, export

__all__ = ["Evaluation", "__version__", "cloak", "evaluate", "export"]
