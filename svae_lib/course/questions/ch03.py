"""Questions of notebook 03."""

from . import Choice, Question

PREDICTIONS = (
    Question(
        "03-which-starts-split",
        "sigma, x₁ and x₂ of one digit are fitted from zeros, and from random logits of standard "
        "deviation 0.1, 1 and 3. In which of the four does a split arise?",
        (
            Choice(
                "In all four",
                "From zeros, x₁ and x₂ are equal and get equal corrections. Nothing can break the "
                "symmetry.",
            ),
            Choice(
                "In the three random ones",
                "Yes: what differs at the start is not removed, and the wider the start, the more "
                "is left at the end.",
                right=True,
            ),
            Choice(
                "In none: nothing asks for a split",
                "Nothing asks for one, but a random start brings one along, and nothing removes "
                "it.",
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
        "How many channels does the last convolution of a Split VAE for colour images have?",
        (
            Choice("4", "Two images need three channels each."),
            Choice("6", "The map needs a channel, too."),
            Choice("7", "Yes: one map, and two images of three channels: 1 + 2C.", right=True),
        ),
    ),
    Question(
        "03-quiz-loss",
        "What does the Split VAE's loss ask of x₁, x₂ and sigma?",
        (
            Choice(
                "That x₁ and x₂ differ",
                "There is no such term. The split arises by itself, or not.",
            ),
            Choice(
                "That each of them resembles the image",
                "Only their mixture is compared with the image.",
            ),
            Choice(
                "Nothing but that their mixture resembles the image",
                "Yes: it is the ordinary loss of a VAE, on x.",
                right=True,
            ),
        ),
    ),
)
