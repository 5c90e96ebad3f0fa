"""A fair tuning: the same number of trials for every cloak, at equal effort, on people who judge nobody.

    python -m bench.tune defense=dladiff data=../shared/data/celeba_train.parquet

What a paper leaves open, or found for another model, is searched in a stated space (`conf/defense`): the first trial is
the preset as it is, the others are spread evenly over the space (Halton's sequence, scrambled by the seed). Such a plan
depends on nothing that was seen before, so trials can be made in any order, anywhere, and interrupted at will: what is
done is in the store and in the folders of the runs.
"""
