"""Everything of Forge that is not Dagster: the desks, the models, the GPU lease, the memory of nights.

Belongs here: plain functions and small processes. Does not belong here: any import of ``dagster``, which
costs 65 MiB and a second per process; the import contracts refuse it.
"""
