"""Questions of notebook 01."""

from . import Choice, Question

PREDICTIONS = (
    Question(
        "01-random-codes",
        "What does the autoencoder's decoder make of codes drawn from N(0, I)?",
        (
            Choice(
                "Digits, if a little blurred",
                "That would need codes of digits to lie where N(0, I) does. Nothing in the loss "
                "asks for that.",
            ),
            Choice(
                "Mixtures of digits",
                "A few may look like it. But most codes lie far from those of any digit, where "
                "the decoder was never trained.",
            ),
            Choice(
                "Mostly shapes that are no digits",
                "Yes. The decoder knows what to do where codes of training images lie, and these "
                "draws lie elsewhere.",
                right=True,
            ),
        ),
    ),
    Question(
        "01-largest-elbo",
        "The ELBO of q = N(m, s²): can a q with a wrong s reach log p(x) at its best m?",
        (
            Choice(
                "Yes, the best m makes up for a wrong s",
                "The gap is the KL divergence of q from the posterior. It is 0 only where mean "
                "and variance are both right.",
            ),
            Choice(
                "No, only the posterior itself reaches it",
                "Yes: the gap is a KL divergence, which is 0 only for equal densities.",
                right=True,
            ),
            Choice(
                "No, nothing reaches it",
                "For a real encoder that is true. Here the posterior is Gaussian, and so is q.",
            ),
        ),
    ),
    Question(
        "01-kl-in-training",
        "What happens to the KL divergence and to the squared error in training?",
        (
            Choice(
                "Both fall",
                "A KL divergence near 0 means that z says nothing about the image. Then the error "
                "cannot fall far.",
            ),
            Choice(
                "The KL divergence rises, the error falls",
                "Yes: the encoder buys information as long as a nat saves more than it costs.",
                right=True,
            ),
            Choice(
                "The KL divergence falls, the error rises",
                "That is a collapse: z would say nothing, and every image get the same answer.",
            ),
        ),
    ),
    Question(
        "01-same-codes",
        "The same random codes in the VAE's decoder: how do its samples compare with the "
        "autoencoder's?",
        (
            Choice(
                "More of them look like digits",
                "Yes: the VAE was trained with codes that lie nearly where these draws lie.",
                right=True,
            ),
            Choice(
                "They hardly differ, like the reconstructions",
                "Reconstructions use codes of real images. Random codes are where the two models "
                "differ.",
            ),
            Choice(
                "They are sharper, but no digits",
                "The VAE is no sharper. Its gain is that the draws fall where it was trained.",
            ),
        ),
    ),
    Question(
        "01-borders",
        "Ten kinds of digits share one plane of two latent variables. What does the decoder draw "
        "where regions of several digits meet?",
        (
            Choice(
                "One of the digits, sharp",
                "It cannot know which one was meant. Squared error answers doubt by averaging.",
            ),
            Choice(
                "Something blurred between them",
                "Yes: it draws the mean of what may have been meant, and that is a blur.",
                right=True,
            ),
            Choice(
                "Noise, since no image is encoded there",
                "Neighbouring z are draws for the same images, so the border is trained as well.",
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
                "The codes of images lie elsewhere",
                "Yes: nothing in the loss says where codes should lie.",
                right=True,
            ),
            Choice(
                "The decoder is too small",
                "A larger one is not trained at these places either.",
            ),
            Choice(
                "Too few training steps",
                "More steps improve the reconstructions, and leave the codes where they like.",
            ),
        ),
    ),
    Question(
        "01-quiz-kl-rises",
        "The KL divergence is part of the loss, and it rises while a VAE is trained. Is that a "
        "bug?",
        (
            Choice(
                "Yes: every part of a loss falls in training",
                "Only the sum is minimised. A part may rise if another falls by more.",
            ),
            Choice(
                "Yes: the posteriors have collapsed",
                "In a collapse the KL divergence falls to 0.",
            ),
            Choice(
                "No: a nat may save more error than it costs",
                "Yes. At the start the latent variables say nothing, and training buys "
                "information.",
                right=True,
            ),
            Choice(
                "No: the bound needs a KL divergence that rises",
                "The bound holds for every KL divergence.",
            ),
        ),
    ),
    Question(
        "01-quiz-mean",
        "Somebody replaces the sum over the 1024 pixels by their mean, and leaves the KL "
        "divergence a sum. What comes of it?",
        (
            Choice(
                "A model whose latent variables say next to nothing",
                "Yes: the error counts 1024 times less against the KL divergence, as if gamma "
                "were 1024 times larger.",
                right=True,
            ),
            Choice(
                "The same model: a mean is a sum with a factor",
                "The factor 1/1024 stands before one of the two terms only.",
            ),
            Choice(
                "Sharper images",
                "The error counts less, so the images get worse.",
            ),
        ),
    ),
)
