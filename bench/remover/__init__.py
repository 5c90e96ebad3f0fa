"""Training a network that takes cloaks off; `python -m bench.train_remover` is its command."""
