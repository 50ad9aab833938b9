# %% [markdown] tags=["slide"]
# # 3 · The split decoder
#
# **Objectives.** After this notebook you can
# - build the Split VAE's decoder, and name what each of its channels is;
# - derive the gradient of the mixture, and say what it does and does not ask for;
# - explain why infinitely many splits give the same image, and what then decides between them;
# - train a VAE and a Split VAE on equal terms, and look at a first split.
#
# **Prerequisites.** [Notebook 1](01_vanilla_vae.ipynb): encoder, decoder, loss; the chain rule.
#
# **Time.** {{minutes}}
#
# {{versions}}

# %%
from dataclasses import replace

import torch
import torch.nn.functional as F

import svae_lib as sv

TRAIN = True  # False: load the trained models in section 4 instead of training them
budget = sv.course.budget()
learning = sv.course.profile() != "smoke"  # the smoke profile trains too little to learn
sets = sv.data.load("mnist-5k")
test = sv.data.to_float(sets.test[: budget.test_images])  # (N, 1, 32, 32) in [0, 1]
print("profile:", sv.course.profile())

# %% [markdown] tags=["slide"]
# ## 1. Two images and a map
#
# A VAE's decoder turns a latent vector $z$ into one image. The **Split VAE** (SVAE) turns it into
# two images $x_1$, $x_2$ and a map $\sigma$ (`sigma_map`) with values in $(0, 1)$, and answers with
# their mixture, pixel by pixel:
#
# $$x = \sigma \odot x_1 + (1 - \sigma) \odot x_2 .$$
#
# ($\odot$ multiplies element by element; in code, `*`.)
#
# Everything else stays a VAE: the same encoder, the same loss, computed on $x$ alone. In this notebook
# $x$ is the mixture, the decoder's answer, which notebook 1 called $\hat{x}$; the library calls it
# `x_hat`. Here is a trained one, with a boot that it draws from a random $z$:

# %%
drawn = sv.sample_prior(sv.load_trained("fashion-half-width", "split-vae"), 10, seed=1)
boot = (drawn.sigma_map[6], drawn.x1[6], drawn.x2[6], drawn.x_hat[6])
sv.plots.split_head(1, example=boot)

# %% [markdown]
# ### Exercise 1: `mix`
#
# One $\sigma$ serves all colour channels of a pixel: its shape is $(N, 1, H, W)$, that of an image
# $(N, C, H, W)$. Hints: `sv.exercises.hint("mix", 1)`.

# %%
def mix(sigma, x1, x2):
    """sigma: (N, 1, H, W); x1, x2: (N, C, H, W) -> (N, C, H, W)"""
    # BEGIN SOLUTION
    return sigma * x1 + (1 - sigma) * x2
    # END SOLUTION


mix = sv.exercises.check("mix", mix)

# %% [markdown] tags=["slide"]
# ### 1.1 Two splits made by hand
#
# Take a digit and split it in two ways, so that the mixture is the digit again.
# - **By pixels**: $\sigma$ is a checkerboard of ones and zeros; $x_1$ keeps the digit where $\sigma$
#   is 1, $x_2$ where it is 0, and elsewhere each may hold *anything*, here grey.
# - **By content**: $x_1$ is the digit drawn too thick, $x_2$ the digit drawn too thin, and $\sigma$
#   chooses between them where they differ.

# %%
ink = test.mean(dim=(1, 2, 3))
digit = test[ink.argsort(descending=True)[len(test) // 20 :][:3]]  # three with thick strokes
rows = torch.arange(32)
board = ((rows[:, None] + rows) % 2).float().expand(3, 1, 32, 32)
pixels = board, board * digit + (1 - board) * 0.5, (1 - board) * digit + board * 0.5

thick = F.max_pool2d(digit, 3, stride=1, padding=1)  # brightest neighbour
thin = -F.max_pool2d(-digit, 3, stride=1, padding=1)  # darkest neighbour
sigma = (digit - thin) / (thick - thin).clamp(min=1e-6)  # solves the mixture for sigma
content = sigma, thick, thin

for split in (pixels, content):
    torch.testing.assert_close(mix(*split), digit)
assert (sigma[digit > 0.9] > 0.5).float().mean() > 0.8 and sigma[digit < 0.1].max() < 0.2

# %%
sv.plots.image_rows(
    {
        r"$\sigma$ map": torch.cat((pixels[0], content[0])),
        "$x_1$": torch.cat((pixels[1], content[1])),
        "$x_2$": torch.cat((pixels[2], content[2])),
        "$x$ (mix)": torch.cat((mix(*pixels), mix(*content))),
    },
    columns=6,
    maps=[r"$\sigma$ map"],
    title="Left: split by pixels. Right: split by content",
    alt="Three digits split in two ways. Left, sigma is a checkerboard, x1 and x2 are digits with every "
    "second pixel grey. Right, x1 is a thick and x2 a thin digit, and sigma is the stroke, dark again "
    "where x1 = x2. The mixtures below are the same digits on both sides.",
)

# %% [markdown]
# The paper meets both kinds in trained networks and calls them **syntactic** (neighbouring pixels
# alternate) and **semantic** ($x_1$ and $x_2$ are variations of the content).
# [Notebook 4](04_sigma_map.ipynb) measures which is which.

# %% [markdown] tags=["slide"]
# ## 2. Nothing asks for a split
#
# The loss looks at $x$ only. A grey pixel of $x$ is one number, made from three. So whole families of
# splits give the same image and hence the same loss:
# - **Swap**: $(\sigma, x_1, x_2)$ and $(1 - \sigma, x_2, x_1)$ are indistinguishable.
# - **No split**: $x_1 = x_2 = x$ with any $\sigma$ whatever.
# - **A continuum**: choose $\sigma$ and $x_1$ freely; then $x_2 = (x - \sigma x_1) / (1 - \sigma)$
#   does it, as long as it lies in $(0, 1)$.
#
# In the language of statistics, $\sigma$, $x_1$ and $x_2$ are not **identifiable** from $x$.

# %%
generator = torch.Generator().manual_seed(0)
sigma = torch.rand(4, 1, 8, 8, generator=generator)
x1, x2 = 0.1 + 0.8 * torch.rand(2, 4, 3, 8, 8, generator=generator)
x = mix(sigma, x1, x2)

torch.testing.assert_close(mix(1 - sigma, x2, x1), x)  # swapped
torch.testing.assert_close(mix(sigma, x, x), x)  # not split at all
nudged = x1 + 0.01 * (1 - sigma)  # another x1 ...
partner = (x - sigma * nudged) / (1 - sigma)  # ... and the x2 that goes with it
assert 0 < partner.min() and partner.max() < 1
torch.testing.assert_close(mix(sigma, nudged, partner), x)

# %% [markdown] tags=["slide"]
# ### 2.1 The gradient, worked out
#
# What does training ask of the three, then? Let $g = \partial \mathrm{loss} / \partial x$ be the
# gradient that arrives at a pixel of the mixture (in one channel). From
# $x = \sigma x_1 + (1 - \sigma) x_2$ the three derivatives are
#
# $$
# \frac{\partial x}{\partial \sigma} = x_1 - x_2, \qquad
# \frac{\partial x}{\partial x_1} = \sigma, \qquad
# \frac{\partial x}{\partial x_2} = 1 - \sigma,
# $$
#
# and the chain rule multiplies each by $g$. With $C$ channels, $\sigma$ acts on all of them, so
# their requests to it add up:
#
# $$
# \frac{\partial \mathrm{loss}}{\partial \sigma} = \sum_{c=1}^{C} g_c\, (x_{1,c} - x_{2,c}), \qquad
# \frac{\partial \mathrm{loss}}{\partial x_{1,c}} = g_c\, \sigma, \qquad
# \frac{\partial \mathrm{loss}}{\partial x_{2,c}} = g_c\, (1 - \sigma).
# $$

# %% [markdown]
# #### Exercise 2: `mix_gradients`
#
# Write the backward pass of the mixture by hand: the three formulas above.

# %%
def mix_gradients(grad_x, sigma, x1, x2):
    """grad_x, x1, x2: (N, C, H, W); sigma: (N, 1, H, W)
    -> gradients of the loss: (N, 1, H, W), (N, C, H, W), (N, C, H, W)"""
    # BEGIN SOLUTION
    d_sigma = (grad_x * (x1 - x2)).sum(dim=1, keepdim=True)
    d_x1 = grad_x * sigma
    d_x2 = grad_x * (1 - sigma)
    return d_sigma, d_x1, d_x2
    # STUB: d_sigma = ...
    # STUB: d_x1 = ...
    # STUB: d_x2 = ...
    # STUB: return d_sigma, d_x1, d_x2
    # END SOLUTION


mix_gradients = sv.exercises.check("mix_gradients", mix_gradients)

# %% [markdown]
# Autograd must agree, for any incoming gradient:

# %%
leaves = [t.clone().requires_grad_() for t in (sigma, x1, x2)]
grad_x = torch.randn(x.shape, generator=generator)
by_autograd = torch.autograd.grad(mix(*leaves), leaves, grad_outputs=grad_x)
by_hand = mix_gradients(grad_x, sigma, x1, x2)
for name, hand, auto in zip(("sigma", "x1", "x2"), by_hand, by_autograd):
    torch.testing.assert_close(hand, auto)
    print(f"d loss / d {name:5} agrees, shape {tuple(hand.shape)}")

# %% [markdown] tags=["slide"]
# ### 2.2 Reading the gradient
#
# - Where $x_1 = x_2$, $\sigma$ gets **no gradient**: there is nothing to choose.
# - Where $\sigma$ is near 1, $x_1$ gets nearly all of $g$, and $x_2$ nearly none: **whoever is not
#   used is not corrected**, and may look like anything there.
# - $x_1$ and $x_2$ are pushed in the **same direction**, against $g$, but not equally far: the one that
#   weighs more moves more. So $x_1 - x_2$ moves by $-g\, (2 \sigma - 1)$, apart in one pixel and together
#   in another.
#
# **What do you expect?** The next cell needs no network. For a *single* digit it makes free numbers, called
# **logits**, which a sigmoid turns into $\sigma$, $x_1$ and $x_2$, and fits them by gradient descent on
# $\|x - \text{digit}\|^2$. It starts from all zeros, then from random logits of standard deviation 0.1, 1
# and 3. In which of the four do $x_1$ and $x_2$ still differ at the end?

# %%
sv.course.predict("03-which-starts-split")

# %%
def fit_one(target, spread, steps=300, step_size=2.0):
    """Gradient descent on the logits of one split; returns sigma, x1, x2, each (1, 1, H, W)."""
    generator = torch.Generator().manual_seed(0)
    logits = [spread * torch.randn(target.shape, generator=generator) for _ in range(3)]
    for _ in range(steps):
        logits = [a.detach().requires_grad_() for a in logits]
        loss = (mix(*map(torch.sigmoid, logits)) - target).square().sum()
        slopes = torch.autograd.grad(loss, logits)
        logits = [a - step_size * slope for a, slope in zip(logits, slopes)]
    return [torch.sigmoid(a).detach() for a in logits]


splits = {spread: fit_one(test[3:4], spread) for spread in (0.0, 0.1, 1.0, 3.0)}
parts = list(zip(*splits.values()))  # all sigmas, all x1, all x2

# %%
parts = [torch.cat(part) for part in parts]
sv.plots.image_rows(
    {r"$\sigma$ map": parts[0], "$x_1$": parts[1], "$x_2$": parts[2], "$x$ (mix)": mix(*parts)},
    maps=[r"$\sigma$ map"],
    above=[f"spread {spread:g}" for spread in splits],
    title="One digit, fitted from random logits",
    alt="Four columns, one per spread of the starting logits. Spread of sigma, and mean |x1 - x2|: "
    + "; ".join(f"{s.std():.2f}, {(a - b).abs().mean():.2f}" for s, a, b in splits.values()),
)

# %%
for spread, (sigma_fit, x1_fit, x2_fit) in splits.items():
    sigma_0, x1_0, x2_0 = fit_one(test[3:4], spread, steps=0)  # where it began
    error = (mix(sigma_fit, x1_fit, x2_fit) - test[3:4]).square().mean().item()
    before, after = (x1_0 - x2_0).abs().mean(), (x1_fit - x2_fit).abs().mean()
    sides = ((sigma_0 > 0.5) != (sigma_fit > 0.5)).float().mean()
    print(f"start {spread:3}: error of x {error:.5f}   mean |x1 - x2| ", end="")
    print(f"{before:.3f}, then {after:.3f}", end="")
    print(f"   pixels of sigma that changed sides {sides:.0%}")
    assert sides < 0.3  # most keep their side ...
    assert (sigma_fit - 0.5).abs().mean() >= (sigma_0 - 0.5).abs().mean()  # ... and move away from 1/2

sigma_fit, x1_fit, x2_fit = splits[0.0]
assert torch.equal(x1_fit, x2_fit) and (sigma_fit == 0.5).all()  # symmetry is never broken
apart = [(x1_fit - x2_fit).abs().mean() for _, x1_fit, x2_fit in splits.values()]
assert apart == sorted(apart)  # the wider the start, the farther apart
assert max((mix(*split) - test[3:4]).square().mean() for split in splits.values()) < 0.005

# %% [markdown] tags=["slide"]
# All four fit the digit; **the split is what the start left behind**. From zeros no split arises: the two
# images stay equal for ever. In the others one is left, hardly visible at 0.1, plain at 3. Their $\sigma$
# keeps most of its pattern: only about a fifth of its pixels change sides
# ([notebook 4](04_sigma_map.ipynb), section 8, says why). The images adapt to it. From the two smaller
# spreads they end more alike than they began, from the largest less.
#
# A network cannot set each pixel of $\sigma$ by itself: its three outputs grow from shared features
# and shared kernels, for all images at once. Whatever difference its random initial weights make
# between $x_1$ and $x_2$ therefore has a structure (a texture, a contour), and differs from seed to
# seed. Nothing asked for it; but once there, $\sigma$ is one more way to draw a pixel, and training
# may use it.

# %% [markdown] tags=["slide"]
# ## 3. The head
#
# The decoder of a VAE ends in a 3x3 convolution with $C$ channels and a sigmoid. The Split VAE's
# ends in the same with $1 + 2C$ channels, in this order:
#
# | channels | 0 | 1 to $C$ | $C + 1$ to $2C$ |
# |---|---|---|---|
# | after the sigmoid | $\sigma$ | $x_1$ | $x_2$ |
#
# Before the sigmoid they are logits, and may be any number.

# %% [markdown]
# ### Exercise 3: `split_head`
#
# Cut the logits into the three parts and apply the sigmoid. $C$ follows from the shape.

# %%
def split_head(logits):
    """logits: (N, 1 + 2C, H, W) -> sigma: (N, 1, H, W), x1 and x2: (N, C, H, W)"""
    # BEGIN SOLUTION
    # STUB: sigma, x1, x2 = ..., ..., ...
    # STUB: return sigma, x1, x2
    C = (logits.shape[1] - 1) // 2
    maps = torch.sigmoid(logits)
    return maps[:, :1], maps[:, 1 : 1 + C], maps[:, 1 + C :]
    # END SOLUTION


split_head = sv.exercises.check("split_head", split_head)

# %% [markdown]
# ### Exercise 4: `SplitDecoder` (10 minutes, ★★)
#
# Put it together as a module: any body that makes features of a latent vector, then a head that
# splits. Call the last convolution `self.head`.

# %%
class SplitDecoder(torch.nn.Module):
    """body: z -> features (N, features, H, W); forward: z -> x, sigma, x1, x2"""

    def __init__(self, body, features, channels):
        super().__init__()
        # BEGIN SOLUTION
        self.body = body
        self.head = torch.nn.Conv2d(features, 1 + 2 * channels, kernel_size=3, padding=1)
        # STUB: self.body = body
        # STUB: self.head = None  # your turn
        # END SOLUTION

    def forward(self, z):
        # BEGIN SOLUTION
        sigma, x1, x2 = split_head(self.head(self.body(z)))
        return mix(sigma, x1, x2), sigma, x1, x2
        # END SOLUTION


SplitDecoder = sv.exercises.check("SplitDecoder", SplitDecoder)

# %% [markdown]
# The library's model does the same. A `SplitVAE` gives `.sigma_map`, `.x1`, `.x2` and their mixture
# `.x_hat`; your three functions reproduce it from the decoder's logits.

# %%
preset = sv.PRESETS[budget.preset]
svae = sv.build_model("split-vae", preset.model, seed=0).eval()  # sv.SplitVAE, reproducibly

z = sv.sampling.prior_latents(5, preset.model.latent_dim, seed=0)  # (5, L)
with torch.no_grad():
    out = svae.decode(z)
    logits = svae.decoder(svae.latent.back(z))  # latent vector -> embedding -> maps
print("logits", tuple(logits.shape), "-> sigma", tuple(out.sigma_map.shape), "x1", tuple(out.x1.shape))

for mine, theirs in zip(split_head(logits), (out.sigma_map, out.x1, out.x2)):
    torch.testing.assert_close(mine, theirs)
torch.testing.assert_close(mix(out.sigma_map, out.x1, out.x2), out.x_hat)

# %% [markdown] tags=["slide"]
# ### 3.1 What it costs
#
# Both models share every layer but the last. There each further channel needs $3 \cdot 3$ weights
# for each of the $b$ channels before it (`base_dim`), and a bias. The head grows from $C$ to
# $1 + 2C$ channels, so the Split VAE has
#
# $$(C + 1)\,(9 b + 1)$$
#
# parameters more.

# %%
def counts(config):
    """Trainable parameters of a VAE and of a Split VAE."""
    return sv.parameter_count(sv.VAE(config)), sv.parameter_count(sv.SplitVAE(config))


for name in (budget.preset, "mnist"):
    config = sv.PRESETS[name].model
    plain, split = counts(config)
    extra = (config.channels + 1) * (9 * config.base_dim + 1)
    assert split - plain == extra
    print(f"preset {name:8} VAE {plain:>12,}   Split VAE {split:>12,}   {extra / plain:.3%} more")

# %% [markdown]
# A comparison of the two is therefore fair: the same network but for a tiny fraction.

# %% [markdown] tags=["slide"]
# ## 4. Training both on equal terms
#
# The same images in the same order, the same noise, steps, learning rate and loss; and one seed for the
# initial weights of both.
#
# **What do you expect?** The Split VAE's decoder is hardly larger. Will its error after the same
# number of steps be clearly smaller, about equal, or larger?

# %%
sv.course.predict("03-error-of-both")

# %%
settings = replace(preset.train, steps=budget.steps)
images = sets.train[: budget.train_images]  # bytes; the trainer converts them
models, history, snapshots = {}, {}, {}


def keep_snapshot(trainer):
    """What the model makes of four test digits now."""
    trainer.model.eval()
    snapshots[trainer.step] = sv.inference.reconstruct_all(trainer.model, sets.test[:4])


for name, kind in {"VAE": "vae", "Split VAE": "split-vae"}.items():
    if TRAIN:
        models[name] = sv.build_model(kind, preset.model, seed=settings.seed)
        watch = [keep_snapshot] if kind == "split-vae" else []
        history[name] = sv.Trainer(models[name], images, settings).fit(on_log=watch)
    else:
        models[name] = sv.load_trained(budget.preset, kind)  # comes with the course
if TRAIN:
    sv.plots.show(sv.plots.training_curves(history, ("mse", "kl"), title="VAE and Split VAE"))

# %%
seen = sets.test[: budget.test_images]
print(f"{'':10}{'parameters':>12}{'test MSE':>10}{'KL (nats)':>11}{'active':>8}")
rebuilt, errors = {}, {}
for name, model in models.items():
    rebuilt[name] = sv.inference.reconstruct_all(model, seen)
    errors[name] = (rebuilt[name].x_hat - test).square().mean().item()
    mu, log_var = sv.inference.encode_all(model, seen)
    active = sv.diagnostics.latent_statistics(mu, log_var).active_count
    print(
        f"{name:10}{sv.parameter_count(model):12,}{errors[name]:10.4f}"
        f"{sv.kl_divergence(mu, log_var).mean():11.1f}{active:5} of {mu.shape[1]}"
    )
if learning:
    baseline = (test - test.mean(dim=0)).square().mean().item()  # one image for all
    assert max(errors.values()) < 0.5 * baseline  # both have learnt
    assert max(errors.values()) < 1.2 * min(errors.values())  # and about equally well

# %% [markdown]
# About equal: the split is no second decoder, and the error of $x$ is not where it shows. It is *one* run of
# each, though; another seed can show a small difference. "Active" counts the latent variables that tell
# something about the image ([notebook 2](02_balancing_the_elbo.ipynb)); the paper claims that a split keeps
# more of them active. Whether the claims hold is a matter of many runs, and of
# [notebook 8](08_reproduce_the_paper.ipynb).

# %% [markdown] tags=["slide"]
# ## 5. A first look at the split
#
# First four test digits during training, then ten after it, with their originals on top. The rows, as in the paper:
# map, two images, mixture. Compare the map with those made
# by hand in section 1.1: does it alternate from pixel to pixel, or follow the strokes? And where do $x_1$ and
# $x_2$ differ? (Notebook 4 looks closely.)

# %%
def still(step, out):
    """The split of four digits at a step of the training."""
    rows = {"σ map": out.sigma_map, "x1": out.x1, "x2": out.x2, "x": out.x_hat}
    return sv.plots.image_rows(rows, maps=["σ map"], title=f"after {step:3} steps")


def film(snapshots, shown=11):
    """Stills that lie the closer, the earlier: most happens at the beginning."""
    steps = sorted(snapshots)
    chosen = [steps[round((len(steps) - 1) * (i / (shown - 1)) ** 2)] for i in range(shown)]
    stills = {step: still(step, snapshots[step]) for step in chosen}
    spread = ", ".join(f"{snapshots[step].sigma_map.std():.2f} after {step}" for step in stills)
    alt = f"Four digits in training, a moving picture. Standard deviation of sigma: {spread} steps."
    return sv.plots.moving(list(stills.values()), alt)


film(snapshots) if len(snapshots) > 1 else None  # nothing was trained, or for a few steps only

# %%
split = rebuilt["Split VAE"]
sv.plots.split_rows(split, 10, originals=test, title="Reconstructions by the Split VAE")

# %% [markdown]
# **What do you expect?** How good a reconstruction is $x_1$ alone, or $x_2$ alone? Their plain
# average, which ignores $\sigma$? And their mixture with $1 - \sigma$ in place of $\sigma$? With $x$
# itself that makes five: order them before running the cell.

# %%
sv.course.predict("03-five-answers")

# %%
candidates = {
    "x (mix)": split.x_hat,
    "x1": split.x1,
    "x2": split.x2,
    "(x1 + x2) / 2": (split.x1 + split.x2) / 2,
    "x, sigma swapped": mix(1 - split.sigma_map, split.x1, split.x2),
}
for name, images_of in candidates.items():
    print(f"{name:18} MSE {(images_of - test).square().mean().item():.4f}")
print(sv.diagnostics.split_kind(split.sigma_map, test, split.components))
if learning:
    best = (split.x_hat - test).square().mean()
    assert all(best < (other - test).square().mean() for other in list(candidates.values())[1:])

# %% [markdown]
# The mixture is the best of them, since it is what the loss looked at. How much worse the others are
# tells how much of a split there is: in a network that does not split, with $x_1 = x_2$, all five
# would be equal. With $\sigma$ swapped each pixel comes from the image that was *not* meant for it. And
# the plain average is never worse than $x_1$ and $x_2$ are on average: the squared error is convex.
# (The last line names the kind of split; [notebook 4](04_sigma_map.ipynb) builds its measures.)
#
# New digits split as well: latent vectors from the prior, decoded.

# %%
samples = sv.sample_prior(models["Split VAE"], 10, seed=4)
sv.plots.split_rows(samples, 10, title="Samples of the Split VAE")

# %% [markdown] tags=["slide"]
# ## 6. Outlook: more than two
#
# Nothing stops at two. With $K$ images, the weights of a pixel have to be positive and add up to 1,
# which a **softmax** over $K$ maps $a_1, \dots, a_K$ gives:
#
# $$x = \sum_{k=1}^{K} w_k \odot x_k, \qquad w_k = \frac{e^{a_k}}{\sum_j e^{a_j}} .$$
#
# For $K = 2$ only the difference of the two maps matters, $w_1 = \mathrm{sigmoid}(a_1 - a_2)$: one
# map is enough, and we are back at the paper's $\sigma$.

# %%
three = sv.build_model("split-vae", replace(preset.model, components=3), seed=0).eval()
with torch.no_grad():
    out = three.decode(z)
print("components", tuple(out.components.shape), "weights", tuple(out.weights.shape))  # (N, K, ...)
torch.testing.assert_close(out.weights.sum(dim=1), torch.ones(5, 1, 32, 32))
torch.testing.assert_close((out.weights * out.components).sum(dim=1), out.x_hat)

a = torch.randn(2, 6, generator=generator)
torch.testing.assert_close(a.softmax(dim=0)[0], torch.sigmoid(a[0] - a[1]))

# %% [markdown]
# [Notebook 9](09_beyond_the_paper.ipynb) trains such a model.

# %% [markdown] tags=["slide"]
# ## Recap
#
# - The Split VAE's decoder emits $1 + 2C$ channels, $\sigma$, $x_1$, $x_2$, and answers with
#   $x = \sigma \odot x_1 + (1 - \sigma) \odot x_2$. The loss sees $x$ alone.
# - $\partial x / \partial \sigma = x_1 - x_2$, $\partial x / \partial x_1 = \sigma$,
#   $\partial x / \partial x_2 = 1 - \sigma$: what is not used is not corrected.
# - The parts are not identifiable: swaps and a continuum of other splits have the same loss. What
#   arises is decided by initialisation and architecture, and differs from run to run.
# - It costs $(C + 1)(9b + 1)$ parameters, well below one per cent in the paper's model.
#
# All symbols of the course are in the [glossary](../docs/glossary.md).

# %%
sv.course.quiz("03")

# %% [markdown]
# ## References
#
# - A. Asperti, L. Bugo, D. Filippini, *Enhancing variational generation through
#   self-decomposition*, IEEE Access 10, 2022,
#   [arXiv:2202.02738](https://arxiv.org/abs/2202.02738): the Split VAE; its code is
#   [asperti/Split-VAE](https://github.com/asperti/Split-VAE).
# - D. P. Kingma, M. Welling, *Auto-encoding variational Bayes*, ICLR 2014,
#   [arXiv:1312.6114](https://arxiv.org/abs/1312.6114).
