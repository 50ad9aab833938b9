# %% [markdown] tags=["slide"]
# # 9 · Beyond the paper
#
# **Objectives.** After this notebook you can
# - split an image into $K$ parts, and say what the softmax of the maps asks of each;
# - measure how many of the $K$ images a trained model really uses;
# - train on a folder of your own images, and name the traps on the way;
# - turn an open question about splits into a test that can fail;
# - say what diffusion models share with VAEs, what they cure, and at what price.
#
# **Prerequisites.** [Notebook 3](03_split_decoder.ipynb): the split decoder, and the gradient of its
# mixture. For section 6 also [notebook 6](06_sampling.ipynb): the aggregate posterior and its holes.
#
# **Time.** {{minutes}}
#
# {{versions}}

# %%
import itertools
import math
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

import svae_lib as sv
from svae_lib.data.toy_faces import FACTOR_NAMES
from svae_lib.support.files import embedded, read_json
from svae_lib.experiments.report import format_table
from svae_lib.experiments.tables import paired_difference, read_table, summarise

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
# pixel by pixel: the **softmax** makes of any $K$ numbers positive weights that sum to 1. The loss is
# the VAE's, on $x$; nothing is asked of a single $x_k$ or $w_k$.

# %% [markdown]
# ### Exercise 1: `mix_many`
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
# (The last line: the pushes on the $K$ maps of a pixel cancel, since a common shift does nothing.)
#
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
# **What do you expect?** Will the third image lower the error, leave it, or be ignored?

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

# %% [markdown]
# One seed each, and few steps: a small difference between the two errors means nothing yet. What
# would? Several seeds. The table `k-way` has them, for $K$ = 2, 3 and 4 on equal steps:

# %%
table = read_table(embedded("results/k-way.json"))
print("FID (LeNet) of x, 1,000 images; mean and 95 % interval over the seeds\n")
columns, rows = summarise(table)
print(format_table(columns, [row for row in rows if row[1] == "x"]))
for source in ("REC", "prior", "mixture"):
    gap = paired_difference(table, ("split-vae, K = 3", source, "x"), ("split-vae", source, "x"))
    print(f"{source:8} K = 3 minus K = 2, seed by seed: {gap}")

# %% [markdown]
# The mean for $K = 3$ is the lower one for every source, and every interval of the differences contains
# 0 ([notebook 8](08_reproduce_the_paper.ipynb)): three seeds do not tell.

# %% [markdown]
# **What do you expect?** Three images in one digit: will they be three parts, three copies, or two
# and a spare? Look.

# %%
sv.course.predict("09-three-parts")

# %%
sv.plots.split_rows(rebuilt[3], 8, originals=test, title="Test digits, split into three")

# %%
sv.plots.split_rows(rebuilt[2], 8, originals=test, title="The same digits, split into two")

# %% [markdown]
# Neither three copies nor three parts: one map takes the surroundings, as with two images, and the other
# two share the strokes, each more or less of them. (Which map does what is up to the seed.)

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

# %% [markdown]
# ### Exercise 2: `entropy`
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
# never exceeds global: entropy is concave, so the entropy of a mean is at least the mean of the
# entropies. And the trained models:

# %%
for K, out in rebuilt.items():
    contrast = sv.diagnostics.component_contrast(out.components).mean()
    mean_weights = ", ".join(f"{v:.2f}" for v in out.weights.mean(dim=(0, 2, 3, 4)))
    print(f"K = {K}: local {local_number(out.weights):.2f}, global {global_number(out.weights):.2f} "
          f"of {K}; mean weights {mean_weights}; mean |x_j - x_k| {contrast:.3f}")
    assert 1 <= local_number(out.weights) <= global_number(out.weights) + 1e-4 <= K + 1e-3

# %% [markdown]
# Read the last column too: weights say nothing where the images are **equal**. Three images of which
# two agree in each pixel can have an effective number near 3, and split into two. And on digits most
# pixels are black in every image; their weights are free, and count in the mean all the same. So look
# at the map of the entropy beside the digits: bright where several images mix.

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

# %% [markdown]
# ### Exercise 3: `centre_square`
#
# The largest square around the centre. Where it cannot lie exactly in the middle: round towards the
# top and the left.

# %%
def centre_square(image):
    """image (C, H, W) -> (C, S, S) with S = min(H, W)"""
    # BEGIN SOLUTION
    _, height, width = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, top : top + side, left : left + side]
    # END SOLUTION


centre_square = sv.exercises.check("centre_square", centre_square)

# %% [markdown]
# No pictures at hand? We write some: toy faces, drawn by the library, as upright PNG files with a
# coloured strip above and below, in two folders.

# %%
faces, _ = sv.data.draw_faces(60, seed=7, image_size=32)  # uint8 (60, 3, 32, 32)
root = Path(tempfile.mkdtemp())
strip = torch.tensor([230, 120, 20], dtype=torch.uint8).view(3, 1, 1).expand(3, 5, 32)
for number, face in enumerate(faces):
    upright = torch.cat((strip, face, strip), dim=1)  # (3, 42, 32)
    assert torch.equal(centre_square(upright), face)  # your crop finds the face again
    place = root / "faces" / ("one" if number % 2 else "two") / f"{number:03}.png"
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(upright.permute(1, 2, 0).numpy()).save(place)

mine = sv.data.load("folder:faces?size=32&channels=3&test=0.2", root=root)  # PATH relative to root
print(mine, mine.label_names)
sv.plots.image_grid(mine.train[:16], columns=8, title="Sixteen images of the folder, the strips gone")

# %% [markdown]
# The files are decoded once; the array is kept with the other prepared data and found again as long as
# the files stay as they are. A file that is no picture is refused by name, or left out on request:

# %%
(root / "faces" / "one" / "broken.png").write_bytes(b"no picture at all")
try:
    sv.data.load("folder:faces?size=32&test=0.2", root=root)
except sv.InputError as error:
    print("refused:", str(error).partition(":")[0])
else:
    raise AssertionError("a broken file must be refused")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    kept = sv.data.load("folder:faces?size=32&test=0.2&on_broken=skip", root=root)
print("warned:", said[0].message)
print(kept)
assert len(kept.train) + len(kept.test) == len(mine.train) + len(mine.test)

# %% [markdown] tags=["slide"]
# ### 4.1 Before you train on them
#
# - **How many?** The paper's sets have 50,000 to 200,000 images. With a few hundred a VAE learns
#   them by heart: watch the test error, not the training error.
# - **Alike enough?** Faces of one size in one place are one subject, holiday pictures are not. What
#   varies without need (place, size, light) costs latent variables.
# - **Near duplicates**, such as frames of one film, must not lie on both sides of the split: a test
#   image with a twin in training is no test. Make the folders `train` and `test` yourself then.
# - **Whose?** Licences, and the consent of people in the pictures.
#
# From the command line: `svae train --data "folder:PATH?size=32" --model.channels 3 --out runs/mine`.

# %% [markdown]
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
# Blurred, and not one face for all. Now compare the two errors: training clearly below test means that
# the model has begun to learn single images. So many parameters for so few images cannot end otherwise.

# %% [markdown] tags=["slide"]
# ### 4.2 Larger: toy faces at 64 by 64
#
# `toy-faces` has faces of $64 \times 64$ with known factors (pose, hair, light and others), drawn when
# they are loaded. Four times the pixels are four times the work, and one scale more in the decoder.

# %%
count = sv.course.pick(smoke=40, laptop=1500, gpu=8000)
portraits, _ = sv.data.draw_faces(count, seed=1)  # the first of what load("toy-faces") draws
held_out, _ = sv.data.draw_faces(10, seed=2)  # the first of its test part
print(tuple(portraits.shape), f"{len(FACTOR_NAMES)} factors:", ", ".join(FACTOR_NAMES[:9]), "...")
sv.plots.image_grid(portraits[:8], columns=8, title="Toy faces")

# %% [markdown]
# The preset `quick-faces` takes some minutes on two cores, too long to watch. So train for a moment,
# and put beside it what the course ships: the same network, trained to the preset's end.

# %%
large = sv.PRESETS["quick-faces"].model
plan = replace(few, steps=sv.course.pick(smoke=2, laptop=80, gpu=6000), batch_size=25)
artist = sv.build_model("split-vae", large, seed=0)
if TRAIN:
    trainer = sv.Trainer(artist, portraits, plan)
    trainer.fit()
    print(f"{plan.steps} steps of {plan.batch_size} images in {trainer.seconds:.0f} s")
else:
    sv.load_trained_weights(artist, "09-first-look")
paper = sv.PRESETS["celeba"].train
print(f"(the preset celeba: {paper.steps:,} steps of {paper.batch_size}, of a far wider model)")
portrait = sv.inference.reconstruct_all(artist, held_out)
sv.plots.split_rows(portrait, 2, originals=sv.data.to_float(held_out), title="Toy faces: a first look")

# %% [markdown]
# On a laptop this is a look and no result: the model has hardly begun. It shows what comes first (a
# place for the head, light and dark, some colour) and what is missing (eyes, strands, patterns). And
# the shipped model of the same network, trained on all 8,000 faces:

# %%
shipped = sv.inference.reconstruct_all(sv.load_trained("quick-faces", "split-vae"), held_out)
sv.plots.split_rows(
    shipped, 2, originals=sv.data.to_float(held_out), title="Toy faces: trained to the preset's end"
)

# %% [markdown]
# A head, hair and background of about the right colours, and no eyes. The preset is a short one.
# Another shipped model, `compact-faces`, is wider and was trained for longer:

# %%
wider = sv.inference.reconstruct_all(sv.load_trained("compact-faces", "split-vae"), held_out)
sv.plots.split_rows(
    wider, 2, originals=sv.data.to_float(held_out), title="Toy faces: wider, and trained for longer"
)

# %% [markdown]
# The colours come right, and here the two images differ in colour more than in shape. Eyes are still a
# blur: they are few pixels, and squared error pays little for them.
#
# The kind of split after a few steps need not be the one at the end, nor that of another network:

# %%
truth = sv.data.to_float(held_out)
errors = {}
for name, out in {"few steps": portrait, "quick-faces": shipped, "compact-faces": wider}.items():
    errors[name] = (out.x_hat - truth).square().mean()
    kind = sv.diagnostics.split_kind(out.sigma_map, truth, out.components)
    print(f"{name:13} MSE {errors[name]:.4f}, {kind}")
mean_face = sv.data.to_float(portraits).mean(dim=0)
one_for_all = (mean_face - truth).square().mean()
print(f"{'the mean face':13} MSE {one_for_all:.4f}")
assert errors["compact-faces"] < errors["quick-faces"] < one_for_all

# %% [markdown] tags=["slide"]
# ## 5. Open questions
#
# Each is a project. The middle column is the experiment, the right one what would speak *against* the
# idea: fix it before you look.
#
# | question | how to test it | against it |
# |---|---|---|
# | Does $K = 3$ beat $K = 2$? | equal steps and parameters, 5 seeds each; FID of samples, test ELBO | the interval of the differences, paired by seed, contains 0 |
# | Do more images mean fewer used ones? | $K = 2, 3, 4, 8$: global number and contrast against $K$ | the global number keeps up with $K$ |
# | What decides between syntactic and semantic? Sections 5.1 and 5.2 have a beginning | vary one thing at a time: `base_dim`, learning rate, kernel of the last layer, scale of the first weights; 10 seeds; `sv.diagnostics.split_kind` | the kinds are as frequent as before |
# | Can the kind be foreseen? | a measure of the *untrained* model (5.1 tries one), or of the model after 20 steps; 20 new seeds | it tells the later kinds apart no better than chance |
# | Does the split cause the better score, or the wider head? | a VAE whose head has as many parameters | it scores as well |
# | Can the kind be chosen? | start $\sigma$'s bias away from 0; or penalise differences of neighbouring $\sigma$ | the penalty worsens FID as soon as it has an effect |
# | Is $\sigma$ an edge detector? | agreement with contours beside that of *other* images' contours ([notebook 4](04_sigma_map.ipynb)) | chance agreement is as large |

# %% [markdown] tags=["slide"]
# ### 5.1 One of them, begun: weights or order?
#
# In the tables of [notebook 8](08_reproduce_the_paper.ipynb) the kind of a split follows the seed. A seed
# gives a model two things: its first weights, and the stream of batches and noise that it is trained on.
# Which of them decides? `scripts/weights_or_order.py` crosses four seeds for the one with four for the
# other. Its first lines say what was fixed before the first run: the measure *semantic*, and the share of
# its variance over the 16 runs that goes with either. Were all chance, these would be 3/15 each, and 9/15
# would be left.
#
# **What do you expect?** Rows are first weights, columns are orders. Will rows or columns be alike?

# %%
sv.course.predict("09-rows-or-columns")

# %%
crossed = read_json(embedded("results/weights_or_order.json"))
runs = {(run["weights"], run["order"]): run for run in crossed["runs"]}
weights, orders = (sorted(set(seeds)) for seeds in zip(*runs))
print(" " * 10, *(f"order {b:<5}" for b in orders))
for a in weights:
    print(f"weights {a}", *(f"{runs[a, b]['label']:11}" for b in orders))

grid = torch.tensor([[runs[a, b]["semantic"] for b in orders] for a in weights])
total = (grid - grid.mean()).square().sum()
shares = {
    "the first weights": len(orders) * (grid.mean(dim=1) - grid.mean()).square().sum() / total,
    "order and noise": len(weights) * (grid.mean(dim=0) - grid.mean()).square().sum() / total,
}
for name, share in (shares | {"neither": 1 - sum(shares.values())}).items():
    print(f"share of the variance that goes with {name:18} {share:.0%}")

# %% [markdown]
# The rows: mostly **the first weights decide**, before the first image is seen. Not alone, though: in two
# rows one order leads elsewhere. Sixteen runs, one small network, one data set: a beginning.

# %% [markdown]
# What is it in the first weights? [Notebook 4](04_sigma_map.ipynb), section 8.2, had a suspicion: the
# untrained map of seed 1 alternates most of all, and seed 1 became syntactic. Those were three seeds. With
# all that are recorded:
#
# **What do you expect?** Sorted by the untrained map's share near Nyquist, where will the syntactic ones
# stand?

# %%
sv.course.predict("09-untrained-map")

# %%
later = {}
for name in ("splits", "same-beta"):
    for cell in read_table(embedded(f"results/{name}.json"))["cells"]:
        if cell["split"] and cell["beta"] == 4:
            later.setdefault(cell["seed"], []).append(cell["split"]["label"])
for (seed, _), run in runs.items():
    later.setdefault(seed, []).append(run["label"])

untrained = []
for seed, labels in later.items():
    fresh = sv.build_model("split-vae", sv.PRESETS["quick"].model, seed).eval()
    sigma = sv.inference.reconstruct_all(fresh, sets.test[:50]).sigma_map
    share = sv.diagnostics.nyquist_share(sigma).mean().item()
    untrained.append((share, seed, ", ".join(labels)))
for share, seed, labels in sorted(untrained):
    print(f"share {share:.2f} before training, seed {seed:2}, later {labels}")

# %% [markdown]
# At both ends: *the more alternation before training, the sooner syntactic after it*, which three seeds
# suggested, is gone. (The semantic ones all stand in the middle. But that was found by looking at these
# seeds: others must test it.)

# %% [markdown] tags=["slide"]
# ### 5.2 Which of the weights?
#
# The next experiment divides the first weights in three: the **encoder**; the **decoder**, from the latent
# vector to its last residual block; and the **head**, the last convolution, which makes $\sigma$, $x_1$ and
# $x_2$ of the decoder's features. `scripts/which_weights.py` takes each from a seed of its own, the four of
# section 5.1: 64 combinations, all trained with one order and one noise. Fixed before the first run: a part
# that has more than half of the variance of *semantic* is called the one that decides; if none has, none is.
# Were all chance, each would have 3/63.
#
# **What do you expect?** The head is a tiny part of all weights, but $\sigma$ comes out of it. And can
# the encoder, which never sees $\sigma$, matter at all?

# %%
sv.course.predict("09-which-weights")

# %%
parts = ("encoder", "decoder", "head")
record = read_json(embedded("results/which_weights.json"))
found = {tuple(run[part] for part in parts): run["semantic"] for run in record["runs"]}
cube = torch.tensor([found[seeds] for seeds in itertools.product(weights, repeat=3)]).view(4, 4, 4)


def share_of(*names):
    """Share of the variance that the means over all other parts have."""
    others = [i for i, part in enumerate(parts) if part not in names]
    return (cube.mean(dim=others).var(correction=0) / cube.var(correction=0)).item()


for part in parts:
    print(f"share of the variance that goes with the {part:8} {share_of(part):.0%}")
print(f"with decoder and head together {share_of('decoder', 'head'):.0%}")
print("\nmean of the measure semantic: decoders in rows, heads in columns")
print("\n".join(" ".join(f"{value:6.2f}" for value in row) for row in cube.mean(dim=0)))
for a in weights:  # three parts of one seed are a run of section 5.1, to the last bit
    assert found[a, a, a] == runs[a, record["order"]]["semantic"]

# %% [markdown]
# No part has half, so **none decides alone**. The encoder has nothing to say. Decoder and head each have
# some; *together* they have most of it, far more than the sum of the two: it matters how a head fits the
# features that it finds. (This last number was not asked for beforehand; by chance it would be 15/63.) The
# die is cast where features are first turned into $\sigma$, $x_1$ and $x_2$, before any image is seen. Which
# property of the pair it is remains open.

# %% [markdown] tags=["slide"]
# ### 5.3 More questions, and how to answer one
#
# | question | how to test it | against it |
# |---|---|---|
# | Do the parts know the factors? | toy faces: predict each factor from $x_1$ and from $x_2$ by a linear model | both predict all factors alike |
# | Where does the error go? | squared error by distance from the next contour, VAE beside Split VAE | the profiles have one shape |
# | Does it help beyond squared error? | replace the loss by one on features; same split | the gain is gone |
#
# The way to an answer is always the same: one change at a time; several seeds, and their spread in the
# result; equal steps *and* equal parameters; a number fixed beforehand; test images that nothing was
# chosen on. [Notebook 8](08_reproduce_the_paper.ipynb) does it for the paper's own claims.

# %% [markdown] tags=["slide"]
# ## 6. Where this stands
#
# And why not diffusion? Because one has to know VAEs to see what a diffusion model is. The line of
# descent:
#
# - **Helmholtz machine** (1995): a network that generates and one that recognises, trained in turn.
#   The **VAE** (2013) trains both on one bound, the ELBO; reparameterisation made it possible.
# - **Hierarchies**: the Ladder VAE (2016) has layers of latent variables, and its encoder goes through
#   them from the top, as the decoder does. NVAE (2020) and the very deep VAE (2021) have dozens.
# - **VQ-VAE** (2017), and VQ-VAE-2 (2019) on several scales: the latent variables are indices into a
#   learned codebook. A prior of them is fitted *afterwards*: a second stage
#   ([notebook 6](06_sampling.ipynb), section 5).
# - **Diffusion** (2015, 2020): a VAE of very many latent layers, all as large as the image. The encoder
#   is fixed, it adds noise; one network, told the layer, decodes all of them. Its
#   first loss was an ELBO, that of 2020 a reweighted one; *Variational diffusion models* (2021) work
#   it out.
# - **Latent diffusion** (2022): a VAE as first stage, and a diffusion model as the prior of its $z$.

# %% [markdown] tags=["slide"]
# Blur, holes and collapse, the three troubles of this course, drove them all:
#
# | model | latent | prior | decoder's loss | meant to cure |
# |---|---|---|---|---|
# | VAE | a vector | $\mathcal{N}(0, I)$ | squared error | codes of an autoencoder cannot be drawn |
# | hierarchies | many layers, coarse to fine | each layer's given those above, learned | log-likelihood of the pixels | one simple prior for everything |
# | VQ-VAE | a grid of indices | autoregressive, fitted afterwards | squared error | collapse; holes |
# | diffusion | noisy images | $\mathcal{N}(0, I)$, matched by construction | squared error in each step | holes; blur |
# | latent diffusion | a small grid of numbers | diffusion, fitted afterwards | error of pixels and of a network's features, and an adversary | the first stage's blur; the cost of diffusion on pixels |
# | Split VAE | a vector | $\mathcal{N}(0, I)$, or a latent mixture | squared error of the mixture | a decoder that can give one answer only |
#
# Latent diffusion's first stage adds two judges to the error of pixels: **features** that notice missing
# detail (as FID's do, [notebook 7](07_fid.ipynb)), and an **adversary**, a network trained to tell
# outputs from images. Diffusion keeps squared error, and asks many small questions: what was the
# image *a little less noisy*? The answer is a mean again ([notebook 2](02_balancing_the_elbo.ipynb),
# section 1), but of possibilities that hardly differ.

# %% [markdown] tags=["slide"]
# ### 6.1 An encoder without parameters
#
# Let $t$ run from 0, the image, to 1. The image, scaled to $[-1, 1]$, fades while noise grows:
#
# $$q(z_t \mid x) = \mathcal{N}(\alpha_t (2x - 1),\; s_t^2 I), \qquad \alpha_t^2 + s_t^2 = 1 .$$
#
# It is a VAE's Gaussian posterior with $\mu = \alpha_t (2x - 1)$, but nothing in it is learned, and $z_t$
# has as many numbers as the image. We take $s_t = t$. (How noise grows is a choice; in the limit of
# many steps the bound depends on its two ends alone, says the paper of 2021.)

# %%
t = torch.linspace(0.02, 1, 50, dtype=torch.float64)
alpha = (1 - t.square()).sqrt()
x = 2 * test[0].double().flatten() - 1  # (D,) in [-1, 1]
mu = alpha[:, None] * x  # (50, D): each t is treated like an image of a batch
log_var = (2 * t.log())[:, None].expand_as(mu)
nats = sv.kl_divergence(mu, log_var)  # (50,)
noise = torch.randn(len(x), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
z = mu + t[:, None] * noise

# %% [markdown]
# **What do you expect?** Does the KL divergence of $q(z_t \mid x)$ from $\mathcal{N}(0, I)$ end at 0, or
# at some rest that tells of the digit? And where you can no longer read it, is it near 0 yet?

# %%
sv.course.predict("09-last-layer")

# %%
shown = [0, 14, 29, 39, 45, 47, 49]
figure = sv.plots.AltFigure(figsize=(9, 4.2), layout="constrained")
parts = figure.subplot_mosaic([shown, ["kl"] * len(shown)], height_ratios=[1, 1.7])
for i in shown:
    picture = ((z[i] + 1) / 2).clamp(0, 1).view(32, 32)
    parts[i].imshow(picture, cmap="gray", vmin=0, vmax=1)
    parts[i].set_title(f"$t$ = {t[i]:.2f}\n{nats[i]:.1f} nats", fontsize=9)
    parts[i].axis("off")
parts["kl"].plot(t, nats)
parts["kl"].plot(t[shown], nats[shown], "o")
parts["kl"].set(xlabel="$t$", ylabel="KL divergence (nats)", xlim=(0, 1.02))
sv.plots.show(figure, "A digit under growing noise, at the end noise alone; below, the KL divergence "
              "over t, which falls all the way and reaches 0 at t = 1.")
assert (nats.diff() < 0).all() and nats[-1].abs() < 1e-9

# %% [markdown]
# It ends at 0, for *every* image, since $\alpha_t = 0$ there. So the aggregate posterior of the last layer
# **is** the prior: no hole, and nothing had to be trained for it. Before the end, nats are left where the
# eye has given up: the KL divergence sums a little over all $D$ pixels.
#
# Is that not posterior collapse? The last layer alone tells nothing, and is not meant to. An encoder
# without parameters cannot give up its layers; what the image is comes in on the way back, step by
# step, and each step has a KL divergence of its own in the ELBO. The prices:
# - **many decoder calls** for one sample, where a VAE needs one;
# - in each, the network is handed what it made itself in the step before, not a draw from
#   $q(z_t \mid x)$: the gap between the two has moved there;
# - no short code: $z_t$ is noise and image, not a description of it.

# %% [markdown] tags=["slide"]
# ### 6.2 What VAEs are still for, and where the split sits
#
# - **First stages**: latent diffusion draws its $z$ from a better prior; decoding it is a VAE's work.
# - **Compression**: nats are the length of a message, and learned codecs are trained on rate and
#   distortion ([notebook 2](02_balancing_the_elbo.ipynb), section 6; Ballé et al., 2018).
# - **Representation**: a short $z$, from one call of the encoder.
# - **Likelihood bounds**, cheap to evaluate; and with them **anomaly detection**, with care: models
#   can give images of *another* data set the higher likelihood (Nalisnick et al., 2019).
#
# The Split VAE leaves latent, prior and loss as they are, and changes the last layer: a weighted sum of
# generated images, the weights a learned map. That is a mixture of experts in each pixel, of images
# and not of densities: the likelihood is still one Gaussian. So it competes with none of the rows above
# it. It could be the decoder of a hierarchy or of a first stage; whether it helps there, this course has
# not tested: one more question for section 5.

# %% [markdown] tags=["slide"]
# ## Recap
#
# - $K$ maps through a softmax weigh $K$ images; for $K = 2$ it is the paper's $\sigma$.
# - $\partial\,\mathrm{loss}/\partial a_k = g\, w_k (x_k - x)$: an image that is out stays out.
# - $e^{h}$ is the effective number of images: of the weights of a pixel (how many mix), of the mean
#   weights (how many have work). It means little where the images are equal.
# - Any folder is a data set; split it so that no test image has a twin in training.
# - An open question becomes a project once it is said what would speak against the idea.
# - Diffusion is a VAE of many layers with a fixed encoder: its last layer matches the prior by
#   construction, and a sample takes many decoder calls.
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

# %% [markdown]
# To section 6, in the order of the text:
#
# - P. Dayan, G. E. Hinton, R. M. Neal, R. S. Zemel, *The Helmholtz machine*, Neural Computation 7(5),
#   1995.
# - D. P. Kingma, M. Welling, *Auto-encoding variational Bayes*, ICLR 2014,
#   [arXiv:1312.6114](https://arxiv.org/abs/1312.6114).
# - C. K. Sønderby, T. Raiko, L. Maaløe, S. K. Sønderby, O. Winther, *Ladder variational autoencoders*,
#   NIPS 2016, [arXiv:1602.02282](https://arxiv.org/abs/1602.02282).
# - A. Vahdat, J. Kautz, *NVAE: a deep hierarchical variational autoencoder*, NeurIPS 2020,
#   [arXiv:2007.03898](https://arxiv.org/abs/2007.03898).
# - R. Child, *Very deep VAEs generalize autoregressive models and can outperform them on images*,
#   ICLR 2021, [arXiv:2011.10650](https://arxiv.org/abs/2011.10650).
# - A. van den Oord, O. Vinyals, K. Kavukcuoglu, *Neural discrete representation learning*, NIPS 2017,
#   [arXiv:1711.00937](https://arxiv.org/abs/1711.00937): VQ-VAE.
# - A. Razavi, A. van den Oord, O. Vinyals, *Generating diverse high-fidelity images with VQ-VAE-2*,
#   NeurIPS 2019, [arXiv:1906.00446](https://arxiv.org/abs/1906.00446).

# %% [markdown]
# - J. Sohl-Dickstein, E. A. Weiss, N. Maheswaranathan, S. Ganguli, *Deep unsupervised learning using
#   nonequilibrium thermodynamics*, ICML 2015, [arXiv:1503.03585](https://arxiv.org/abs/1503.03585).
# - J. Ho, A. Jain, P. Abbeel, *Denoising diffusion probabilistic models*, NeurIPS 2020,
#   [arXiv:2006.11239](https://arxiv.org/abs/2006.11239).
# - D. P. Kingma, T. Salimans, B. Poole, J. Ho, *Variational diffusion models*, NeurIPS 2021,
#   [arXiv:2107.00630](https://arxiv.org/abs/2107.00630).
# - R. Rombach, A. Blattmann, D. Lorenz, P. Esser, B. Ommer, *High-resolution image synthesis with latent
#   diffusion models*, CVPR 2022, [arXiv:2112.10752](https://arxiv.org/abs/2112.10752).
# - J. Ballé, D. Minnen, S. Singh, S. J. Hwang, N. Johnston, *Variational image compression with a scale
#   hyperprior*, ICLR 2018, [arXiv:1802.01436](https://arxiv.org/abs/1802.01436).
# - E. Nalisnick, A. Matsukawa, Y. W. Teh, D. Gorur, B. Lakshminarayanan, *Do deep generative models
#   know what they don't know?*, ICLR 2019, [arXiv:1810.09136](https://arxiv.org/abs/1810.09136).
