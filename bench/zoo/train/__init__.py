"""How the embedded family is trained: one Hydra-configured script per part, all on one loop.

`python -m bench.zoo.train.family out=work/zoo` trains every part in order (`conf/family.yaml`) and goes on where it was
interrupted; the model card says what each part is.
"""
