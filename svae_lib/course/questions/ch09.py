"""Questions of notebook 09."""

from . import Choice, Question

PREDICTIONS = (
    Question(
        "09-third-image",
        "A third image in the split: will it lower the error?",
        (
            Choice("Clearly", "Two images can already say what is needed, and one nearly can."),
            Choice(
                "Not so that one seed could tell",
                "Yes: a small difference of one run means nothing yet.",
                right=True,
            ),
            Choice("It will raise the error", "A third image costs nothing: it may stay unused."),
        ),
    ),
    Question(
        "09-three-parts",
        "Three images in one digit: what do they become?",
        (
            Choice("Three parts of the digit", "Nothing asks for parts."),
            Choice(
                "Three copies", "Where images agree the maps learn nothing; but they begin apart."
            ),
            Choice(
                "One for the surroundings, and two that share the strokes",
                "Yes, in the stored models. Which map does what is up to the seed.",
                right=True,
            ),
        ),
    ),
    Question(
        "09-local-global",
        "Local and global number of images of a checkerboard of ones and zeros?",
        (
            Choice("1 and 1", "Each pixel uses one image, but the whole map uses both."),
            Choice("1 and 2", "Yes: one image in each pixel, two over the whole.", right=True),
            Choice("2 and 2", "In each pixel only one image is used."),
            Choice("2 and 1", "Local never exceeds global: entropy is concave."),
        ),
    ),
    Question(
        "09-few-faces",
        "A Split VAE trained on a few faces for a moment: what does it draw?",
        (
            Choice("Sharp faces", "It has had no time, and squared error averages doubts."),
            Choice(
                "Blurred ones, that differ",
                "Yes. And the training error is below the test error: it begins to learn single "
                "images.",
                right=True,
            ),
            Choice("The same face for all", "That would be a collapse. z already tells something."),
        ),
    ),
    Question(
        "09-rows-or-columns",
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
        "09-untrained-map",
        "Sorted by how much the untrained map alternates, where do the syntactic ones stand?",
        (
            Choice(
                "At the end that alternates most",
                "So three seeds suggested. With all of them it is gone.",
            ),
            Choice(
                "At both ends",
                "Yes: the simple rule that three seeds suggested does not hold.",
                right=True,
            ),
            Choice("At the end that alternates least", "Some stand there, but not all."),
        ),
    ),
    Question(
        "09-which-weights",
        "Encoder, decoder or head: which of their first weights decide the kind of split?",
        (
            Choice("The encoder", "It never sees the map, and has no share."),
            Choice("The decoder", "It has some share, far from a half."),
            Choice("The head", "It has some share, far from a half."),
            Choice(
                "None of them alone",
                "Yes: decoder and head together have most of it. It matters how they fit.",
                right=True,
            ),
        ),
    ),
    Question(
        "09-last-layer",
        "Where does the KL divergence of q(zₜ | x) from N(0, I) end?",
        (
            Choice(
                "At 0, for every image",
                "Yes: the last layer is the prior, and nothing had to be trained for it.",
                right=True,
            ),
            Choice("At a rest that tells of the digit", "At the end nothing of the image is left."),
            Choice(
                "At 0 as soon as the eye cannot read the digit",
                "The eye gives up earlier: the KL divergence sums a little over all pixels.",
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "09-quiz-softmax",
        "Why does the K-way split use a softmax for its maps?",
        (
            Choice("It is faster than sigmoids", "Speed is no reason here."),
            Choice(
                "So that each pixel's weights are positive and sum to 1",
                "Yes: the mixture stays in [0, 1]. For K = 2 a sigmoid does the same.",
                right=True,
            ),
            Choice("To make the maps binary", "A softmax may mix as it likes."),
        ),
    ),
    Question(
        "09-quiz-overfit",
        "Training error far below test error after a few minutes on 200 of your own images. What "
        "helps most?",
        (
            Choice("Longer training", "The gap would grow."),
            Choice("More images", "Yes: so many parameters learn few images by heart.", right=True),
            Choice("More latent variables", "More room to learn single images by heart."),
        ),
    ),
    Question(
        "09-quiz-diffusion",
        "What does a diffusion model pay for having no holes in its prior?",
        (
            Choice(
                "Many decoder calls for one sample, and no short code",
                "Yes: z is noise and image, not a description.",
                right=True,
            ),
            Choice("A collapsed posterior", "The last layer tells nothing by design."),
            Choice("A second stage", "Nothing has to be fitted afterwards."),
        ),
    ),
)
