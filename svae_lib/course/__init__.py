"""What the notebooks call: budgets, exercises that check themselves, predictions, progress."""

from . import exercises
from .asking import predict, quiz
from .budgets import BUDGETS, Budget, Profile, budget, pick, profile
from .record import progress

__all__ = [
    "BUDGETS",
    "Budget",
    "Profile",
    "budget",
    "exercises",
    "pick",
    "predict",
    "profile",
    "progress",
    "quiz",
]
