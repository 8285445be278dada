"""The audit of a report: asset checks that hold what a desk says against what can be known."""
