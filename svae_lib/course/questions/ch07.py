"""Questions of notebook 07."""

from . import Choice, Question

PREDICTIONS = (
    Question(
        "07-move-or-widen",
        "Two equal Gaussians of variance 1. What costs least, by the Fréchet distance?",
        (
            Choice("Moving one by 1", "That costs 1² = 1."),
            Choice("Squeezing one to a point", "That costs (1 - 0)² = 1, as much as moving by 1."),
            Choice(
                "Doubling the variance of one",
                "Yes: variances count by their roots, so it costs (√2 - 1)², about 0.17.",
                right=True,
            ),
        ),
    ),
    Question(
        "07-copies",
        "Where do exact copies of training images end up, ordered by FID?",
        (
            Choice(
                "Beside new real images",
                "Yes: it compares distributions, and that of copies is right.",
                right=True,
            ),
            Choice(
                "At the bad end: they contain nothing new",
                "FID does not ask whether anything is new.",
            ),
            Choice(
                "Beside the set with a digit missing",
                "A missing digit changes the distribution. Copies do not.",
            ),
        ),
    ),
    Question(
        "07-quality-or-variety",
        "What is wrong with our model's reconstructions, as precision and recall see it?",
        (
            Choice(
                "Quality: blurred digits are no digits",
                "Their precision is that of real digits.",
            ),
            Choice(
                "Variety",
                "Yes, as they see it: an average of all possible answers is a typical image. (But "
                "digits of less contrast have the same signature.)",
                right=True,
            ),
            Choice("Both alike", "Precision hardly suffers; recall suffers most."),
        ),
    ),
    Question(
        "07-real-against-real",
        "FID between two disjoint sets of N real digits, many times. What is it on average?",
        (
            Choice(
                "0, with scatter to both sides",
                "A squared distance counts every miss, so it cannot fall below 0.",
            ),
            Choice(
                "Above 0, and more for small N",
                "Yes: it shrinks like 1/N, and every single draw is above 0.",
                right=True,
            ),
            Choice(
                "Above 0, and equally for all N",
                "With more images means and covariances are better known, and the distance falls.",
            ),
        ),
    ),
    Question(
        "07-untouched",
        "Can a model's FID improve by 10 % without the model being touched?",
        (
            Choice(
                "Yes, by scoring more of its images",
                "Right: the bias shrinks with N. Never compare FIDs of different N.",
                right=True,
            ),
            Choice("No: the images come from the same model", "The score depends on N as well."),
            Choice("Only by luck with the seed", "Luck scatters. The bias has one direction."),
        ),
    ),
    Question(
        "07-diagonal",
        "KID between real images, once with the kernel's diagonal and once without. Which is 0 on "
        "average?",
        (
            Choice("Both", "An image compared with itself is always alike. That shifts the mean."),
            Choice("Neither: both are squared distances", "An unbiased estimate may be negative."),
            Choice(
                "The one without",
                "Yes: without the diagonal the estimate is unbiased, for every N.",
                right=True,
            ),
        ),
    ),
    Question(
        "07-worst-treatment",
        "Real digits are treated as evaluation code sometimes does. Which costs most?",
        (
            Choice("Rounding to 32 grey levels", "Its effect is small here."),
            Choice(
                "Cutting the border and enlarging what is left",
                "Much, but resizing to 28 pixels and back costs more.",
            ),
            Choice(
                "Resizing to 28 pixels and back",
                "Yes: an innocent interpolation blurs, and costs more than our whole model.",
                right=True,
            ),
        ),
    ),
    Question(
        "07-parts-or-whole",
        "Will x₁ or x₂ of our small Split VAE have a lower FID than x?",
        (
            Choice(
                "Yes, as the paper finds",
                "Not in this stored run: no part beats the whole, although the split counts as "
                "semantic.",
            ),
            Choice(
                "No",
                "So it is in the stored run. One run is an anecdote: notebook 8 asks more of them.",
                right=True,
            ),
            Choice(
                "One of them, the other not",
                "In the stored run neither does.",
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "07-quiz-compare",
        "Paper A reports FID 12 on 5,000 images, paper B 10 on 50,000, same data. Which model is "
        "better?",
        (
            Choice("B's", "With ten times the images the bias is a tenth. That alone may do it."),
            Choice("A's", "Nothing says so either."),
            Choice(
                "That cannot be told",
                "Yes: N, network, resize, range and reference all have to be the same.",
                right=True,
            ),
        ),
    ),
    Question(
        "07-quiz-memorised",
        "A model has memorised its training images. Which score tells?",
        (
            Choice("FID", "It rewards the right distribution, new or not."),
            Choice("KID", "It compares distributions, too."),
            Choice(
                "None of FID, KID, precision and recall",
                "Yes: look for the nearest training images instead.",
                right=True,
            ),
        ),
    ),
    Question(
        "07-quiz-missing",
        "A model never draws a 4. Which of precision and recall falls?",
        (
            Choice("Recall", "Yes: part of the real digits is not covered.", right=True),
            Choice("Precision", "All that it draws are good digits."),
            Choice("Both", "What is drawn lies among real digits, so precision stays."),
        ),
    ),
    Question(
        "07-quiz-blurred",
        "Real digits are blurred, each pixel averaged with its eight neighbours, and compared with "
        "sharp real digits by LeNet's features. What happens to precision and recall?",
        (
            Choice(
                "Both stay: the digits are real", "They look at features, and blur changes those."
            ),
            Choice(
                "Precision falls to nearly nothing, recall stays",
                "Most blurred digits still lie among the sharp ones. But they cover hardly any of "
                "them.",
            ),
            Choice(
                "Both fall to nearly nothing",
                "Most blurred digits still lie among the sharp ones, so precision does not.",
            ),
            Choice(
                "Precision loses about a third, recall nearly all",
                "Yes: blur makes digits alike, so the balls around their features are small, and "
                "hardly a sharp digit falls into one.",
                right=True,
            ),
        ),
    ),
    Question(
        "07-quiz-moments",
        "Features are drawn from the Gaussian with the mean and the covariance of real features. "
        "What are their FID and KID?",
        (
            Choice(
                "Both like those of real images",
                "KID's kernel of degree 3 compares third moments, too.",
            ),
            Choice(
                "Both bad: no image has such features",
                "FID compares two moments only, and here both are right.",
            ),
            Choice(
                "FID like that of real images, KID worse",
                "Yes: KID also compares third moments, and real features are skewed.",
                right=True,
            ),
            Choice(
                "KID like that of real images, FID worse",
                "It is FID that compares two moments only, and here both are right.",
            ),
        ),
    ),
)
