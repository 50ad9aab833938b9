"""Questions of notebook 09."""

from . import Choice, Question

PREDICTIONS = (
    Question(
        "09-third-image",
        "A third image in the split: will it lower the error on test images?",
        (
            Choice("Clearly", "Two images can already say what is needed, and one nearly can."),
            Choice(
                "Hardly: one seed could not tell",
                "Yes: a small difference of one run means nothing yet.",
                right=True,
            ),
            Choice(
                "It will raise the error",
                "With the three recorded seeds it did not: a third image may stay unused.",
            ),
        ),
    ),
    Question(
        "09-three-parts",
        "Three maps share the pixels of one digit. How do they divide them?",
        (
            Choice("Each takes one part of the digit, such as a stroke", "Nothing asks for parts."),
            Choice(
                "All three weigh about the same everywhere",
                "Where images agree the maps learn nothing; but they begin apart.",
            ),
            Choice(
                "One takes the surroundings, two share the strokes",
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
            Choice("The same face for all", "That would be a collapse. z already tells something."),
            Choice(
                "Blurred ones, that differ",
                "Yes. And the training error is below the test error: it begins to learn single "
                "images.",
                right=True,
            ),
        ),
    ),
    Question(
        "09-steps",
        "One denoiser, one start: what does a sampler with a single step draw, and one with many?",
        (
            Choice(
                "One step: pale averages of many digits. Many steps: digits",
                "Yes: from noise alone the best guess is the mean of everything. With every step "
                "the question becomes easier, and the answer more particular.",
                right=True,
            ),
            Choice(
                "The same: the network is the same",
                "One step asks it the hardest question alone: what was this pure noise?",
            ),
            Choice(
                "One step: noise. Many steps: digits",
                "The network guesses clean vectors, never noise. Its guess from noise is a mean.",
            ),
        ),
    ),
    Question(
        "09-four-sources",
        "Latent vectors from the prior, a mixture, a second stage and, in fifty steps, the "
        "diffusion model. Which decode to the worst images, by FID?",
        (
            Choice(
                "The prior's",
                "Yes: it alone never looked at the latent vectors of training images.",
                right=True,
            ),
            Choice(
                "The diffusion model's",
                "It is small and briefly trained, but it has seen where the latent vectors are.",
            ),
            Choice(
                "The mixture's: it has the fewest parameters",
                "Few are enough for a cloud in a few dimensions.",
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "09-quiz-softmax",
        "Why does the K-way split use a softmax for its maps?",
        (
            Choice(
                "So that each pixel's weights are positive and sum to 1",
                "Yes: the mixture stays in [0, 1]. For K = 2 a sigmoid does the same.",
                right=True,
            ),
            Choice(
                "It is faster than a sigmoid for each of the K maps", "Speed is no reason here."
            ),
            Choice(
                "To make the maps binary, a choice in each pixel", "A softmax may mix as it likes."
            ),
        ),
    ),
    Question(
        "09-quiz-overfit",
        "Training error far below test error after a few minutes on 200 of your own images. What "
        "helps most?",
        (
            Choice("More images", "Yes: so many parameters learn few images by heart.", right=True),
            Choice("Longer training", "The gap would grow."),
            Choice("More latent variables", "More room to learn single images by heart."),
        ),
    ),
    Question(
        "09-quiz-frames",
        "You train on frames of a film, split at random into training and test images. What does "
        "the small test error tell?",
        (
            Choice(
                "That the model will do as well on another film",
                "No frame of another film has a twin among the training images.",
            ),
            Choice(
                "That the model is too small to learn by heart",
                "One that knows its frames by heart has a small error, too.",
            ),
            Choice(
                "Little",
                "Yes: nearly every test frame has a twin among the training images. Split by "
                "scene.",
                right=True,
            ),
        ),
    ),
    Question(
        "09-quiz-diffusion",
        "What does a diffusion model pay for having no holes in its prior?",
        (
            Choice(
                "Many calls of the network for one sample",
                "Yes: each step asks a small question, whose answer is hardly uncertain.",
                right=True,
            ),
            Choice(
                "A posterior that collapses in training", "The last layer tells nothing by design."
            ),
            Choice(
                "A second stage that is fitted afterwards", "Nothing has to be fitted afterwards."
            ),
        ),
    ),
)
