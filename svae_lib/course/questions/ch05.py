"""Questions of notebook 05."""

from . import Choice, Number, Question

PREDICTIONS = (
    Question(
        "05-formats",
        "1.002, 70,000 and 10⁻⁸ are stored as bf16 and as fp16. What becomes of them?",
        (
            Choice(
                "bf16 turns 1.002 into 1; fp16 loses the other two",
                "Yes: bf16 has the range and few digits; fp16 has digits, and ends at 65,504.",
                right=True,
            ),
            Choice(
                "bf16 loses the large and the small one; fp16 turns 1.002 into 1",
                "The other way round: bf16 has float32's range and few digits.",
            ),
            Choice(
                "Both lose all three",
                "Each keeps what it spends its bits on: bf16 the range, fp16 the digits.",
            ),
        ),
    ),
    Question(
        "05-sum-or-mean",
        "The loss may be a sum over the pixels divided by 2 gamma, or their mean. Which loses "
        "gradients in fp16?",
        (
            Choice(
                "The sum",
                "It is the larger one by 2¹⁴·⁶, and so are its gradients: far from the lower edge.",
            ),
            Choice(
                "The mean",
                "Yes: it is smaller by 2 gamma / D, about 2⁻¹⁴·⁶, and so are all its gradients.",
                right=True,
            ),
            Choice(
                "Both alike: a factor changes nothing",
                "fp16 turns what is below 3 · 10⁻⁸ into 0, so the factor decides.",
            ),
        ),
    ),
    Question(
        "05-eight-steps",
        "Launching a step takes Python 2 ms, computing it takes the GPU 3 ms. How long do 8 steps "
        "take if nobody looks at the loss?",
        Number(
            26,
            26,
            "Yes: one launch, then eight computations, which hide the other launches: 2 + 8 · 3.",
            "The GPU computes for 8 · 3 ms, and cannot begin before the first launch: 26 ms.",
            "The launches hide behind the computations, but for the first: 2 + 8 · 3 = 26 ms. "
            "Reading the loss in every step would make it 40.",
            unit="ms",
        ),
    ),
    Question(
        "05-clock",
        "The same steps are timed twice: waiting after each step, and waiting at the end only. "
        "Which rate is higher?",
        (
            Choice(
                "Waiting after each step, whatever the device",
                "Waiting keeps Python from running ahead, so it cannot be faster.",
            ),
            Choice(
                "Waiting at the end, if the device has a queue",
                "Yes: on a GPU launches hide behind computations. A CPU has no queue, and the "
                "two differ by chance.",
                right=True,
            ),
            Choice(
                "Neither, on any device: the work is the same",
                "The work is, but on a device with a queue the launches are hidden or not.",
            ),
        ),
    ),
    Question(
        "05-backward",
        "How many times the operations of a forward pass does a whole training step take?",
        Number(
            2.8,
            3,
            "Yes, nearly three: forward, the gradient of the weights, the gradient of the input. "
            "Only the first layer is spared the last.",
            "The backward pass takes two products for each of the forward pass's.",
            "The backward pass takes two products for each of the forward pass's: three in all.",
            unit="times",
        ),
    ),
    Question(
        "05-resumed",
        "A training is saved after 4 of 8 steps and goes on in a new trainer. Compared with one "
        "that never stopped, on a CPU, its final weights are",
        (
            Choice(
                "equal to the last bit",
                "Yes: the checkpoint holds all that the next step depends on.",
                right=True,
            ),
            Choice(
                "nearly equal",
                "That would mean that something was forgotten or rounded. Here nothing is.",
            ),
            Choice(
                "different",
                "So they would be with the weights alone: Adam's moments and gamma would start "
                "again.",
            ),
        ),
    ),
    Question(
        "05-parts",
        "The gradient of 24 images, whole and from parts. When are the two equal up to rounding?",
        (
            Choice(
                "Always: a mean is a mean of means",
                "Only if an image's loss depends on that image alone. BatchNorm in training mode "
                "looks at its companions, too.",
            ),
            Choice(
                "Where BatchNorm uses the statistics of the batch",
                "Smaller parts mean other companions, and other statistics.",
            ),
            Choice(
                "Where BatchNorm uses its stored statistics",
                "Yes: then each image's loss depends on that image alone.",
                right=True,
            ),
        ),
    ),
)
QUIZ = (
    Question(
        "05-quiz-scaling",
        "Why does fp16 need loss scaling, and bf16 does not?",
        (
            Choice(
                "fp16 has less range, so small gradients become 0",
                "Yes. bf16 has float32's range.",
                right=True,
            ),
            Choice(
                "fp16 has fewer digits, so gradients are rounded",
                "It has more digits than bf16, and less range.",
            ),
            Choice("bf16 is stored as float32, so nothing is lost", "It has 16 bits as well."),
        ),
    ),
    Question(
        "05-quiz-item",
        "A loop prints loss.item() in every step and is slow on a GPU. What helps most?",
        (
            Choice(
                "Summing the loss on the device, read now and then",
                "Yes: .item() makes Python wait for the device, which then runs dry.",
                right=True,
            ),
            Choice(
                "Printing to a file instead of the screen",
                "The waiting is in .item(), not in the printing.",
            ),
            Choice(
                "A smaller batch, so that steps are over sooner",
                "Steps get shorter, and launching counts for more.",
            ),
        ),
    ),
    Question(
        "05-quiz-checkpoint",
        "A checkpoint holds the weights and the number of the step. What will a resumed training "
        "with Adam show?",
        (
            Choice("The same curve as before", "Adam's moments would begin at 0 again."),
            Choice("An error", "Nothing notices: that is what makes it a trap."),
            Choice(
                "Often a jump in the loss",
                "Yes: moments, gamma and BatchNorm's statistics belong to the state, too.",
                right=True,
            ),
        ),
    ),
    Question(
        "05-quiz-five-percent",
        "Training reaches 5 % of the GPU's peak. Is that a bug?",
        (
            Choice(
                "Not necessarily",
                "Yes: a small model launches many short kernels, and BatchNorm, activations and "
                "Adam hardly compute. A profiler says where the time goes.",
                right=True,
            ),
            Choice(
                "Yes: a GPU at work is above 50 %", "Only large matrix products come near the peak."
            ),
            Choice(
                "Yes: the images do not come fast enough",
                "That may be, but this number does not say so. Measure it.",
            ),
            Choice(
                "No: the peak is for integers only",
                "The peak counts operations on floating-point numbers.",
            ),
        ),
    ),
)
