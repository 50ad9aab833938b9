"""Questions of notebook 01."""

from . import Choice, Question

PREDICTIONS = (
    Question(
        "01-random-codes",
        "What does the autoencoder's decoder make of codes drawn from N(0, I)?",
        (
            Choice(
                "Digits",
                "That would need codes of digits to lie where N(0, I) does. Nothing in the loss "
                "asks for that.",
            ),
            Choice(
                "Mixtures of digits",
                "A few may look like it. But most codes lie far from those of any digit, where "
                "the decoder was never trained.",
            ),
            Choice(
                "Mostly neither: shapes that are no digits",
                "Yes. The decoder knows what to do where codes of training images lie, and these "
                "draws lie elsewhere.",
                right=True,
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "01-quiz-codes",
        "Why do codes from N(0, I) give no digits in an autoencoder?",
        (
            Choice(
                "The decoder is too small",
                "A larger one is not trained at these places either.",
            ),
            Choice(
                "The codes of images lie elsewhere",
                "Yes: nothing in the loss says where codes should lie.",
                right=True,
            ),
            Choice(
                "Too few training steps",
                "More steps improve the reconstructions, and leave the codes where they like.",
            ),
        ),
    ),
)
