"""Questions of notebook 00."""

from . import Choice, Question

PREDICTIONS = (
    Question(
        "00-minutes",
        "How long will one training of this profile's model take on your machine?",
        (
            Choice(
                "A few seconds",
                "Only in the profile smoke, which trains too little to learn anything. "
                "Otherwise hundreds or thousands of steps have to be taken.",
            ),
            Choice(
                "About a minute, or several",
                "Yes, on most machines: the budgets are chosen so that nobody waits longer. The "
                "next cell measures yours.",
                right=True,
            ),
            Choice(
                "Hours",
                "The paper's own network would take hours on a processor. The budget names a "
                "smaller one.",
            ),
        ),
    ),
    Question(
        "00-bytes",
        "What is the byte 200 plus the byte 100, and what does the model do with bytes?",
        (
            Choice(
                "300, and the model takes them",
                "A byte ends at 255, so 300 cannot be stored in one.",
            ),
            Choice(
                "255, and the model takes them",
                "Nothing stops at the largest byte: it starts again at 0.",
            ),
            Choice(
                "44, and the model refuses them",
                "Yes: 300 - 256 = 44, without a warning. That is why the model refuses bytes.",
                right=True,
            ),
            Choice(
                "44, and the model takes them",
                "The sum is right. But a model that took bytes would compute with such sums, so "
                "this one refuses.",
            ),
        ),
    ),
    Question(
        "00-variance",
        "Where is the variance of the pixels exactly 0?",
        (
            Choice(
                "In the border and the corners, which no stroke reaches",
                "Yes: where all images agree. It is high where some digits have a stroke and "
                "others have none.",
                right=True,
            ),
            Choice(
                "Nowhere",
                "In the padded border every image is black, so nothing varies there.",
            ),
            Choice(
                "In the middle, where the mean is brightest",
                "There the digits differ most: some have a stroke, some a hole.",
            ),
        ),
    ),
    Question(
        "00-independent-pixels",
        "Every pixel is drawn from its own mean and variance, without looking at its neighbours. "
        "What comes out?",
        (
            Choice(
                "New digits, if noisy ones",
                "A stroke is many pixels that agree. Pixels that do not know each other cannot "
                "agree.",
            ),
            Choice(
                "Blurred digits, like the mean image",
                "The mean is blurred. But each pixel also gets noise of its own.",
            ),
            Choice(
                "Noise in the shape of the mean image",
                "Yes: the right brightness in each place, and no stroke anywhere.",
                right=True,
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "00-quiz-bytes",
        "What is the byte 100 minus the byte 200, as uint8 tensors?",
        (
            Choice("-100", "A byte has no sign."),
            Choice("0", "A byte does not stop at its smallest value."),
            Choice(
                "156",
                "Yes: a byte counts modulo 256, and -100 + 256 = 156. So the models refuse bytes.",
                right=True,
            ),
            Choice("An error", "There is not even a warning."),
        ),
    ),
    Question(
        "00-quiz-two-errors",
        "Two programs look at the same reconstructions of 32x32 pixels. One prints the error 53, "
        "the other 0.052. Who is wrong?",
        (
            Choice("The first", "53 is a plausible error of an image, summed over its pixels."),
            Choice("The second", "0.052 is a plausible mean over the pixels."),
            Choice(
                "Perhaps nobody",
                "Yes: one sums over the 1024 pixels, the other takes the mean. 53 / 1024 is "
                "about 0.052.",
                right=True,
            ),
        ),
    ),
    Question(
        "00-quiz-test-images",
        "A model is chosen because its error on the test images is the lowest of twenty. What is "
        "that error worth as an estimate for new images?",
        (
            Choice(
                "It is too low",
                "Yes: choosing by the test images uses them up. A third set would tell.",
                right=True,
            ),
            Choice(
                "It is fair: the model never trained on them",
                "The choice did look at them, and the lowest of twenty is low by luck as well.",
            ),
            Choice(
                "It is too high",
                "The lowest of twenty errors is more likely too low.",
            ),
        ),
    ),
)
