# %% [markdown] tags=["slide"]
# # 9 · Beyond the paper
#
# **Objectives.** After this notebook you can
# - split an image into $K$ parts, and say what the softmax of the maps asks of each;
# - measure how many of the $K$ images a trained model really uses;
# - train on a folder of your own images, and name the traps on the way;
# - turn an open question about splits into a test that can fail;
# - build a small diffusion model for latent vectors, and score it against a mixture and a second stage.
#
# **Prerequisites.** [Notebook 3](03_split_decoder.ipynb): the split decoder, and the gradient of its
# mixture. For section 6 also [notebook 6](06_sampling.ipynb): the aggregate posterior and its holes.
#
# **Time.** {{minutes}}
#
# {{versions}}

# %%
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import nn

import svae_lib as sv
from svae_lib.experiments.tables import Estimate, paired_difference, read_table
from svae_lib.support.files import embedded

TRAIN = True  # False: load weights that come with the course instead of training
budget = sv.course.budget()
learning = sv.course.profile() != "smoke"  # the smoke profile trains too little to learn
preset = sv.PRESETS[budget.preset]
sets = sv.data.load("mnist-5k")
test = sv.data.to_float(sets.test[: budget.test_images])  # (N, 1, 32, 32) in [0, 1]
print("profile:", sv.course.profile())

# %% [markdown] tags=["slide"]
# ## 1. K images
#
# The paper splits into two. With $K$ images $x_1, \dots, x_K$ and as many maps of logits
# $a_1, \dots, a_K$ the mixture is
#
# $$x = \sum_{k=1}^{K} w_k \odot x_k, \qquad w_k = \frac{e^{a_k}}{\sum_j e^{a_j}},$$
#
# pixel by pixel: the **softmax** turns any $K$ numbers into positive weights that sum to 1. The loss is
# the VAE's, on $x$; nothing is asked of a single $x_k$ or $w_k$.
#
# ### Exercise 1: `mix_many` (5 minutes, ★)
#
# A map has no channels; its weight serves all colours of a pixel.

# %%
def mix_many(maps, images):
    """logits (N, K, H, W), images (N, K, C, H, W), float64 or float32 -> (N, C, H, W), alike"""
    # BEGIN SOLUTION
    weights = maps.softmax(dim=1).unsqueeze(2)  # (N, K, 1, H, W)
    return (weights * images).sum(dim=1)
    # END SOLUTION


mix_many = sv.exercises.check("mix_many", mix_many)

# %% [markdown]
# Two things to know about the softmax. Adding the same number to all $K$ maps changes nothing, so
# one map is superfluous. And for $K = 2$ it is the paper's $\sigma$, as a function of the difference:
#
# $$w_1 = \frac{e^{a_1}}{e^{a_1} + e^{a_2}} = \frac{1}{1 + e^{-(a_1 - a_2)}} = \mathrm{sigmoid}(a_1 - a_2).$$

# %%
generator = torch.Generator().manual_seed(0)
maps = torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64)
images = torch.rand(2, 3, 3, 8, 8, generator=generator, dtype=torch.float64)

shift = torch.randn(2, 1, 8, 8, generator=generator, dtype=torch.float64)
torch.testing.assert_close(mix_many(maps + shift, images), mix_many(maps, images))

sigma = torch.sigmoid(maps[:, :1] - maps[:, 1:2])
by_sigma = sigma * images[:, 0] + (1 - sigma) * images[:, 1]
torch.testing.assert_close(mix_many(maps[:, :2], images[:, :2]), by_sigma)

# %% [markdown] tags=["slide"]
# ### 1.1 What the gradient asks for
#
# Let $g = \partial\,\mathrm{loss} / \partial x$ in one pixel and channel. From
# $\partial w_j / \partial a_k = w_j (\delta_{jk} - w_k)$, where $\delta_{jk}$ is 1 for $j = k$ and 0
# otherwise, follows
#
# $$
# \frac{\partial\,\mathrm{loss}}{\partial x_k} = g\, w_k, \qquad
# \frac{\partial\,\mathrm{loss}}{\partial a_k} = g \sum_j \frac{\partial w_j}{\partial a_k} x_j
# = g\, w_k\, (x_k - x) .
# $$
#
# A map serves all channels: with several, what they ask of $a_k$ adds up.
#
# - A map is pushed up where its image lies on the right side **of the mixture**.
# - Everything is multiplied by $w_k$: an image that is hardly used learns slowly, and its map as
#   well. **Whoever is out stays out**, the more so the more competitors there are.

# %%
leaves = maps.clone().requires_grad_(), images.clone().requires_grad_()
x = mix_many(*leaves)
g = torch.randn(x.shape, generator=generator, dtype=torch.float64)
by_autograd = torch.autograd.grad(x, leaves, grad_outputs=g)

w = maps.softmax(dim=1).unsqueeze(2)  # (N, K, 1, H, W)
d_images = g.unsqueeze(1) * w
d_maps = (g.unsqueeze(1) * w * (images - x.detach().unsqueeze(1))).sum(dim=2)  # over the channels
torch.testing.assert_close(by_autograd[0], d_maps)
torch.testing.assert_close(by_autograd[1], d_images)
torch.testing.assert_close(d_maps.sum(dim=1), torch.zeros_like(d_maps[:, 0]), atol=1e-9, rtol=0)

# %% [markdown]
# ### 1.2 In the library
#
# `sv.ModelConfig(components=K)` makes a Split VAE whose head has $K + KC$ channels, $K$ maps and $K$
# images; for $K = 2$ it keeps the paper's single map, $1 + 2C$.

# %%
for K in (2, 3, 4):
    shape = replace(preset.model, components=K)
    network = sv.build_model("split-vae", shape, seed=0).eval()
    with torch.no_grad():
        out = network.decode(sv.sampling.prior_latents(2, shape.latent_dim, seed=0))
    channels = network.head_channels(shape)
    assert channels == (1 if K == 2 else K) + K * shape.channels
    torch.testing.assert_close(out.weights.sum(dim=1), torch.ones(2, 1, 32, 32))
    torch.testing.assert_close(mix_many(out.weights.squeeze(2).log(), out.components), out.x_hat)
    print(f"K = {K}: {channels} channels, weights {tuple(out.weights.shape)}, "
          f"{sv.parameter_count(network):,} parameters")

# %% [markdown] tags=["slide"]
# ## 2. Two or three, on equal steps
#
# The same digits in the same order, the same noise, learning rate and number of steps, one seed. (With
# `TRAIN = False`: two models of the preset `quick`, trained for longer.)
#
# **What do you expect?** Will the third image lower the error on test images clearly, hardly, or raise it?

# %%
sv.course.predict("09-third-image")

# %%
steps = sv.course.pick(smoke=10, laptop=300, gpu=budget.steps)
settings = replace(preset.train, steps=steps, warmup_steps=min(40, steps // 2), grad_clip=1.0)
models, history = {}, {}
for K, name in ((2, "quick"), (3, "quick-3-way")):
    if TRAIN:
        models[K] = sv.build_model("split-vae", replace(preset.model, components=K), settings.seed)
        history[f"K = {K}"] = sv.train(models[K], sets.train[: budget.train_images], settings)
    else:
        models[K] = sv.load_trained(name, "split-vae")
        history[f"K = {K}"] = sv.checkpoints.trained_history(name, "split-vae")
sv.plots.training_curves(history, ("mse", "kl"), title="Splits into two and three")

# %%
seen = sets.test[: budget.test_images]
rebuilt = {K: sv.inference.reconstruct_all(model, seen) for K, model in models.items()}
for K, out in rebuilt.items():
    mse = (out.x_hat - test).square().mean()
    each = [(out.components[:, k] - test).square().mean() for k in range(K)]
    alone = ", ".join(f"x{k + 1} {error:.4f}" for k, error in enumerate(each))
    print(f"K = {K}: test MSE of the mixture {mse:.4f}; of the images alone: {alone}")
if learning:
    one_image_for_all = (test - test.mean(dim=0)).square().mean()
    assert all((out.x_hat - test).square().mean() < one_image_for_all for out in rebuilt.values())

table = read_table(embedded("results/k-way.json"))
errors = {(cell["variant"], cell["seed"]): cell["test_mse"] for cell in table["cells"]}
for K in (3, 4):
    many, two = f"split-vae, K = {K}", "split-vae"
    gaps = [error - errors[two, seed] for (name, seed), error in errors.items() if name == many]
    fid = paired_difference(table, (many, "mixture", "x"), (two, "mixture", "x"))
    print(f"K = {K} minus K = 2, {len(gaps)} seeds: test MSE {Estimate.of(gaps)}, "
          f"FID (LeNet) of samples {fid}")

# %% [markdown]
# One seed each, and few steps: a small difference between our two errors means nothing yet. The last lines
# are from the table `k-way`: several seeds on equal steps, and with each of them the difference of the
# errors (mean and 95 % interval, [notebook 8](08_reproduce_the_paper.ipynb)). There the error of three images
# is lower by a few per cent, but the interval contains 0: three seeds do not tell. Nor do they in FID.
#
# **What do you expect?** Three maps share the pixels of one digit: a part for each, equal shares
# everywhere, or something else? Look.

# %%
sv.course.predict("09-three-parts")

# %%
three = rebuilt[3]
maps = {f"map {k + 1}": three.weights[:, k] for k in range(3)}
images = {f"$x_{k + 1}$": three.components[:, k] for k in range(3)} | {"$x$ (mix)": three.x_hat}
title = "Test digits, split into three"
sv.plots.show(sv.plots.image_rows({"original": test} | maps, columns=8, maps=list(maps), title=title))
sv.plots.image_rows(images, columns=8, title="Their three images, and the mixture")

# %% [markdown]
# Neither parts nor equal shares: one map takes the surroundings, as with two images, and the other two share
# the strokes, each more or less of them. The three images are whole digits all the same. (Another seed may
# give maps that alternate: one of three recorded ones did.)

# %% [markdown] tags=["slide"]
# ## 3. How many are used?
#
# A model with three images need not use three. Two questions must be kept apart:
# - **locally**: how many images mix in *one pixel*?
# - **globally**: how many have any work at all, *over all pixels*?
#
# Both can be measured by **entropy**. Of weights $w_1, \dots, w_K$ that sum to 1 it is
#
# $$h(w) = -\sum_k w_k \log w_k ,$$
#
# 0 when one weight is 1, and $\log K$ when all are equal. So $e^{h}$ lies between 1 and $K$: the
# **effective number** of images. (A weight of exactly 0 contributes 0, the limit of $w \log w$.)
#
# ### Exercise 2: `entropy` (10 minutes, ★★)
#
# In nats, for each pixel. Mind the zeros. Hints: `sv.exercises.hint("entropy", 1)`.

# %%
def entropy(weights):
    """weights (N, K, 1, H, W), summing to 1 over K -> (N, 1, H, W)"""
    # BEGIN SOLUTION
    return -torch.xlogy(weights, weights).sum(dim=1)
    # END SOLUTION


entropy = sv.exercises.check("entropy", entropy)

# %%
def local_number(weights):
    """How many images mix in a pixel: exp of the mean entropy of the pixels, 1 to K."""
    return entropy(weights).mean().exp().item()


def global_number(weights):
    """How many images have work: exp of the entropy of the mean weights, 1 to K."""
    return entropy(weights.mean(dim=(0, 3, 4), keepdim=True)).exp().item()


# %% [markdown]
# **What do you expect?** Local and global number of: a checkerboard of ones and zeros; a map that is
# $\frac12$ everywhere; a map that is 1 everywhere?

# %%
sv.course.predict("09-local-global")

# %%
rows = torch.arange(16)
board = ((rows[:, None] + rows) % 2).float()
for name, sigma in {"checkerboard": board, "one half": torch.full((16, 16), 0.5),
                    "all ones": torch.ones(16, 16)}.items():
    weights = torch.stack((sigma, 1 - sigma))[None, :, None]  # (1, 2, 1, 16, 16)
    print(f"{name:13} local {local_number(weights):.2f}   global {global_number(weights):.2f}")
    assert local_number(weights) <= global_number(weights) + 1e-6

# %% [markdown]
# The checkerboard hands each pixel to one image, and employs both; one half mixes everywhere. Local
# never exceeds global: entropy is concave. And the trained models:

# %%
for K, out in rebuilt.items():
    contrast = sv.diagnostics.component_contrast(out.components).mean()
    mean_weights = ", ".join(f"{v:.2f}" for v in out.weights.mean(dim=(0, 2, 3, 4)))
    print(f"K = {K}: local {local_number(out.weights):.2f}, global {global_number(out.weights):.2f} "
          f"of {K}; mean weights {mean_weights}; mean |x_j - x_k| {contrast:.3f}")
    assert 1 <= local_number(out.weights) <= global_number(out.weights) + 1e-4 <= K + 1e-3

# %% [markdown]
# Read the last column too: weights say nothing where the images are **equal**. On digits most pixels are
# black in every image; their weights are free, and count in the mean all the same. So look at the map of
# the entropy beside the digits: bright where several images mix.

# %%
out = rebuilt[3]
spread = out.components.amax(dim=1) - out.components.amin(dim=1)  # (N, 1, H, W)
sv.plots.image_rows(
    {
        "test digit": test,
        "entropy / log 3": entropy(out.weights) / math.log(3),
        "spread of the x": spread,
    },
    columns=10,
    maps=["entropy / log 3", "spread of the x"],
    title="Where three images mix, and where it matters",
    alt="Three rows: test digits, the entropy of their three weights relative to its maximum, and the "
    "largest difference between the three images.",
)

# %% [markdown]
# Along the edges of strokes both maps are bright: images that differ are mixed there. Where the entropy
# alone is bright, images that agree are mixed, and nothing comes of it.

# %% [markdown] tags=["slide"]
# ## 4. Your own images
#
# `sv.data.load("folder:PATH?size=32&channels=3&test=0.2")` takes any folder. Folders in it are
# classes; a share of each class becomes the test part (unless there are folders `train` and `test`).
# Each picture is cut to its **central square** and resized; nothing is squeezed.
#
# No pictures at hand? We write some: toy faces, drawn by the library, as upright PNG files with a
# coloured strip above and below, in two folders.

# %%
faces, _ = sv.data.draw_faces(60, seed=7, image_size=32)  # uint8 (60, 3, 32, 32)
root = Path(tempfile.mkdtemp())
strip = torch.tensor([230, 120, 20], dtype=torch.uint8).view(3, 1, 1).expand(3, 5, 32)
for number, face in enumerate(faces):
    upright = torch.cat((strip, face, strip), dim=1)  # (3, 42, 32)
    place = root / "faces" / ("one" if number % 2 else "two") / f"{number:03}.png"
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(upright.permute(1, 2, 0).numpy()).save(place)

mine = sv.data.load("folder:faces?size=32&channels=3&test=0.2", root=root)  # PATH relative to root
print(mine, mine.label_names)
sv.plots.image_grid(mine.train[:16], columns=8, title="Sixteen images of the folder, the strips gone")

# %% [markdown]
# The files are decoded once; the array is kept, and found again as long as the files stay as they are. A
# file that is no picture is refused by name, or left out on request (`&on_broken=skip`):

# %%
(root / "faces" / "one" / "broken.png").write_bytes(b"no picture at all")
try:
    sv.data.load("folder:faces?size=32&test=0.2", root=root)
except sv.InputError as error:
    print("refused:", str(error).partition(":")[0])
else:
    raise AssertionError("a broken file must be refused")

# %% [markdown] tags=["slide"]
# ### 4.1 Before you train on them
#
# - **How many?** The paper's sets have 50,000 to 200,000 images. With a few hundred a VAE learns
#   them by heart: watch the test error, not the training error.
# - **Alike enough?** What varies without need (place, size, light) costs latent variables.
# - **Near duplicates**, such as frames of one film, must not lie on both sides of the split: a test
#   image with a twin in training is no test. Make the folders `train` and `test` yourself then.
# - **Whose?** Licences, and the consent of people in the pictures.
#
# From the command line: `svae train --data "folder:PATH?size=32" --model.channels 3 --out runs/mine`.
#
# **What do you expect?** A Split VAE trained on *these few* faces for a moment: sharp faces, blurred
# ones, or the same face for all?

# %%
sv.course.predict("09-few-faces")

# %%
shape = replace(sv.PRESETS["quick"].model, channels=3)
steps = sv.course.pick(smoke=5, laptop=100, gpu=1000)
few = replace(settings, steps=steps, batch_size=16, warmup_steps=5)
own = sv.build_model("split-vae", shape, seed=0)
if TRAIN:
    sv.train(own, mine.train, few)
else:
    sv.load_trained_weights(own, "09-few-faces")
parts = {"training": mine.train, "test": mine.test}
out = {name: sv.inference.reconstruct_all(own, part) for name, part in parts.items()}
for name, part in parts.items():
    print(f"{name:9} MSE {(out[name].x_hat - sv.data.to_float(part)).square().mean():.4f}")
originals = sv.data.to_float(parts["test"])
sv.plots.split_rows(out["test"], 6, originals=originals, title="Own images: test part")

# %% [markdown]
# Blurred, and not one face for all. Compare the two errors: training clearly below test means that
# the model has begun to learn single images. So many parameters for so few images cannot end otherwise.
# Now the other end: faces of $64 \times 64$, and a model that comes with the course, trained for a long time
# on `toy-faces-32k`, many thousand faces (the table `faces` of the [results](../results/README.md)).

# %%
held_out, _ = sv.data.draw_faces(100, seed=2)  # the first of the test part
wider = sv.load_trained("faces", "split-vae")
portrait, truth = sv.inference.reconstruct_all(wider, held_out), sv.data.to_float(held_out)
kind = sv.diagnostics.split_kind(portrait.sigma_map, truth, portrait.components)
mean_face = truth.mean(dim=0)
print(f"MSE {(portrait.x_hat - truth).square().mean():.4f}, {kind}")
print(f"MSE of the mean face {(mean_face - truth).square().mean():.4f}")
assert (portrait.x_hat - truth).square().mean() < 0.5 * (mean_face - truth).square().mean()
sv.plots.split_rows(portrait, 6, originals=truth, title="Toy faces of 64 by 64, after a long training")

# %% [markdown] tags=["slide"]
# ## 5. Open questions
#
# Each is a project. The middle column is the experiment, the right one what would speak *against* the
# idea: fix it before you look.
#
# | question | how to test it | against it |
# |---|---|---|
# | Does $K = 3$ beat $K = 2$? | equal steps and parameters, 5 seeds each; FID of samples, test ELBO | the paired interval excludes a gain named beforehand |
# | Do more images mean fewer used ones? | $K = 2, 3, 4, 8$: global number and contrast against $K$ | the global number keeps up with $K$ |
# | What decides between syntactic and semantic? The [appendix](10_appendix.ipynb), section 3, has a beginning | vary one thing at a time: `base_dim`, learning rate, kernel of the last layer, scale of the first weights; 10 seeds; `sv.diagnostics.split_kind` | the kinds are as frequent as before |
# | Can the kind be foreseen? | a measure of the *untrained* model, or of the model after 20 steps; 20 new seeds | it tells the later kinds apart no better than chance |

# %% [markdown] tags=["subslide"]
# | question | how to test it | against it |
# |---|---|---|
# | Does the split cause the better *REC*, or the wider head? | a VAE whose head has as many parameters | it scores as well |
# | Can the kind be chosen? | start $\sigma$'s bias away from 0; or penalise differences of neighbouring $\sigma$ | the penalty worsens FID as soon as it has an effect |
# | Is $\sigma$ an edge detector? | agreement with contours beside that of *other* images' contours ([notebook 4](04_sigma_map.ipynb)) | chance agreement is as large |
# | Do the parts know the factors? | toy faces: predict each factor from $x_1$ and from $x_2$ by a linear model | both predict all factors alike |
# | Where does the error go? | squared error by distance from the next contour, VAE beside Split VAE | the profiles have one shape |
# | Does it help beyond squared error? | replace the loss by one on features; same split | *REC* gains nothing |
#
# The way to an answer is always the same: one change at a time; several seeds, and their spread in the
# result; equal steps *and* equal parameters; a number fixed beforehand; test images that nothing was
# chosen on. [Notebook 8](08_reproduce_the_paper.ipynb) does it for the paper's own claims.

# %% [markdown] tags=["slide"]
# ## 6. And why not diffusion?
#
# A **diffusion model** is a VAE of very many layers with an encoder that is not trained: it adds noise. In a
# latent diffusion model the data are the vectors $z$ of a first stage. Let $t$ run from 0, where $z$ is, to
# 1, where nothing of it is left:
#
# $$q(z_t \mid z) = \mathcal{N}(\alpha_t z,\; s_t^2 I), \qquad \alpha_t^2 + s_t^2 = 1, \qquad s_t = t .$$
#
# At $t = 1$ every $z$ ends in $\mathcal{N}(0, I)$, so the aggregate posterior of the last layer **is** the
# prior: no holes ([notebook 6](06_sampling.ipynb)), and nothing had to be trained for it. What is trained is
# the way back: one network, told $t$, that guesses $z$ from $z_t$. Its loss is the squared error, so its
# best answer is a **mean** ([notebook 2](02_balancing_the_elbo.ipynb), section 1) of all $z$ that may have led
# to $z_t$: at $t = 1$ the mean of everything, near $t = 0$ hardly uncertain.
#
# We build one, as one more way to draw latent vectors of the shipped Split VAE.
#
# ### Exercise 3: `denoising_loss` (10 minutes, ★★)
#
# Noise schedule and loss: make $z_t$ of $z$ and the noise, let the network guess, and compare with $z$. Return
# the mean of the squared errors over all numbers, a scalar tensor.

# %%
def denoising_loss(denoise, z, t, noise):
    """denoise: z_t (N, L), t (N, 1) -> a guess of z (N, L); z, noise (N, L) -> mean squared error"""
    # BEGIN SOLUTION
    z_t = (1 - t.square()).sqrt() * z + t * noise
    return (denoise(z_t, t) - z).square().mean()
    # END SOLUTION


denoising_loss = sv.exercises.check("denoising_loss", denoising_loss)

# %% [markdown]
# ### Exercise 4: `sample_diffusion` (15 minutes, ★★★)
#
# The way back, without new noise in between (Song and others, 2021): at each time the guess of $z$ also says
# which noise $z_t$ holds, $(z_t - \alpha_t\, \mathrm{guess}) / s_t$. Put guess and noise together again
# with the $\alpha$ and $s$ of the next time, and go on.

# %%
def sample_diffusion(denoise, noise, times):
    """denoise as in exercise 3: it takes t as (N, 1); noise (N, L), where it begins;
    times (T + 1,), falling from 1 to 0 -> vectors (N, L)"""
    # BEGIN SOLUTION
    z = noise
    for now, then in zip(times, times[1:]):
        guess = denoise(z, now.expand(len(z), 1))
        held = (z - (1 - now.square()).sqrt() * guess) / now  # the noise in z
        z = (1 - then.square()).sqrt() * guess + then * held
    return z
    # STUB: z = noise
    # STUB: for now, then in zip(times, times[1:]):
    # STUB:     guess = ...
    # STUB: return ...
    # END SOLUTION


sample_diffusion = sv.exercises.check("sample_diffusion", sample_diffusion)

# %%
first = sv.load_trained("quick", "split-vae")
mu, log_var = sv.inference.encode_all(first, sets.train)  # (4000, L)
L = mu.shape[1]
middle, scale = mu.mean(dim=0), (mu.var(dim=0) + log_var.exp().mean(dim=0)).sqrt()


class Denoiser(nn.Module):
    """Guesses z (N, L) from z_t (N, L) and t (N, 1)."""

    def __init__(self, width=256):
        super().__init__()
        sizes = [L + 1, width, width, width, L]
        layers = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*layers[:-1])  # no activation at the end

    def forward(self, z_t, t):
        return self.layers(torch.cat((z_t, t), dim=1))


torch.manual_seed(0)
denoiser = Denoiser()

# %%
def train_denoiser(steps, batch=200):
    """Mean loss of each hundredth part of the training."""
    optimiser = torch.optim.Adam(denoiser.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(mu), (batch,))
        z = mu[rows] + torch.randn(batch, L) * (0.5 * log_var[rows]).exp()  # a draw from q(z | x)
        z, t, noise = (z - middle) / scale, torch.rand(batch, 1), torch.randn(batch, L)
        loss = denoising_loss(denoiser, z, t, noise)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return torch.tensor(losses).view(100, -1).mean(dim=1)


if TRAIN:
    losses = train_denoiser(sv.course.pick(smoke=100, laptop=3000, gpu=6000))
    print(f"mean squared error: {losses[0]:.2f} at first, {losses[-1]:.2f} at the end")
else:
    sv.load_trained_weights(denoiser, "09-denoiser")

# %% [markdown]
# **What do you expect?** From the same noise, once in a single step from $t = 1$ to 0, once in many: what
# will the decoded digits look like?

# %%
sv.course.predict("09-steps")

# %%
noise = torch.randn(len(sets.test), L, generator=torch.Generator().manual_seed(0))


def draw(steps):
    """Latent vectors (N, L) by so many steps, on the scale of the first stage."""
    with torch.no_grad():
        return sample_diffusion(denoiser, noise, torch.linspace(1, 0, steps + 1)) * scale + middle


draws = {steps: draw(steps) for steps in (1, 3, 10, 50)}
sv.plots.image_rows(
    {f"steps: {steps}": sv.inference.decode_all(first, z[:11]).x_hat for steps, z in draws.items()},
    columns=11,
    title="One start, the way back in 1 to 50 steps",
)

# %% [markdown]
# One step: pale averages of many digits, section 1 of notebook 2 again. (A perfect denoiser would give one and
# the same.) With more steps each question is a smaller one, and most answers become digits. That is the price of diffusion: **many calls of the network**
# for one sample, where a VAE needs one.
#
# **What do you expect?** Latent vectors from the prior, a mixture, a second stage (as in notebook 6) and from
# here, in fifty steps: which images score worst?

# %%
sv.course.predict("09-four-sources")

# %%
count = sv.course.pick(smoke=100, laptop=1000, gpu=1000)
network, test_set = sv.fid.network("lenet"), sets.test[:count]
stage = sv.SecondStage(L, seed=0)
sv.load_trained_weights(stage, "06-second-stage")
mixture = sv.LatentMixture(sv.course.pick(smoke=5, laptop=20, gpu=20), seed=0).fit(mu)
sources = {
    "prior": sv.sampling.prior_latents(count, L, seed=0),
    "second stage": stage.sample(count, seed=0),
    "mixture": mixture.sample(count, seed=0),
} | {f"diffusion, steps: {steps}": z[:count] for steps, z in draws.items()}
scores, nearest = {}, {}
for name, z in sources.items():
    images = sv.inference.decode_all(first, z).x_hat
    scores[name] = sv.fid.fid(images, test_set, network, reference_name="mnist-5k test").value
    nearest[name] = torch.cdist(z, mu).min(dim=1).values.median().item()  # to a training image's mean
    print(f"{name:22} FID (LeNet) {scores[name]:6.1f}   to the nearest mean {nearest[name]:.2f}")
if learning:
    best = min(scores["diffusion, steps: 10"], scores["diffusion, steps: 50"])
    assert scores["mixture"] < best < scores["second stage"] < scores["prior"]

# %%
sv.plots.score_bars(
    [{"label": name, "value": value} for name, value in scores.items()],
    xlabel=f"FID (LeNet), {count} images against the test images, lower is better",
    title="One decoder, latent vectors from four sources",
)

# %% [markdown]
# With enough steps the denoiser is behind the mixture (in so few dimensions, with few vectors to learn
# from, some Gaussians are hard to beat), and ahead of the second stage, with twice as many layers of that
# width and as many steps. One seed each; all three were fitted to training images only.
# Diffusion is made for what a mixture cannot do, data of many thousand dimensions. There it is the second
# stage of latent diffusion (2022), whose first stage is a VAE trained with two further judges, features and
# an adversary, against blur.
#
# And the Split VAE? It leaves latent, prior and loss as they are and changes the last layer. It could be the
# decoder of such a first stage; whether it helps there, this course has not tested. Where the other models of
# this family stand is on [a page of its own](../docs/where_this_stands.md).

# %% [markdown] tags=["slide"]
# ## Recap
#
# - $K$ maps through a softmax weigh $K$ images; for $K = 2$ it is the paper's $\sigma$.
# - $\partial\,\mathrm{loss}/\partial a_k = g\, w_k (x_k - x)$: an image that is out stays out.
# - $e^{h}$ is the effective number of images: of the weights of a pixel (how many mix), of the mean
#   weights (how many have work). It means little where the images are equal.
# - Any folder is a data set; split it so that no test image has a twin in training.
# - An open question becomes a project once it is said what would speak against the idea.
# - A diffusion model guesses means, too, but of ever smaller doubts: its last layer is the prior by
#   construction, and a sample takes many calls of the network.
#
# All symbols of the course are in the [glossary](../docs/glossary.md).

# %%
sv.course.quiz("09")

# %% [markdown]
# ## References
#
# - A. Asperti, L. Bugo, D. Filippini, *Enhancing variational generation through
#   self-decomposition*, IEEE Access 10, 2022,
#   [arXiv:2202.02738](https://arxiv.org/abs/2202.02738): the split into two; its code is
#   [asperti/Split-VAE](https://github.com/asperti/Split-VAE).
# - R. A. Jacobs, M. I. Jordan, S. J. Nowlan, G. E. Hinton, *Adaptive mixtures of local experts*,
#   Neural Computation 3(1), 1991: softmax gates, and how experts starve.
# - M. O. Hill, *Diversity and evenness: a unifying notation and its consequences*, Ecology 54(2),
#   1973: the exponential of entropy as an effective number.
# - J. Ho, A. Jain, P. Abbeel, *Denoising diffusion probabilistic models*, NeurIPS 2020,
#   [arXiv:2006.11239](https://arxiv.org/abs/2006.11239).
# - J. Song, C. Meng, S. Ermon, *Denoising diffusion implicit models*, ICLR 2021,
#   [arXiv:2010.02502](https://arxiv.org/abs/2010.02502): the sampler of section 6.
# - R. Rombach and others, *High-resolution image synthesis with latent diffusion models*, CVPR 2022,
#   [arXiv:2112.10752](https://arxiv.org/abs/2112.10752).
