"""What the notebooks call: how much to compute, and the exercises that check themselves."""

from . import exercises
from .budgets import BUDGETS, Budget, Profile, budget, pick, profile

__all__ = ["BUDGETS", "Budget", "Profile", "budget", "exercises", "pick", "profile"]
