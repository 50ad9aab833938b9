"""Trained, scored and recorded: runs, checkpoints, evaluation, tables, the claim, reports."""
