"""Questions of notebook 08."""

from . import Choice, Number, Question

PREDICTIONS = (
    Question(
        "08-coverage",
        "Five scores, and an interval made with 1.96 in place of Student's quantile. How often "
        "does it cover the true mean?",
        Number(
            80,
            93,
            "Yes, less than 95 %: with five scores their spread is itself uncertain, and 1.96 "
            "does not allow for that.",
            "Less than 95 %, but not that much less: Student's quantile for five is 2.78.",
            "1.96 is too small for five scores: Student's quantile is 2.78. So it covers less "
            "than 95 %.",
            unit="per cent",
        ),
    ),
    Question(
        "08-exclude-zero",
        "Split VAE minus VAE, paired by seed: for how many of the four sources will the interval "
        "exclude 0, and for how many once Bonferroni has widened it for four questions?",
        (
            Choice("All four, and all four", "The bars overlap widely for most of them."),
            Choice(
                "One, and that one survives",
                "One is decided at 95 %. But with four questions the intervals grow by more than "
                "a half, and then it holds 0 as well.",
            ),
            Choice(
                "One, and none",
                "Yes: what was decided at 95 % may have been luck.",
                right=True,
            ),
        ),
    ),
    Question(
        "08-new-seeds",
        "Ten new seeds, at beta = 1 and 4. Will the difference that was hinted at come again at "
        "beta = 4?",
        (
            Choice(
                "Yes",
                "What is picked because it stands out looks larger than it is. It did not come "
                "again.",
            ),
            Choice(
                "No: undecided",
                "Yes. Luck is the simplest reading of the hint, if not a proven one.",
                right=True,
            ),
            Choice("It will turn round", "That would be as surprising as the hint itself."),
        ),
    ),
    Question(
        "08-more-probable",
        "Does the split make test digits more probable? Ten seeds of each model are asked.",
        (
            Choice("Clearly", "The interval holds 0."),
            Choice(
                "Not so that ten seeds could tell",
                "Yes: undecided.",
                right=True,
            ),
            Choice("It makes them clearly less probable", "The interval holds 0."),
        ),
    ),
    Question(
        "08-second-hint",
        "Another hint: reconstructions of the Split VAE with a lower FID. Will it stay with "
        "twenty new seeds, unlike the first one?",
        (
            Choice(
                "It will stay",
                "Yes: the first effect of the split in this course that new seeds confirm.",
                right=True,
            ),
            Choice(
                "It will vanish",
                "It stayed. A hint may be luck; new seeds decide.",
            ),
            Choice("It will turn round", "It kept its sign, with most of the twenty seeds."),
        ),
    ),
    Question(
        "08-halves",
        "Of all recorded seeds with a semantic split, with how many is the mean FID of x₁ and "
        "x₂ below that of x, for samples of the mixture?",
        (
            Choice("With most, as the paper finds", "With none of the recorded ones."),
            Choice("With about half, by chance", "With none of the recorded ones."),
            Choice(
                "With none or hardly any",
                "Yes, at this scale. What that says about the paper is another question.",
                right=True,
            ),
        ),
    ),
    Question(
        "08-photographs",
        "Photographs instead of digits, 64 latent variables instead of 16. Will the split help "
        "more?",
        (
            Choice(
                "Yes, clearly: blur costs more there",
                "By what scatters from seed to seed, the two are alike.",
            ),
            Choice(
                "No difference that five seeds can tell",
                "Yes: undecided in every column of x.",
                right=True,
            ),
            Choice(
                "No, it will do harm", "Neither: the two are alike within the scatter of seeds."
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "08-quiz-one-run",
        "One VAE scores 5.3, one Split VAE 4.9. Is the Split VAE better?",
        (
            Choice(
                "Yes: lower is better", "That run scored better. Another seed gives another score."
            ),
            Choice(
                "Yes, if both were trained from the same seed", "One common seed is still one seed."
            ),
            Choice(
                "No: differences below 1 never count",
                "They count where they are large beside the spread over seeds.",
            ),
            Choice(
                "One run of each cannot tell", "Yes: look at the spread over seeds.", right=True
            ),
        ),
    ),
    Question(
        "08-quiz-undecided",
        "A 95 % interval of a difference is -0.1 ± 0.4. What follows?",
        (
            Choice(
                "Nothing is decided, and differences beyond about 0.5 are unlikely",
                "Yes: undecided is not equal, but the interval says how large a difference could "
                "be.",
                right=True,
            ),
            Choice(
                "The two models are equal, and more seeds would only confirm it",
                "A difference of 0.4 is not excluded.",
            ),
            Choice("The first model is better, if only by about 0.1", "The interval holds 0."),
        ),
    ),
    Question(
        "08-quiz-best-seed",
        "Somebody reports the best of five seeds for a new model, and the mean of five for the old "
        "one. What is wrong?",
        (
            Choice("Nothing: the best seed can be had", "So can the old model's best seed."),
            Choice("Five seeds are too many", "More seeds only help, treated alike."),
            Choice(
                "Luck alone could put the new one ahead",
                "Yes: the lowest of five is lower than their mean for equal models, too.",
                right=True,
            ),
        ),
    ),
    Question(
        "08-quiz-observations",
        "Three betas for each of seven seeds, and the kind of split follows the seed. How many "
        "observations of the kind are that?",
        (
            Choice("21", "Runs of one seed share what decides. That is pseudo-replication."),
            Choice("7", "Yes: one seed, one observation.", right=True),
            Choice("3", "The betas share the seeds, not the other way round."),
        ),
    ),
    Question(
        "08-quiz-all-active",
        "In results/mnist-5k.json all latent variables are active, in every run of both models "
        "that did not die. What does it say about the claim that the split keeps more of them "
        "active?",
        (
            Choice(
                "It contradicts it: the split keeps no more",
                "Where the VAE has none to lose, the split has none to keep.",
            ),
            Choice("It supports it: the split keeps all", "So does the VAE."),
            Choice(
                "Nothing",
                "Yes: with none idle in either model there is nothing to compare. At this size the "
                "claim cannot be tested.",
                right=True,
            ),
        ),
    ),
)
