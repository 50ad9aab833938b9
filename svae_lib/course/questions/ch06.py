"""Questions of notebook 06."""

from . import Choice, Question

PREDICTIONS = (
    Question(
        "06-factor",
        "Samples from the prior look a little worse than reconstructions. By which factor is their "
        "FID (LeNet) worse?",
        (
            Choice("About 1.2", "The classifier minds more than the eye does."),
            Choice("About 2", "More than that: the next cell asserts it."),
            Choice(
                "Clearly more than 2",
                "Yes. The decoder can draw digits; the prior asks it the wrong questions.",
                right=True,
            ),
        ),
    ),
    Question(
        "06-clouds",
        "Each latent variable has about mean 0 and variance 1. Is the cloud of posterior draws "
        "round like the prior's?",
        (
            Choice(
                "Yes, in every plane, and the digits are mixed",
                "So it looks in two of its variables. Turned to another side, the same cloud "
                "shows territories.",
            ),
            Choice(
                "In some planes it is, in others the digits lie apart",
                "Yes: variance 1 in each variable says nothing of the shape.",
                right=True,
            ),
            Choice(
                "No: in every plane the digits lie apart",
                "In two single variables the digits overlap, and the cloud looks round.",
            ),
        ),
    ),
    Question(
        "06-near-and-far",
        "Prior draws are sorted by their distance to the nearest known latent vector. How do the "
        "farthest look, beside the nearest?",
        (
            Choice(
                "Less like digits",
                "Yes: in the holes the decoder mixes what it knows from all sides.",
                right=True,
            ),
            Choice(
                "The same: the prior is what the decoder was trained for",
                "It was trained with draws from the posteriors, and these leave holes.",
            ),
            Choice(
                "Like rarer digits",
                "Where no image was ever encoded, the decoder has not learnt any digit.",
            ),
        ),
    ),
    Question(
        "06-more-components",
        "More and more components in the mixture: what does the log-likelihood do?",
        (
            Choice(
                "It rises on both the fitted and the held-out vectors",
                "A component with few vectors fits their accidents, which others do not have.",
            ),
            Choice(
                "It rises on the fitted vectors, and turns on the held-out ones",
                "Yes: where a component has too few vectors to estimate a covariance from.",
                right=True,
            ),
            Choice(
                "It turns on both",
                "On the vectors fitted to, more components are never worse.",
            ),
        ),
    ),
    Question(
        "06-fid-and-likelihood",
        "The held-out likelihood was best at a number of components in the middle. Is FID best "
        "there, too?",
        (
            Choice(
                "Yes: both measure the fit",
                "They ask different questions. A forgotten place costs likelihood dearly, and "
                "FID hardly notices.",
            ),
            Choice(
                "No, FID is best with one component",
                "One Gaussian is hardly better than the prior.",
            ),
            Choice(
                "No, it goes on falling with more components",
                "Yes: narrower components bring samples closer to training images, where the "
                "decoder is good.",
                right=True,
            ),
        ),
    ),
    Question(
        "06-leak",
        "A mixture that has seen the reference scores too well. When is the harm largest, as a "
        "share of the score?",
        (
            Choice(
                "With many components, so few vectors for each",
                "Yes: about a point of FID each time, of a score that falls.",
                right=True,
            ),
            Choice(
                "With few components, so many vectors for each",
                "About a point of FID as well, but of a score that is higher.",
            ),
            Choice(
                "It is the same for every number of components",
                "In points of FID, nearly; as a share of the score it grows.",
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "06-quiz-holes",
        "The same decoder makes good reconstructions and poor samples from the prior. Why?",
        (
            Choice(
                "The prior draws latent vectors of a kind that no image led to",
                "Yes: where the prior puts mass and the aggregate posterior does not, the decoder "
                "has learnt nothing.",
                right=True,
            ),
            Choice(
                "Reconstructions are made from mu, without noise",
                "With noise, drawn from the posterior, they stay good.",
            ),
            Choice(
                "It has learnt its images by heart",
                "It reconstructs test images as well, which it never saw.",
            ),
            Choice(
                "It is too small for sampling",
                "It is as small for reconstructions. And a larger one is not trained at these "
                "places either.",
            ),
        ),
    ),
    Question(
        "06-quiz-variance",
        "Every latent variable satisfies the variance law. Is the aggregate posterior then the "
        "prior?",
        (
            Choice("Yes", "Two clouds can have the same variances and different shapes."),
            Choice(
                "No: width is not shape",
                "Yes. There can be holes in a cloud of variance 1.",
                right=True,
            ),
            Choice("Only if all variables are active", "Activity says nothing of the shape."),
        ),
    ),
    Question(
        "06-quiz-narrow",
        "A mixture has one narrow component for each training image. What about FID, held-out "
        "likelihood, and the novelty of its samples?",
        (
            Choice(
                "All three are good",
                "Its samples are reconstructions of training images: nothing is new.",
            ),
            Choice(
                "FID is good, the other two are bad",
                "Yes: FID does not ask for novelty, and new latent vectors lie far from all narrow "
                "components.",
                right=True,
            ),
            Choice(
                "FID and likelihood are good, nothing is new",
                "Between narrow components, where new latent vectors lie, the density is tiny.",
            ),
            Choice(
                "All three are bad",
                "FID takes reconstructions of training images for about the best that the decoder "
                "can do.",
            ),
        ),
    ),
    Question(
        "06-quiz-copy",
        "One component for each training image, and a splendid FID. What would tell that nothing"
        " is new?",
        (
            Choice(
                "How near the samples are to training images",
                "Yes: samples clearly nearer than test images are copies.",
                right=True,
            ),
            Choice(
                "FID on ten times as many images",
                "FID compares distributions. Copies of all training images have the right one.",
            ),
            Choice(
                "The reconstruction error of test images",
                "It belongs to the decoder, not to the mixture.",
            ),
        ),
    ),
    Question(
        "06-quiz-fit-on",
        "On which images should the mixture be fitted, if FID's reference are the test images?",
        (
            Choice("On the training images", "Yes: nothing of the reference leaks.", right=True),
            Choice("On the test images", "Then the score is flattered: the mixture has seen them."),
            Choice("On both", "Half a leak is a leak."),
        ),
    ),
)
