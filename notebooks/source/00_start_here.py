# %% [markdown] tags=["slide"]
# # 0 · Start here
#
# **Objectives.** After this notebook you can
# - say what your machine is able to do in this course, and how long it will take;
# - handle images as tensors: shape, range, bytes and floats;
# - name the simplest model of images, how wrong it is, and what its samples lack;
# - work with the course: predict, run, solve, ask for hints, stop a training.
#
# **Prerequisites.** Python, and having seen a PyTorch tensor.
#
# **Time.** {{minutes}}
#
# {{versions}}

# %% [markdown] tags=["slide"]
# ## 1. What this course is about
#
# A **variational autoencoder** (VAE) learns to draw new images from examples. Its pictures tend to be
# blurred. The **Split VAE** of Asperti, Bugo and Filippini changes one thing: its decoder draws *two*
# images and a map that mixes them. You will build both by hand, train them, look inside, and measure
# whether the second is better.
#
# Run the cells from top to bottom: Shift + Enter runs one and goes on to the next. The cell above
# this one has made sure that the course's library is installed; its name is `svae_lib`, `sv` for
# short.

# %%
import platform
import time
from dataclasses import replace

import torch

import svae_lib as sv

# %% [markdown]
# This is where it leads: ten garments that nobody made, drawn by a Split VAE that comes with the course and
# was trained for almost two hours. Each column is one answer of its decoder: the map, which goes by the name of
# $\sigma$ (sigma: how much of the first image a pixel takes, from 0 to 1), the images $x_1$ and $x_2$, and at
# the bottom their mixture. What the map is up to, and why not every image is a success, are questions
# for notebooks 3 to 6.

# %%
shipped = sv.load_trained("fashion-half-width", "split-vae")
sv.plots.split_rows(sv.sample_prior(shipped, 10, seed=2), 10, title="Clothes that nobody made")

# %% [markdown] tags=["slide"]
# ## 2. Your machine
#
# The notebooks adapt to it by a **profile**: *smoke* (the course's own tests), *laptop* (a processor,
# small models) or *gpu* (an NVIDIA card, a wider model and more steps). To force one, set the environment
# variable `SVAE_PROFILE` before you start Jupyter (on Colab: run `%env SVAE_PROFILE=laptop` first). The `budget` that goes with it names a model (a
# **preset**: a set of numbers for model and training) and how many steps it is trained; one step looks at
# one batch of images and corrects the model a little.

# %%
device = sv.devices.default_device()
print("Python   ", platform.python_version())
print("torch    ", torch.__version__, "with", torch.get_num_threads(), "threads")
print("svae_lib ", sv.__version__)
print("device   ", torch.cuda.get_device_name() if device.type == "cuda" else device.type)
print("profile  ", sv.course.profile())
print("budget   ", sv.course.budget())

assert tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 4), "torch 2.4 or newer is needed"

# %% [markdown]
# The longest wait is for training.
#
# **What do you expect?** The next cell takes twenty steps and extrapolates. Will one training of the
# model take a few seconds, minutes, or hours here?

# %%
sv.course.predict("00-minutes")

# %%
sets = sv.data.load("mnist-5k")
budget, preset = sv.course.budget(), sv.PRESETS[sv.course.budget().preset]
model = sv.build_model("split-vae", preset.model, seed=0)
trainer = sv.Trainer(model, sets.train, preset.train)

trainer.fit(3)  # the first steps are slower: memory is being reserved
started = time.perf_counter()
trainer.fit(17)
per_step = (time.perf_counter() - started) / 17
print(f"{sv.parameter_count(model):,} parameters, {preset.train.batch_size / per_step:,.0f} images/s")
print(f"{budget.steps} steps take about {budget.steps * per_step / 60:.1f} minutes on this machine")

# %% [markdown]
# Trained models come with the course, such as that of section 1, so nobody has to wait in a lecture.
# The times at the top of each notebook were measured.

# %% [markdown] tags=["slide"]
# ## 3. The data
#
# Two data sets come with the course and need no network. `mnist-5k` holds 5,000 digits of MNIST,
# written by hand and scanned. (Others are downloaded when you ask for them:
# `sv.data.available()` names them.)

# %%
print(sets)
print(sets.source)
sv.plots.image_grid(sets.train[:48], columns=12, title="Forty-eight of the training digits")

# %% [markdown]
# There are **training images**, from which models learn, and **test images**, which they never see
# while training: only these tell whether a model has understood or memorised. Keeping the two apart
# is harder than it sounds: [notebook 6](06_sampling.ipynb) shows how they get mixed up.

# %%
print("train:", tuple(sets.train.shape), sets.train.dtype, " test:", tuple(sets.test.shape))
print("range:", sets.train.min().item(), "to", sets.train.max().item())
print("labels of the first five:", sets.train_labels[:5].tolist())
assert sets.train.shape == (4000, 1, 32, 32) and sets.train.dtype == torch.uint8

# %% [markdown] tags=["slide"]
# ### 3.1 An image is a tensor
#
# The shape $(N, C, H, W)$ says: $N$ images, $C$ channels (1 for grey, 3 for red, green, blue), $H$ rows
# and $W$ columns. A pixel is a byte, `uint8`, from 0 (black) to 255 (white). Here is the middle of
# one digit, as a picture and as numbers.

# %%
digit = sets.train[:1]  # (1, 1, 32, 32): a slice keeps all four dimensions
print(digit[0, 0, 10:22, 10:22].numpy())
sv.plots.image_grid(
    digit[:, :, 10:22, 10:22], columns=1,
    alt="Twelve by twelve pixels from the middle of a digit, enlarged: bright strokes with grey edges "
    "on black.",
)

# %% [markdown]
# Bytes are good for storing: a quarter of the memory of floats. They are bad for computing.
#
# **What do you expect?** What is the byte 200 plus the byte 100? And what does a model do with
# bytes?

# %%
sv.course.predict("00-bytes")

# %%
byte = torch.tensor([200, 100], dtype=torch.uint8)
print("200 + 100 =", (byte[0] + byte[1]).item())
try:
    model.encode(digit)
except sv.InputError as error:
    print("InputError:", error)

# %% [markdown]
# A byte starts again at 0 after 255, without a warning. So the library refuses bytes where floats
# belong, with a sentence that says what to do. Its errors are meant to be read.

# %% [markdown] tags=["slide"]
# ### Exercise 1: `to_float`
#
# Your first exercise: turn bytes into `float32` numbers from 0 (black) to 1 (white). Write your code
# in place of `return None` and run the cell. If it is not right, the check says what your mistake
# looks like; if you get stuck, run `sv.exercises.hint("to_float", 1)` in a new cell, then 2, then 3.

# %%
def to_float(images):
    """images: uint8 (N, C, H, W), 0 to 255 -> float32 (N, C, H, W), 0 to 1"""
    # BEGIN SOLUTION
    return images.float() / 255
    # END SOLUTION


to_float = sv.exercises.check("to_float", to_float)

# %% [markdown]
# Whatever you wrote, the notebook goes on: with your function if it is right, else with the
# library's. So you may skip an exercise and come back. This is what a wrong answer looks like:

# %%
sv.exercises.check("to_float", lambda images: images.float() / 256);

# %%
x = to_float(sets.train)  # (4000, 1, 32, 32) in [0, 1]: what models see
assert x.dtype == torch.float32 and x.min() == 0 and x.max() == 1
assert torch.equal(sv.data.to_uint8(x), sets.train)  # and back again, without loss

# %% [markdown] tags=["slide"]
# ### 3.2 Why 32 pixels?
#
# MNIST's digits have 28x28 pixels; ours have a black border of two pixels more. The models halve an
# image four times, and 28 can be halved only twice: 28, 14, 7. But 32, 16, 8, 4, 2 works out.

# %%
inner = x[..., 2:-2, 2:-2]  # (4000, 1, 28, 28)
assert torch.equal(sv.data.pad(inner, 2), x)  # nothing but zeros was added
halves = [32]
while halves[-1] % 2 == 0:
    halves.append(halves[-1] // 2)
print("32 can be halved to", halves[1:])

# %% [markdown] tags=["slide"]
# ### 3.3 Faces drawn by code
#
# `toy-faces` stands in for photographs of faces: colour, 64x64 pixels, and 32 **factors** that were
# chosen at random for each face, such as where it looks. So we know what is in every picture.
# (`sv.data.load("toy-faces")` has 8,000 + 1,000 of them; we draw a few.)

# %%
faces, factors = sv.data.draw_faces(sv.course.pick(smoke=60, laptop=300, gpu=300), seed=1)
names = sv.data.toy_faces.FACTOR_NAMES
print(tuple(faces.shape), faces.dtype, "with factors", tuple(factors.shape))
print(", ".join(names))


def sorted_by(name):
    """Ten faces in the order of a factor, from its lowest to its highest value."""
    order = factors[:, names.index(name)].argsort()
    return faces[order[torch.linspace(0, len(order) - 1, 10).long()]]


sv.plots.image_rows(
    {name: sorted_by(name) for name in ("yaw", "skin_tone", "hair_length", "light_azimuth")},
    title="Toy faces, each row sorted by one factor",
)

# %% [markdown]
# A good model of these images would find such factors by itself. Watch the hair and the freckles, too:
# fine texture is what a VAE will blur first.

# %% [markdown] tags=["slide"]
# ## 4. The simplest model of all
#
# What does a digit look like *on average*? The **mean image** $\bar{x}$ is the mean over all training
# images, pixel by pixel; the **variance** of each pixel says how much images differ there.
#
# **What do you expect?** Picture both before you run the cell. Where is the variance high, and where
# exactly 0?

# %%
sv.course.predict("00-variance")

# %%
mean = x.mean(dim=0, keepdim=True)  # (1, 1, 32, 32)
variance = x.var(dim=0, keepdim=True, correction=0)
print(f"variance: largest {variance.max():.3f}, mean over the pixels {variance.mean():.4f}")
print(f"pixels that never change: {(variance == 0).sum().item()} of {variance.numel()}")
sv.plots.image_grid(
    torch.cat((mean, variance / variance.max())), columns=2, title="Mean; variance (largest: white)",
    alt="Left, the mean image: a soft grey blot with hints of an 8 or a 9. Right, the variance, scaled "
    "so that its largest value is white: a larger and brighter cloud. Both are black around.",
)

# %% [markdown]
# The variance is high where some digits have a stroke and others have none, and 0 in the padded
# border and in the corners, which no stroke reaches.
#
# As a model, the mean image answers "what will the next image be?" with the same blur for every
# image. How wrong is that? Two ways of adding up the squared error appear all over this course:
#
# - **per image**, summed over its pixels: $\|x - \bar{x}\|^2$, one number for each image;
# - **per pixel**, the mean over everything: the **mean squared error** (MSE), a single number.
#
# Their means differ by a factor $D = C \cdot H \cdot W$, here 1024, and confusing them is the most frequent
# mistake in code about VAEs.

# %% [markdown] tags=["slide"]
# ### Exercise 2: `errors_of_mean`
#
# Answer every image in `x` with the mean image of `x`. Return both errors as a tuple: the squared errors per
# image, of shape $(N,)$, then the MSE.

# %%
def errors_of_mean(x):
    """x: float (N, C, H, W) -> squared errors of the mean image, summed per image: (N,),
    and their mean squared error: a scalar tensor"""
    # BEGIN SOLUTION
    squares = (x - x.mean(dim=0)) ** 2
    return squares.flatten(1).sum(dim=1), squares.mean()
    # STUB: per_image = ...
    # STUB: mse = ...
    # STUB: return per_image, mse
    # END SOLUTION


errors_of_mean = sv.exercises.check("errors_of_mean", errors_of_mean)

# %%
per_image, mse = errors_of_mean(x)
print(f"per image: {per_image.mean():.1f} on average; per pixel: {mse:.4f}")
torch.testing.assert_close(per_image.mean(), mse * x[0].numel())  # the factor D
torch.testing.assert_close(mse, variance.mean())  # the MSE of the mean is the variance

easy, hard = per_image.argsort()[:6], per_image.argsort(descending=True)[:6]
sv.plots.image_rows(
    {"small error": sets.train[easy], "large error": sets.train[hard]}, columns=6,
    title="Thin digits are close to the mean image, thick ones far",
)

# %% [markdown] tags=["slide"]
# ### 4.1 Can it draw?
#
# Mean and variance make a complete model of images: every pixel is Gaussian, independent of all
# others. Drawing from it is one line.
#
# **What do you expect?** New digits, blurred digits, or something else?

# %%
sv.course.predict("00-independent-pixels")

# %%
generator = torch.Generator().manual_seed(0)
noise = torch.randn(10, 1, 32, 32, generator=generator)
by_pixel = (mean + variance.sqrt() * noise).clamp(0, 1)

by_class = torch.cat([x[sets.train_labels == k].mean(dim=0, keepdim=True) for k in range(10)])
answers = by_class[sets.train_labels]  # each image is answered with the mean of its own digit
class_mse = (x - answers).square().mean()
print(f"MSE: one mean {mse:.4f}, a mean for each digit {class_mse:.4f}")
assert class_mse < mse
sv.plots.image_rows({"independent pixels": by_pixel, "mean of each digit": by_class})

# %% [markdown]
# Noise: in a real digit neighbouring pixels depend on each other, since they belong to the same stroke.
# Now look at the second row. Knowing *which* digit it is makes the answer better, and still blurred, since
# every digit can be written in many ways. This is the idea of all that follows: a few hidden
# numbers, **latent variables**, say what the image is about; given them, the pixels can be drawn.
# A VAE finds such variables without labels.

# %% [markdown] tags=["slide"]
# ## 5. How to work with the course
#
# - **Predict.** Where a text asks *What do you expect?*, commit to an answer in the cell below it. Being
#   wrong is how you notice that you have learnt something.
#   If predictions are marked, write your reason into a Markdown cell above it that begins with `Prediction:`.
# - **Solve.** Exercises check themselves. Hints come in steps. The solved version of a notebook is
#   linked at its top.
# - **Change things.** Other numbers, other images; nothing can break. *Kernel > Restart* starts afresh.
# - **Stop.** Every training by the library stops at the stop button (■) and keeps what it has
#   learnt.

# %%
print(sv.course.progress())
sv.exercises.hint("errors_of_mean", 1)
print("This notebook's exercises:", ", ".join(sv.exercises.names("00_start_here")))

# %% [markdown] tags=["subslide"]
# ### 5.1 Seeds
#
# Models start from random numbers and see images in random order. A **seed** fixes them, so that the
# same code gives the same result: yours tomorrow, and on the same kind of machine your neighbour's.

# %%
first, second, other = (sv.build_model("vae", preset.model, seed=seed) for seed in (7, 7, 8))
same = [torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters())]
differ = [not torch.equal(p, q) for p, q in zip(first.parameters(), other.parameters())]
print(f"same seed: {sum(same)} of {len(same)} weight tensors equal; other seed: {sum(differ)} differ")
assert all(same) and any(differ)

# %% [markdown]
# The tensors that are equal for all seeds were never random: biases start at 0, and the scales of
# normalisation at 1.
#
# A single run proves little, though: another seed may tell another story. When this course compares
# models ([notebook 8](08_reproduce_the_paper.ipynb)), it does so over several seeds.

# %% [markdown] tags=["subslide"]
# ### 5.2 The stop button
#
# `fit` goes on where it stopped. Try it: raise `steps` to 2000, run the cell, press ■, and run
# it again.

# %%
steps = 5
before = trainer.step
trainer.fit(steps)
print(f"from step {before} to {trainer.step}")

# %% [markdown]
# ### 5.3 When something goes wrong
#
# Read the last line of the error first; the library's own are one sentence and say what to do. The
# next cell fails on purpose.

# %% tags=["raises-exception"]
sv.data.load("minst-5k")

# %% [markdown] tags=["slide"]
# ## 6. The map
#
# Arrows show the order; what a notebook needs is at its top, under **Prerequisites**.

# %%
sv.plots.course_map()

# %% [markdown]
# [1](01_vanilla_vae.ipynb) · [2](02_balancing_the_elbo.ipynb) · [3](03_split_decoder.ipynb) ·
# [4](04_sigma_map.ipynb) · [5](05_train_on_cuda.ipynb) · [6](06_sampling.ipynb) · [7](07_fid.ipynb) ·
# [8](08_reproduce_the_paper.ipynb) · [9](09_beyond_the_paper.ipynb) · [appendix](10_appendix.ipynb)
#
# The last two sections of 9 look back at 4 and 6. **Help**: the [glossary](../docs/glossary.md) explains
# every symbol and word, the [README](../README.md) how to install and run things, and `help(sv.SplitVAE)` any function
# or class in Python.

# %% [markdown] tags=["slide"]
# ## Recap
#
# - Images are tensors $(N, C, H, W)$: bytes on disk, floats in $[0, 1]$ in models.
# - An error may be summed per image or averaged per pixel; say which.
# - The mean image has the variance of the data as its MSE, and answers every question with a blur.
# - Independent pixels draw noise: a model must tie pixels together. Latent variables are one way.
# - Predict, run, solve; hints and solutions are there; the stop button is safe.

# %%
sv.course.quiz("00")

# %% [markdown]
# ## References
#
# - Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, *Gradient-based learning applied to document
#   recognition*, Proceedings of the IEEE 86, 1998: MNIST.
# - A. Asperti, L. Bugo, D. Filippini, *Enhancing variational generation through
#   self-decomposition*, IEEE Access 10, 2022, [arXiv:2202.02738](https://arxiv.org/abs/2202.02738).
