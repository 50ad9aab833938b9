"""Questions of notebook 04."""

from . import Choice, Question

PREDICTIONS = (
    Question(
        "04-white-noise",
        "The bound 3/8 lies three quarters of the way to 1/2. Which share of white noise lies "
        "beyond it?",
        (
            Choice(
                "A quarter",
                "In one direction it would. In two, a wave is beyond the bound if either of its "
                "frequencies is.",
            ),
            Choice(
                "Nearly a half",
                "Yes: only the inner square of three quarters of the side lies below, and "
                "1 - 9/16 = 7/16, and a little more on a grid of 32 pixels.",
                right=True,
            ),
            Choice(
                "Three quarters",
                "The inner square holds 9/16 of all waves, so less than a half lies beyond.",
            ),
        ),
    ),
    Question(
        "04-under-the-mask",
        "Maps that know nothing of their digit score about 0. What do they score under a mask "
        "where x₁ and x₂ differ?",
        (
            Choice(
                "Still about 0",
                "The mask itself follows the strokes, and its border becomes an edge of the map.",
            ),
            Choice(
                "Clearly above 0",
                "Yes: what is measured then is the mask, which was made from x₁ and x₂.",
                right=True,
            ),
            Choice(
                "Below 0",
                "The mask adds edges that follow the strokes, so the score rises.",
            ),
        ),
    ),
    Question(
        "04-three-seeds",
        "Three trainings of one network on the same images, with other seeds. What differs?",
        (
            Choice(
                "The splits, but hardly the curves",
                "Yes: many maps serve the loss equally well, and the seed decides among them.",
                right=True,
            ),
            Choice(
                "The curves, and with them the splits",
                "The loss does not care which of many splits it gets, so the curves nearly "
                "coincide.",
            ),
            Choice(
                "Neither: the images are the same",
                "Nothing asks for a particular map, so the first weights decide.",
            ),
        ),
    ),
    Question(
        "04-dark-clothes",
        "A Split VAE draws clothes, some dark, some bright, and its map differs between them. Were "
        "the map the same constant for all, how much would their shades differ?",
        (
            Choice(
                "As much as before: σ only draws contours",
                "σ is larger where clothes are dark, and lets more of the dark x₁ through.",
            ),
            Choice(
                "Less, but they would still differ",
                "Yes: x₁ and x₂ are darker themselves where clothes are dark. The map adds to it.",
                right=True,
            ),
            Choice(
                "Not at all: the map alone makes the shade",
                "It looks so. But x₁ and x₂ are not equally bright for all clothes either.",
            ),
        ),
    ),
    Question(
        "04-rank-four",
        "x₁ alone, x₂ alone, their average, and x₁ and x₂ exchanged: which makes the largest "
        "error?",
        (
            Choice(
                "x₁ alone or x₂ alone",
                "Where the map chose this image it is right. Exchanged, no pixel comes from the "
                "image that was meant.",
            ),
            Choice(
                "The average",
                "It goes half of the way that exchanging goes.",
            ),
            Choice(
                "The exchanged ones",
                "Yes: exchanging goes twice as far from x as the average does.",
                right=True,
            ),
        ),
    ),
    Question(
        "04-sharper",
        "The map is made sharper than the model made it (t > 1), or softer (t < 1). Which lowers"
        " the error?",
        (
            Choice(
                "Sharper",
                "Where the map was using its freedom to mix, a harder choice costs.",
            ),
            Choice(
                "Softer",
                "That is a step towards the average of x₁ and x₂.",
            ),
            Choice(
                "Neither of them, or hardly",
                "Yes: the decoder was trained with its own map, so the minimum is close to t = 1.",
                right=True,
            ),
        ),
    ),
    Question(
        "04-maps-at-the-end",
        "Three maps are given to one digit, and sigma, x₁ and x₂ are fitted. How do the maps end?",
        (
            Choice(
                "As they began, for nothing asks for change",
                "They keep their pattern, but do not stay where they were.",
            ),
            Choice(
                "With less pattern, closer to 1/2",
                "There is a push the other way: whoever weighs more is corrected more, and so "
                "weighs more.",
            ),
            Choice(
                "With the same pattern, farther from 1/2",
                "Yes: nearly every pixel stays on its side of 1/2, and moves away from it.",
                right=True,
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "04-quiz-checkerboard",
        "sigma is a checkerboard of ones and zeros. What are its Nyquist share and its agreement "
        "with the contours of a digit?",
        (
            Choice(
                "1 and 0, for only neighbours differ",
                "Yes: all its energy is in the fastest wave, and after the blur no edge is left. "
                "So it is syntactic, and not semantic.",
                right=True,
            ),
            Choice(
                "1 and 1, for it is all edges",
                "The agreement looks at the blurred map, and blur leaves nothing of a "
                "checkerboard.",
            ),
            Choice(
                "1/2 and 0, for half of its pixels are 1",
                "The share counts the energy of waves, not pixels: here the fastest has all of it.",
            ),
            Choice(
                "0 and 0, for it is the same everywhere",
                "It changes from each pixel to the next: no wave is faster.",
            ),
        ),
    ),
    Question(
        "04-quiz-chance",
        "Maps of digit A agree with the contours of digit A by 0.6, and with those of other digits "
        "by 0.6. How semantic are they?",
        (
            Choice("0", "Yes: (0.6 - 0.6) / (1 - 0.6) = 0, no better than chance.", right=True),
            Choice("0.6", "The same agreement comes with digits that the map never saw."),
            Choice("1", "Agreement with one's own digit counts only above chance."),
        ),
    ),
    Question(
        "04-quiz-equal-loss",
        "A syntactic, a semantic and a constant split mix to the same x, from the same z. Which of "
        "them has the smallest loss?",
        (
            Choice(
                "The semantic one: it follows the content",
                "No term of the loss looks at what sigma follows.",
            ),
            Choice(
                "The constant one: its map has no structure",
                "No term of the loss has a price for a map.",
            ),
            Choice(
                "The syntactic one: its images complement each other",
                "Only their mixture is compared with the image, however it comes about.",
            ),
            Choice(
                "None: the three are equal",
                "Yes: the loss is a function of x and of the posterior.",
                right=True,
            ),
        ),
    ),
    Question(
        "04-quiz-who-decides",
        "What decides which kind of split a training ends with?",
        (
            Choice(
                "The loss, which prefers one kind",
                "It treats all splits of equal error alike.",
            ),
            Choice(
                "The images and their contours",
                "The same images gave different kinds with different seeds.",
            ),
            Choice(
                "The seed: first weights and chance",
                "Yes. How much of it the first weights decide is asked in the appendix, section 3.",
                right=True,
            ),
        ),
    ),
)
