"""Questions of notebook 03."""

from . import Choice, Question

PREDICTIONS = (
    Question(
        "03-which-starts-split",
        "sigma, x₁ and x₂ of one digit are fitted from zeros, and from random logits of standard "
        "deviation 0.1, 1 and 3. In which of the four do x₁ and x₂ still differ at the end?",
        (
            Choice(
                "In all four",
                "From zeros, x₁ and x₂ are equal and get equal corrections. Nothing can break the "
                "symmetry.",
            ),
            Choice(
                "In none: nothing asks for a split",
                "Nothing asks for one, but a random start brings one along, and nothing wholly "
                "removes it.",
            ),
            Choice(
                "In the three random ones",
                "Yes: what differs at the start is never wholly removed, and the wider the start, "
                "the more is left at the end.",
                right=True,
            ),
        ),
    ),
    Question(
        "03-error-of-both",
        "After the same number of steps, how does the Split VAE's error compare with the VAE's?",
        (
            Choice(
                "Clearly smaller",
                "The head emits two images, but everything before it is the same network.",
            ),
            Choice(
                "About equal",
                "Yes: a split is no second decoder. Whether the small difference means anything "
                "takes many runs.",
                right=True,
            ),
            Choice(
                "Clearly larger",
                "The split costs nothing: with x₁ = x₂ it would be a plain VAE.",
            ),
        ),
    ),
    Question(
        "03-five-answers",
        "x, x₁, x₂, their plain average, and the mixture with sigma swapped: which has the "
        "smallest error?",
        (
            Choice(
                "x₁ or x₂: each is a digit of its own",
                "The loss never looked at them alone.",
            ),
            Choice(
                "The plain average: averaging lowers squared error",
                "It is never worse than x₁ and x₂ are on average. But the loss looked at x.",
            ),
            Choice(
                "x",
                "Yes: it is what training looked at. How much worse the others are tells how much "
                "of a split there is.",
                right=True,
            ),
            Choice(
                "All are equal",
                "They would be, without a split: with x₁ = x₂.",
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "03-quiz-gradient",
        "At some pixel x₁ = x₂. Which gradient does sigma get there?",
        (
            Choice(
                "None",
                "Yes: x does not depend on sigma where both images agree.",
                right=True,
            ),
            Choice(
                "The usual one",
                "The gradient is g (x₁ - x₂), and x₁ - x₂ is 0 there.",
            ),
            Choice(
                "It pushes sigma to 1/2",
                "Nothing in the loss prefers a value of sigma.",
            ),
        ),
    ),
    Question(
        "03-quiz-channels",
        "A Split VAE for colour images of 64x64 gets a batch of 8. How many channels has its head, "
        "and which shape has sigma?",
        (
            Choice(
                "6, and (8, 1, 64, 64)", "Two images take 6 channels, and the map needs one, too."
            ),
            Choice(
                "9, and (8, 3, 64, 64)",
                "The map has one channel, not three: one weight for all colours of a pixel.",
            ),
            Choice(
                "7, and (8, 3, 64, 64)",
                "Of 7 channels the two images take 6, which leaves one for the map.",
            ),
            Choice(
                "7, and (8, 1, 64, 64)",
                "Yes: 1 + 2C channels, and one weight for all colours of a pixel.",
                right=True,
            ),
        ),
    ),
    Question(
        "03-quiz-plausible",
        '"Since x₁ is half of the answer, the loss makes it a plausible image." Is that so?',
        (
            Choice(
                "Yes", "The loss compares x alone with the image, and asks nothing of x₁ by itself."
            ),
            Choice(
                "No",
                "Right: the loss sees x alone. Where sigma is near 0, x₁ gets nearly no gradient "
                "and may be anything.",
                right=True,
            ),
            Choice(
                "Only where the split is semantic",
                "There x₁ may happen to be plausible. Still nothing asks for it.",
            ),
        ),
    ),
)
