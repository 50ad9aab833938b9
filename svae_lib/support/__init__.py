"""What carries the course and teaches none of it: checks, files, devices, memory, signals.

Nothing here imports from the rest of the library.
"""
