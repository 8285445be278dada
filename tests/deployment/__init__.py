"""The services under the fleet, the databases behind Dagster, and its pages, as a machine runs them."""
