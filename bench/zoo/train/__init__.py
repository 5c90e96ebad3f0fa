"""How the embedded family is trained: one Hydra-configured script per part, all on one loop.

`python -m bench.zoo.train.photos data=<folder>` prepares the photos; then see the model card for the order.
"""
