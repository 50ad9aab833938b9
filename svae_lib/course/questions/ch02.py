"""Questions of notebook 02."""

from . import Choice, Number, Question

PREDICTIONS = (
    Question(
        "02-one-answer",
        "Two images, (1, 0) and (0, 1), equally frequent. Which single answer has the smallest "
        "mean squared error?",
        (
            Choice(
                "One of the two images",
                "It is right half of the time, and costs 2 the other half: 1 on average.",
            ),
            Choice(
                "Their average (1/2, 1/2)",
                "Yes: it is never right, and always costs 1/2, half of what either image costs.",
                right=True,
            ),
            Choice(
                "All three are equally good",
                "The average always costs 1/2; each image costs 0 or 2, so 1 on average.",
            ),
            Choice("Black, (0, 0)", "It always costs 1."),
        ),
    ),
    Question(
        "02-wide-gaussian",
        "What do draws from the one wide Gaussian look like, as images of two pixels?",
        (
            Choice(
                "Like a or b",
                "These are two rare places of the cloud. Nothing draws it towards them.",
            ),
            Choice(
                "Mostly like neither",
                "Yes: a cloud wide enough to cover both images covers much that is neither.",
                right=True,
            ),
            Choice(
                "All like the average",
                "The average is only the centre. To cover both images the cloud has to be wide.",
            ),
        ),
    ),
    Question(
        "02-apart-or-together",
        "With beta = 1, for which gamma will the two posteriors lie on top of each other?",
        (
            Choice(
                "For none: telling the two images apart always pays",
                "A nat costs 2 beta gamma in squared error. If it saves less, it is not bought.",
            ),
            Choice(
                "For small gamma, such as 0.1",
                "With a small gamma a wrong pixel is expensive, so the images are told apart.",
            ),
            Choice(
                "For large gamma, such as 1",
                "Yes: a wrong pixel then costs so little that no nat is worth its price.",
                right=True,
            ),
        ),
    ),
    Question(
        "02-escape",
        "gamma follows the error, from 1 down. For which beta does the toy escape from collapse?",
        (
            Choice(
                "For 1, but not for 4",
                "Yes: collapsed, gamma is 0.25. The price is 0.25 in the one case and 1 in the "
                "other; the threshold is 1/2.",
                right=True,
            ),
            Choice(
                "For both 1 and 4",
                "Collapsed, the toy has gamma = 0.25. At beta = 4 the price is then 1, above the "
                "threshold of 1/2.",
            ),
            Choice(
                "For neither: a collapse is for ever",
                "As gamma falls from 1 to 0.25 the price falls with it, and may come below 1/2.",
            ),
        ),
    ),
    Question(
        "02-two-starts",
        "beta = 4. gamma starts at 1 in one run and at the data's variance in the other. What "
        "happens?",
        (
            Choice(
                "Both take the same course: gamma adapts to the error at once",
                "It takes hundreds of steps to come down, and meanwhile the price is too high.",
            ),
            Choice(
                "The start at the variance is ahead, but not at the end",
                "Yes: from 1 the KL divergence stays very small at first, then the run catches up.",
                right=True,
            ),
            Choice(
                "The start at 1 tells nothing for good: it never recovers",
                "gamma comes down by itself here, since beta times the variance is below the "
                "largest eigenvalue.",
            ),
        ),
    ),
    Question(
        "02-active-at-256",
        "How many of the 16 latent variables will still tell something at beta = 256?",
        Number(
            0,
            0,
            "Yes: beta times the variance per pixel exceeds the largest eigenvalue, and the "
            "collapse feeds itself.",
            "There is nothing below none.",
            "By the rule, each would have to save more error than its price. At 256 none does: "
            "every image gets the mean image.",
            unit="latent variables",
        ),
    ),
    Question(
        "02-least-active",
        "beta = 64: the least active latent variable is moved from -2 to 2. What does the decoder "
        "show?",
        (
            Choice(
                "Another digit at either end",
                "That is what the most active one does.",
            ),
            Choice(
                "Next to no change",
                "Yes: the decoder has learnt not to listen to a variable that says nothing.",
                right=True,
            ),
            Choice(
                "Noise, since it was never trained there",
                "This variable was trained with draws from the prior all the time, and learnt to "
                "ignore them.",
            ),
        ),
    ),
    Question(
        "02-rescaled",
        "Latent variables are rescaled to satisfy the variance law, and the decoder undoes it. "
        "What changes?",
        (
            Choice(
                "The KL divergence alone",
                "It falls. But the decoder now expects codes of another width, so draws from the "
                "prior come out differently.",
            ),
            Choice(
                "The reconstructions and the samples from the prior",
                "The decoder multiplies by what the encoder divided by, so reconstructions stay.",
            ),
            Choice(
                "The KL divergence and the samples from the prior",
                "Yes: the loss falls for free, and the prior has the width that the decoder knows.",
                right=True,
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "02-quiz-blur",
        "Why does a VAE blur?",
        (
            Choice(
                "Under squared error the best answer to a doubt is a mean",
                "Yes, and z leaves some questions uncertain, since every nat has a price.",
                right=True,
            ),
            Choice(
                "Its decoder has too few layers to draw what z tells",
                "A larger decoder gives the same answer to the same doubt: the mean.",
            ),
            Choice(
                "The noise that is drawn for z ends up in the image",
                "The noise is added to z. What is drawn is the decoder's mean.",
            ),
        ),
    ),
    Question(
        "02-quiz-price",
        "beta is doubled and gamma is halved, both fixed. What happens to the trade between error "
        "and KL divergence?",
        (
            Choice(
                "More is told: errors cost more",
                "So do nats. The price of a nat is beta gamma, which is the same.",
            ),
            Choice(
                "Less is told: a nat costs more",
                "So do errors. The price of a nat is beta gamma, which is the same.",
            ),
            Choice(
                "Nothing: only their product counts",
                "Yes: the loss is multiplied by 2, and its minimum stays.",
                right=True,
            ),
        ),
    ),
    Question(
        "02-quiz-variance-law",
        "A latent variable has var(mu) = 0.02 and mean s² = 0.98. What is it?",
        (
            Choice(
                "Inactive: it says next to nothing about the image",
                "Yes. It satisfies the variance law, 0.02 + 0.98 = 1, and says nothing.",
                right=True,
            ),
            Choice(
                "Very precise: its means hardly scatter",
                "s² near 1 is as wide as the prior: z hardly depends on the image.",
            ),
            Choice(
                "Broken: the two must be equal",
                "The law asks that they sum to 1, which they do.",
            ),
        ),
    ),
    Question(
        "02-quiz-too-wide",
        "A latent variable has var(mu) = 0.6 and mean s² = 0.9. What is it?",
        (
            Choice("Inactive", "0.6 is above 0.05, and 0.9 is below 0.95: it says something."),
            Choice(
                "Active, and training went to its end",
                "At a minimum the two sum to 1. Here they sum to 1.5.",
            ),
            Choice(
                "Active, and training did not go to its end",
                "Yes: the sum is 1.5, not 1, so rescaling the variable would lower the loss.",
                right=True,
            ),
        ),
    ),
)
