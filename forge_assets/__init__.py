"""The Dagster code location: what a night produces.

Belongs here: assets, resources, partitions and jobs, all thin. Does not belong here: the work itself, which is plain
functions in ``forge_workers`` that never import Dagster.
"""
