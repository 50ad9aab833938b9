"""Questions of notebook 10."""

from . import Choice, Number, Question

PREDICTIONS = (
    Question(
        "10-wide-or-narrow",
        "Importance weighting: the narrow q is ahead at M = 1. And at M = 1000?",
        (
            Choice(
                "Still ahead: its gap is smaller",
                "It hardly ever draws from the posterior's tails, where its fractions are "
                "largest. Most sets of draws miss them.",
            ),
            Choice(
                "The wide one is ahead",
                "Yes: it wastes draws, but covers all places that matter.",
                right=True,
            ),
            Choice(
                "Both have reached log p(x)",
                "The wide one nearly has. The narrow one is still a little below.",
            ),
        ),
    ),
    Question(
        "10-climb",
        "At larger beta, does the bound climb more from M = 1 to M = 1000, or less?",
        (
            Choice(
                "More",
                "Yes: the encoder learnt the posterior for the variance beta gamma, which is "
                "wider than the one asked for. Draws repair a wide q.",
                right=True,
            ),
            Choice(
                "Less: fewer nats are told, so there is less to gain",
                "The climb is not about how much is told. It is about how far q is from the "
                "posterior for gamma.",
            ),
            Choice(
                "The same",
                "The encoder of beta = 16 aims at another posterior than the one that the bound "
                "asks for.",
            ),
        ),
    ),
    Question(
        "10-black-pixel",
        "The decoder answers a black pixel with exactly 0, and all that lies below 0 counts as "
        "black, too. How many bits does the pixel cost?",
        Number(
            0.75,
            1.25,
            "Yes, about one: half of a Gaussian around 0 lies below 0, and an event of "
            "probability 1/2 costs one bit.",
            "Half of a Gaussian around 0 lies below 0, and an event of probability 1/2 costs one "
            "bit. The interval above 0 adds little to that half.",
            "Half of a Gaussian around 0 lies below 0, and an event of probability 1/2 costs one "
            "bit. It is the interval alone that costs more.",
            unit="bits",
        ),
    ),
    Question(
        "10-rows-or-columns",
        "First weights in rows, orders of batches and noise in columns. Which are alike?",
        (
            Choice(
                "Rows: the first weights decide",
                "Yes, mostly: before the first image is seen.",
                right=True,
            ),
            Choice("Columns: the order decides", "It has a small share of the variance."),
            Choice("Neither", "One of the two has most of the variance."),
        ),
    ),
    Question(
        "10-untrained-map",
        "Sorted by how much the untrained map alternates, where do the syntactic ones stand?",
        (
            Choice(
                "At the end that alternates most",
                "So three seeds suggested. With all of them it is gone.",
            ),
            Choice("At the end that alternates least", "Some stand there, but not all."),
            Choice(
                "At neither end alone",
                "Yes: the simple rule that three seeds suggested does not hold.",
                right=True,
            ),
        ),
    ),
    Question(
        "10-which-weights",
        "Encoder, decoder or head: which of their first weights decide the kind of split?",
        (
            Choice("The encoder", "It never sees the map, and has no share by itself."),
            Choice("The decoder", "It has some share, far from a half."),
            Choice("The head", "It has some share, far from a half."),
            Choice(
                "None of them alone",
                "Yes: decoder and head together have most of it. It matters how they fit.",
                right=True,
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "10-quiz-draws",
        "The importance-weighted bound rises with the number of draws M. What happens to log p(x)?",
        (
            Choice(
                "It rises, too: the bound pushes it up",
                "The model is the same; only what we know of it grows.",
            ),
            Choice("Nothing, but the bound passes it in the end", "On average it never does."),
            Choice(
                "Nothing: the bound comes closer from below",
                "Yes: more draws make the estimate better, not the model.",
                right=True,
            ),
        ),
    ),
    Question(
        "10-quiz-roof",
        "An operation of low arithmetic intensity runs at 2 % of the peak. What would make it "
        "faster?",
        (
            Choice(
                "Fewer passes over memory",
                "Yes: at low intensity the roof is intensity times bandwidth.",
                right=True,
            ),
            Choice("A processor of twice the peak", "Its roof there is the bandwidth's."),
            Choice("A larger learning rate", "That changes what is computed, not how fast."),
        ),
    ),
    Question(
        "10-quiz-together",
        "Alone, decoder and head have small shares of a variance, together they have most of it. "
        "What does that say?",
        (
            Choice(
                "What is beyond the two shares is chance",
                "Together they explain it: it is not chance, it is how the two fit.",
            ),
            Choice(
                "One of the two decides by itself", "Then that one would have a large share alone."
            ),
            Choice(
                "It depends on how they are combined",
                "Yes: averaged over all heads, a decoder says little, and the other way round.",
                right=True,
            ),
        ),
    ),
)
