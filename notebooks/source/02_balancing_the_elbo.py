# %% [markdown] tags=["slide"]
# # 2 · Balancing the ELBO
#
# **Objectives.** After this notebook you can
# - say why a squared error blurs, and compute how much a VAE blurs on a world of two pixels;
# - derive the best $\gamma$, the decoder's variance, and write its update into a training loop;
# - predict from $\beta\gamma$ what a VAE will not tell apart, and recognise posterior collapse;
# - read a trained VAE: KL divergence per latent variable, variance law, inactive variables.
#
# **Prerequisites.** [Notebook 1](01_vanilla_vae.ipynb): ELBO, KL divergence, loss; eigenvalues of a
# covariance matrix.
#
# **Time.** {{minutes}}
#
# {{versions}}

# %%
import copy
import math
from dataclasses import replace

import torch
from matplotlib.figure import Figure

import svae_lib as sv
from svae_lib.plots.figure import BLACK, BLUE, GREY, ORANGE, PALETTE

TRAIN = True  # False: load the trained models of sections 3.3 and 4; then no cell waits
budget = sv.course.budget()  # how much this machine should compute: smoke, laptop or gpu
learning = sv.course.profile() != "smoke"  # the smoke profile trains too little to learn
sets = sv.data.load("mnist-5k")
images = sets.train[: budget.train_images]  # bytes, (N, 1, 32, 32)
train, test = sv.data.to_float(images), sv.data.to_float(sets.test[: budget.test_images])
D = train[0].numel()  # numbers in an image
small = sv.PRESETS["small"]  # the VAEs of sections 3 and 4
print("profile:", sv.course.profile())

# %% [markdown] tags=["slide"]
# ## 1. One answer for two images
#
# Imagine a world with images of two pixels, and only two of them: $a = (1, 0)$ and $b = (0, 1)$,
# equally frequent. A decoder that does not know which of them is asked for has to answer with one
# image $\hat{x}$, and pays the squared error $\|x - \hat{x}\|^2$.
#
# **What do you expect?** The next cell computes the mean error of every answer. Which is best:
# $a$, $b$, either of them, something else? By which factor is it better than answering $a$?

# %%
sv.course.predict("02-one-answer")

# %%
a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
side = torch.linspace(-0.25, 1.25, 151)
answers = torch.cartesian_prod(side, side)  # (22801, 2): every answer on a grid
error = 0.5 * (answers - a).square().sum(1) + 0.5 * (answers - b).square().sum(1)
best = answers[error.argmin()]
error_a = 0.5 * (a - b).square().sum()  # the error of always answering a
print(f"best answer {best.tolist()}, error {error.min():.2f}; always a: error {error_a:.2f}")

figure = Figure(figsize=(4.6, 3.8), layout="constrained")
axes = figure.subplots()
levels = axes.contourf(side, side, error.view(151, 151).T, levels=12, cmap="viridis_r")
axes.plot(*zip(a, b), "o", color="white", markeredgecolor=BLACK, label="the images $a$, $b$")
axes.plot(*best, "*", color=ORANGE, markersize=14, label="best answer")
axes.set(xlabel="pixel 1", ylabel="pixel 2", aspect="equal")
axes.legend(loc="upper right")
figure.colorbar(levels, label="mean squared error of the answer")
sv.plots.show(
    figure, "Map of the mean error over all answers of two pixels. Circles of equal error surround "
    "the point (0.5, 0.5), half way between the two images, where the error is smallest.",
)

# %% [markdown]
# The best answer is $(\frac12, \frac12)$, an image that never occurs, with half the error. For random $x$
# with mean $\bar{x}$, the error of any answer falls into two parts:
#
# $$\mathbb{E}\,\|x - \hat{x}\|^2 = \mathbb{E}\,\|x - \bar{x}\|^2 + \|\bar{x} - \hat{x}\|^2 ,$$
#
# and only the second depends on $\hat{x}$. **Under squared error, the best answer to an uncertain
# question is the mean of the possible answers**; the mean of sharp images is a blurred one.
# On digits:

# %%
threes = train[sets.train_labels[: len(train)] == 3][:40]
mean_of_two, mean_of_many = threes[:2].mean(dim=0), threes.mean(dim=0)


def mean_error(answer):
    """Mean squared error per image of giving one answer to all forty threes."""
    return (threes - answer).square().flatten(1).sum(dim=1).mean().item()


answers = {"a three": threes[0], "mean of two": mean_of_two, "mean of 40": mean_of_many}
for name, answer in answers.items():
    print(f"{name:12} error {mean_error(answer):6.1f}")
assert mean_error(mean_of_many) < min(mean_error(three) for three in threes)
sv.plots.image_rows(
    {"answer": torch.stack((threes[0], threes[1], mean_of_two, mean_of_many))},
    above=["a three", "another", "mean of two", "mean of 40"],
    alt="Four images: two handwritten threes, their average, in which both shine through, and the "
    "average of forty threes, a soft grey three.",
)

# %% [markdown] tags=["slide"]
# ### 1.1 The same in probabilities
#
# Squared error is a Gaussian in disguise: with $p(x) = \mathcal{N}(x; \hat{x}, \gamma I)$,
#
# $$-\log p(x) = \frac{\|x - \hat{x}\|^2}{2\gamma} + \frac{D}{2} \log(2\pi\gamma).$$
#
# One Gaussian is one hill: to cover both images it must be wide and stand between them. What we mean is
# *either $a$ or $b$*, a **mixture** of two narrow hills: first choose, then answer sharply.
#
# **What do you expect?** Draws from both densities: what do the wide Gaussian's look like as images?

# %%
sv.course.predict("02-wide-gaussian")

# %%
def log_density(x, mean, variance):
    """Log-density of N(mean, variance I) at x: (N, 2) -> (N,)"""
    return -((x - mean).square().sum(1) / variance + 2 * math.log(2 * math.pi * variance)) / 2


data, narrow = torch.stack((a, b)), 0.01
one_hill = log_density(data, (a + b) / 2, 0.25).mean()
hills = torch.stack((log_density(data, a, narrow), log_density(data, b, narrow)))
two_hills = (hills.logsumexp(dim=0) - math.log(2)).mean()

noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
draws = {
    f"one Gaussian: mean log p = {one_hill:.2f}": (a + b) / 2 + 0.5 * noise,
    f"mixture of two: mean log p = {two_hills:.2f}": data.repeat(100, 1) + narrow**0.5 * noise,
}
figure = Figure(figsize=(7.2, 3.4), layout="constrained")
for axes, (title, points) in zip(figure.subplots(1, 2, sharex=True, sharey=True), draws.items()):
    axes.scatter(*points.T, s=6, color=BLUE)
    axes.plot(*data.T, "o", color="white", markeredgecolor=BLACK)
    axes.set(title=title, xlabel="pixel 1", ylabel="pixel 2", aspect="equal")
outside = ((draws[next(iter(draws))] < 0) | (draws[next(iter(draws))] > 1)).any(dim=1).float().mean()
print(f"draws of the one Gaussian with a pixel below 0 or above 1: {outside:.0%}")
assert outside > 0.4
sv.plots.show(figure, "Draws of two densities: a wide cloud around the middle, and two narrow clouds.")

# %% [markdown]
# The wide Gaussian's draws lie all around the middle, and about half have a pixel below 0 or above 1. Under
# the mixture the data are far likelier (a density may exceed 1, and its logarithm 0). A VAE is a mixture
# too, of infinitely many hills, one for each $z$: *given* $z$ the answer is one Gaussian, and $z$ is there
# to choose. So why does it blur? Because choosing has a price: the KL divergence.

# %% [markdown] tags=["slide"]
# ## 2. What a choice costs
#
# We can solve this toy VAE exactly. One latent variable $z$ with prior $\mathcal{N}(0, 1)$; by
# symmetry the encoder says $q(z \mid a) = \mathcal{N}(m, s^2)$ and $q(z \mid b) = \mathcal{N}(-m, s^2)$.
#
# **The decoder.** Given $z$, the image was $a$ with probability
# $p_a(z) = q(z \mid a) / (q(z \mid a) + q(z \mid b))$, and by section 1 the best answer is the mean,
# $\hat{x}(z) = p_a(z)\, a + (1 - p_a(z))\, b$. With $z = m + s\,\varepsilon$ and $r = m / s$,
# inserting the Gaussians gives $p_a = \mathrm{sigmoid}(2 r^2 + 2 r \varepsilon)$.
#
# **The error.** $\|a - \hat{x}\|^2 = 2 (1 - p_a)^2$: it depends on $r$ alone, on how far apart the
# two posteriors are, measured in their width.
#
# **The price.** $\mathrm{KL} = \frac12 (m^2 + s^2 - 1 - \log s^2)$. Among all pairs with the same $r$,
# that is $m = r s$, the cheapest has $\frac{d}{d s^2}\left[s^2 (1 + r^2) - \log s^2\right] = 0$, so
# $s^2 = 1 / (1 + r^2)$. Then $m^2 + s^2 = 1$ (remember this!) and
# $\mathrm{KL} = \frac12 \log(1 + r^2)$.

# %%
r = torch.cat((torch.zeros(1), torch.logspace(-2, 1.5, 700))).double()
noise = torch.linspace(-8, 8, 2001).double()
weight = torch.softmax(-(noise**2) / 2, dim=0)  # N(0, 1) on a grid: here means are sums

p_a = torch.sigmoid(2 * r[:, None] ** 2 + 2 * r[:, None] * noise)  # (701, 2001)
toy_error = (2 * (1 - p_a) ** 2 * weight).sum(dim=1)  # mean squared error for each r
toy_kl = 0.5 * torch.log1p(r**2)

s2 = 1 / (1 + r**2)  # a check against the library: m = r s
mu, log_var = (r * s2.sqrt())[:, None], s2.log()[:, None]
torch.testing.assert_close(sv.kl_divergence(mu, log_var), toy_kl)
assert abs(toy_error[0] - 0.5) < 1e-9  # r = 0: z tells nothing, the answer is the average
for i in torch.searchsorted(r, torch.tensor([0.0, 1.0, 3.0]).double()):
    print(f"r = {r[i]:.1f}: error {toy_error[i]:.3f}, KL divergence {toy_kl[i]:.2f} nats")

# %% [markdown]
# Which $r$ will training find? The one with the smallest
# $\mathrm{loss} = \mathrm{error} / (2\gamma) + \beta\, \mathrm{KL}$.
#
# **What do you expect?** With $\beta = 1$ and $\gamma = 1$, then smaller: will the two posteriors be
# apart ($r > 0$), or lie on top of each other ($r = 0$)?

# %%
sv.course.predict("02-apart-or-together")

# %%
figure = Figure(figsize=(6, 3.4), layout="constrained")
axes = figure.subplots()
best = {}
for i, gamma in enumerate((1.0, 0.5, 0.25, 0.1)):
    loss = toy_error / (2 * gamma) + toy_kl
    gain = loss - loss[0]  # compared with telling nothing
    axes.plot(r, gain, ("-", "--", "-.", ":")[i], color=PALETTE[i], label=f"$\\gamma$ = {gamma}")
    best[gamma] = r[gain.argmin()].item()
    axes.plot(best[gamma], gain.min(), "o", color=PALETTE[i], markersize=10 - 2 * i)
axes.set(xlim=(-0.1, 4), ylim=(-2, 1), xlabel="$r = m / s$", ylabel="loss minus loss at $r = 0$")
axes.legend()
sv.plots.show(
    figure, "Four curves of the loss over r, each with a dot at its lowest point: "
    + ", ".join(f"for gamma {gamma} at r = {lowest:.1f}" for gamma, lowest in best.items()) + ".",
)
assert best[1.0] == best[0.5] == 0 < best[0.25] < best[0.1]

# %% [markdown] tags=["slide"]
# With $\gamma = 1$ the best VAE **ignores its latent variable** and answers with the average: **posterior
# collapse**, here no accident of training, but the optimum. Near $r = 0$ the error is
# about $\frac12 (1 - r^2)$ and the KL divergence about $\frac12 r^2$, so the loss falls with $r$ only if
#
# $$\frac{1}{4\gamma} > \frac{\beta}{2}, \qquad\text{that is}\qquad \beta\gamma < \tfrac12 .$$
#
# Only the product counts. $\beta\gamma$ is the **price of a nat, in squared error**, up to a factor 2. Below
# the threshold it still decides how sharply $z$ chooses:

# %%
prices = torch.logspace(-3, 0, 200).double()  # beta * gamma
chosen = torch.stack([(toy_error / (2 * price) + toy_kl).argmin() for price in prices])
assert (r[chosen][prices > 0.505] == 0).all() and (r[chosen][prices < 0.495] > 0).all()

figure = Figure(figsize=(7.4, 3.2), layout="constrained")
left, right = figure.subplots(1, 2)
left.semilogx(prices, toy_error[chosen], color=BLUE, label="squared error")
left.semilogx(prices, toy_kl[chosen], "--", color=ORANGE, label="KL divergence (nats)")
left.axvline(0.5, color=GREY, linestyle=":", label="threshold 1/2")
left.set(xlabel="price $\\beta\\gamma$", title="what is told, what is lost")
left.legend(loc=(0.03, 0.15))
z = torch.linspace(-3, 3, 301).double()
for i, price in enumerate((0.6, 0.3, 0.1, 0.01)):
    at = r[(toy_error / (2 * price) + toy_kl).argmin()]
    slope = 2 * at * (1 + at**2).sqrt()  # 2 m / s^2
    style = ("-", "--", "-.", ":")[i]
    right.plot(z, torch.sigmoid(slope * z), style, color=PALETTE[i], label=f"{price}")
right.set(xlabel="$z$", title="pixel 1 of the answer $\\hat{x}(z)$")
right.legend(title="$\\beta\\gamma$", loc="upper left")
sv.plots.show(figure, "Left: error and KL over the price; above 1/2 the KL is 0. Right: the answer "
              "over z, flat at one half for a price of 0.6, and ever steeper for lower prices.")

# %% [markdown]
# Right: even at a low price the answer slides from $b$ to $a$ instead of jumping, so that a sample with $z$
# near 0 comes out blurred. **Lower prices blur less, and no price removes blur altogether.**
#
# ### 2.1 From two pixels to digits
#
# Where did the $\frac12$ come from? It is the variance of the toy data along their one direction,
# $(1, -1)/\sqrt2$. For Gaussian data and a linear VAE each direction stands for itself. Let the
# variable of a direction of variance $\lambda$ have posterior variance $s^2$, and its $\mu^2$ average $1 - s^2$. It
# costs $\frac12 \log (1 / s^2)$ nats and explains the share $1 - s^2$: the error left is $d = \lambda s^2$. So an error
# of $d$ takes $\frac12 \log (\lambda / d)$ nats (the rate-distortion function of a Gaussian). Minimise
#
# $$\frac{d}{2\gamma} + \frac{\beta}{2} \log\frac{\lambda}{d}: \qquad
# \frac{1}{2\gamma} - \frac{\beta}{2d} = 0, \qquad d = \beta\gamma .$$
#
# If $\lambda \le \beta\gamma$, telling nothing ($d = \lambda$, no nats) is best. **A direction is worth
# a latent variable only if its variance exceeds $\beta\gamma$.** For real images, directions and variances
# are the eigenvectors and eigenvalues of the covariance of the pixels. (Digits are not Gaussian, our VAEs
# not linear: a rule of thumb, to be tested.)

# %%
pixels = train.flatten(1)
covariance = torch.cov(pixels.T, correction=0)
eigenvalues = torch.linalg.eigvalsh(covariance.double()).flip(0).clamp(min=0)  # (D,), falling
variance = eigenvalues.sum().item() / D  # per pixel
assert math.isclose(variance, sv.objective.pixel_variance(images), rel_tol=1e-4)


def worth_telling(price):
    """Number of directions whose variance exceeds the price beta * gamma."""
    return int((eigenvalues > price).sum())


print(f"variance of a pixel about the mean image, on average: {variance:.4f}")
for gamma in (1.0, variance):
    print(f"beta = 4, gamma = {gamma:.3f}: {worth_telling(4 * gamma)} directions are worth a variable")

# %% [markdown] tags=["slide"]
# ## 3. gamma: how wrong may a pixel be?
#
# Who sets the price? $\gamma$ is a parameter of the model like any other: the variance of a pixel
# around the decoder's answer. So let maximum likelihood find it. As a function of $\gamma$, the mean
# of $-\log p(x \mid z)$ over images is, with all other parameters held,
#
# $$f(\gamma) = \frac{\mathbb{E}\,\|x - \hat{x}\|^2}{2\gamma} + \frac{D}{2} \log \gamma + \mathrm{const}.$$
#
# Here the term $\frac{D}{2} \log \gamma$, dropped while $\gamma$ was fixed, must stay: without it, the
# larger $\gamma$ the better.
#
# ### Exercise 1: `optimal_gamma` (10 minutes, ★★)
#
# Set $f'(\gamma) = 0$ on paper, solve for $\gamma$, and write the result as code.

# %%
def optimal_gamma(x, x_hat):
    """x, x_hat: (N, C, H, W) -> the gamma at which x is likeliest, a scalar tensor"""
    # BEGIN SOLUTION
    return (x - x_hat).square().mean()
    # END SOLUTION


optimal_gamma = sv.exercises.check("optimal_gamma", optimal_gamma)

# %% [markdown]
# It is the mean squared error **per pixel** (MSE). The check: for the crudest decoder, which answers
# every image with the mean image, PyTorch's own Gaussian must be likeliest there.

# %%
x_hat = train.mean(dim=0).expand_as(test)
gammas = torch.logspace(-2.5, 0.5, 61)


def negative_log_likelihood(gamma):
    density = torch.distributions.Normal(x_hat, gamma.sqrt())
    return -density.log_prob(test).flatten(1).sum(dim=1).mean()


curve = torch.stack([negative_log_likelihood(gamma) for gamma in gammas])
at_best = negative_log_likelihood(optimal_gamma(test, x_hat))
assert (at_best <= curve).all()

figure = Figure(figsize=(5.6, 3), layout="constrained")
axes = figure.subplots()
axes.semilogx(gammas, curve, color=BLUE)
axes.plot(optimal_gamma(test, x_hat), at_best, "*", color=ORANGE, markersize=14, label="the MSE")
axes.set(xlabel="$\\gamma$", ylabel="$-\\log p(x)$ (nats)", title="The mean image as decoder")
axes.legend()
sv.plots.show(figure, "The negative log-likelihood over gamma falls, has its minimum at the mean "
              "squared error, marked by a star, and rises slowly.")

# %% [markdown] tags=["slide"]
# ### 3.1 The price falls as the decoder learns
#
# With $\gamma$ always at its best, the loss drives itself: a better decoder lowers the MSE, hence
# $\gamma$, hence the price of a nat; more is told, and the decoder gets better still. In the toy,
# answering with the average has an MSE of $\frac12 / 2 = 0.25$ per pixel.
#
# **What do you expect?** The next cell alternates between the best $r$ for the present $\gamma$ and
# the best $\gamma$ for that $r$, from $\gamma = 1$. Does the toy escape from collapse for
# $\beta = 1$? And for $\beta = 4$? (The threshold: $\beta\gamma < \frac12$.)

# %%
sv.course.predict("02-escape")

# %%
for beta in (0.5, 1.0, 1.9, 2.0, 4.0):
    gamma, path = 1.0, []
    for _ in range(200):
        at = (toy_error / (2 * gamma) + beta * toy_kl).argmin()
        gamma = max(toy_error[at].item() / 2, 1e-6)  # the MSE of two pixels; never quite 0
        path.append(gamma)
    first = ", ".join(f"{g:.3g}" for g in path[:4])
    print(f"beta = {beta}: gamma {first}, ... {path[-1]:.2g}; KL {toy_kl[at]:.2f} nats")
    assert (toy_kl[at] > 0.1) == (beta < 2)
print(f"digits: complete collapse from about beta = {eigenvalues[0].item() / variance:.0f}")

# %% [markdown]
# Below $\beta = 2$ the spiral turns until $\gamma$ reaches the floor that the code sets: two images can be
# learnt by heart. From $\beta = 2$ on, the average itself keeps $\beta\gamma$ at $\frac12$ or above, and the
# toy stays collapsed. For images in general: collapse feeds itself if $\beta$ times the variance *per pixel*
# exceeds the largest eigenvalue. The last line is that prediction for digits.
#
# ### 3.2 gamma inside the loop
#
# While training, only the MSE of a batch is at hand, which is noisy and falls. The authors of the
# Split VAE keep a running mean of it, and let $\gamma$ only fall. Neither is a parameter of the network:
# no gradient may flow through them.
#
# #### Exercise 2: `update_gamma` (10 minutes, ★★)
#
# What a training loop does with $\gamma$ after each batch. It gets the images, what the decoder made of
# them, and both numbers as they were; the running mean keeps 99 % of its old value, and $\gamma$ becomes the
# smaller of itself and the new running mean. Hints: `sv.exercises.hint("update_gamma", 1)`.

# %%
def update_gamma(x, x_hat, gamma, running):
    """x, x_hat (N, C, H, W), x_hat with a gradient; two scalar tensors -> gamma, running afterwards"""
    # BEGIN SOLUTION
    mse = (x - x_hat.detach()).square().mean()
    running = 0.99 * running + 0.01 * mse
    return torch.minimum(gamma, running), running
    # STUB: mse = ...
    # STUB: return ..., ...  # gamma, running
    # END SOLUTION


update_gamma = sv.exercises.check("update_gamma", update_gamma)

# %% [markdown]
# Here is the loop around it, with your update as its last line. It trains the library's `SmallVAE`, two
# linear layers each way like the VAE of notebook 1. At first $\gamma$ waits: an untrained decoder is worse than the
# mean image.

# %%
model = sv.build_model("small-vae", small.model)
optimiser = torch.optim.Adam(model.parameters(), 1e-3)
generator = torch.Generator().manual_seed(0)
gamma = running = torch.tensor(variance)
path = []
for _ in range(sv.course.pick(smoke=20, laptop=400, gpu=1000)):
    x = train[torch.randint(len(train), (100,), generator=generator)]
    noise = torch.randn(100, small.model.latent_dim, generator=generator)
    out = model(x, noise)
    loss = sv.variational_loss(x, out.x_hat, out.mu, out.log_var, gamma, beta=4.0).total
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    gamma, running = update_gamma(x, out.x_hat, gamma, running)
    path.append(torch.stack((gamma, running)))

path = torch.stack(path)  # (steps, 2)
assert (path[:, 0].diff() <= 0).all() and (path[:, 0] <= path[:, 1]).all()
figure = Figure(figsize=(5.6, 2.8), layout="constrained")
axes = figure.subplots()
axes.plot(path[:, 1], color=GREY, label="running mean of the MSE")
axes.plot(path[:, 0], color=BLUE, linestyle="--", label="$\\gamma$")
axes.set(xlabel="step", ylim=(0, None), title="A loop by hand, $\\beta$ = 4")
axes.legend()
sv.plots.show(figure, f"gamma and the running mean over the steps, from {variance:.3f} to {gamma:.3f}.")

# %% [markdown] tags=["slide"]
# ### 3.3 Where should gamma start?
#
# The authors start at 1. Another honest first guess is the variance of the data, the MSE of the mean
# image. To compare them we train both, by `sv.Trainer`, whose loop is yours with a few comforts.
#
# **What do you expect?** Both runs have $\beta = 4$. By the count of section 2.1, how many latent
# variables are worth their price at first if $\gamma$ starts at 1, and how many if it starts at the
# variance? Which run will be ahead after a fifth of the steps, and will it matter at the end?

# %%
sv.course.predict("02-two-starts")

# %%
learnt_from = images if TRAIN else sets.train  # the trained ones saw all training images


def fit(beta, gamma_start="data"):
    """A small VAE, trained or loaded, with the history of its training."""
    if not TRAIN:
        name = f"small-beta-{beta}" if gamma_start == "data" else "small-gamma-one"
        found = sv.checkpoints.trained_history(name, "small-vae")
        return sv.load_trained(name, "small-vae"), found
    steps = sv.course.pick(smoke=20, laptop=small.train.steps, gpu=6000)
    settings = replace(small.train, beta=float(beta), gamma_start=gamma_start, steps=steps)
    trainer = sv.Trainer(sv.build_model("small-vae", small.model), learnt_from, settings)
    return trainer.model, trainer.fit()


from_one, history_one = fit(4, "one")
from_data, history_data = fit(4, "data")
histories = {"gamma from 1": history_one, "gamma from the variance": history_data}
thinned = {name: {k: v[::10] for k, v in h.items()} for name, h in histories.items()}
sv.plots.training_curves(thinned, ("mse", "gamma", "kl"), title="Two starts of gamma, beta = 4")

# %% [markdown]
# From 1, the KL divergence stays very small (the rule leaves one direction), until $\gamma$ has
# come down. Then the run catches up, and ends at nearly the same place. From the variance the price is
# right at once. The trainer's $\gamma$ follows from the errors of its steps as yours does:

# %%
starts = 1.0, sv.objective.pixel_variance(learnt_from)
for history, start in zip((history_one, history_data), starts):
    gamma = running = torch.tensor(start)
    for mse, found in zip(history["mse"], history["gamma"]):
        x = torch.tensor(mse).sqrt()  # an image of one pixel with this squared error
        gamma, running = update_gamma(x.view(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), gamma, running)
        assert math.isclose(gamma, found, rel_tol=1e-3, abs_tol=1e-6)

fifth = len(history_one["mse"]) // 5
early = [sum(h["mse"][fifth - 2 : fifth + 2]) / 4 for h in (history_one, history_data)]
late = [sum(h["mse"][-20:]) / 20 for h in (history_one, history_data)]
print(f"MSE after a fifth of the steps: {early[0]:.4f} from 1, {early[1]:.4f} from the variance")
print(f"MSE at the end:                 {late[0]:.4f} from 1, {late[1]:.4f} from the variance")
if learning:
    assert early[1] < early[0]

# %% [markdown] tags=["slide"]
# ## 4. beta: how much may be told?
#
# $\beta$ multiplies the KL divergence: 1 in the ELBO, more to tidy up the latent space, 8 for MNIST
# in the paper.
#
# **What do you expect?** The next cell trains with $\beta$ = 1, 16, 64 and 256 (4 we have). How many
# of the 16 latent variables will still tell something at each? Use the rule of section 2.1, with $\gamma$ at its
# start, and the prediction of section 3.1. (Pictures first, the count in section 4.1.)

# %%
sv.course.predict("02-active-at-256")

# %%
models, gammas = {4: from_data}, {4: history_data["gamma"][-1]}
for beta in (1, 16, 64, 256):
    models[beta], history = fit(beta)
    gammas[beta] = history["gamma"][-1]
models, gammas = dict(sorted(models.items())), dict(sorted(gammas.items()))
rebuilt = {b: sv.inference.reconstruct_all(m, sets.test[:10]).x_hat for b, m in models.items()}
sv.plots.image_rows(
    {"test image": test[:10]} | {f"beta = {beta}": x_hat for beta, x_hat in rebuilt.items()},
    title="Reconstructions",
)

# %% [markdown]
# From a fair copy to one answer for all: the mean image.
#
# ### Exercise 3: `kl_per_variable` (5 minutes, ★)
#
# To see where the information goes, count it: how many nats does each latent variable cost, on average
# over the images?

# %%
def kl_per_variable(mu, log_var):
    """mu, log_var: (N, L) -> (L,)"""
    # BEGIN SOLUTION
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean(dim=0)
    # END SOLUTION


kl_per_variable = sv.exercises.check("kl_per_variable", kl_per_variable)

# %%
posteriors = {beta: sv.inference.encode_all(model, images) for beta, model in models.items()}
figure = Figure(figsize=(7.6, 3.2), layout="constrained")
axes = figure.subplots()
told = {beta: kl_per_variable(*p).sort(descending=True).values for beta, p in posteriors.items()}
for i, (beta, nats) in enumerate(told.items()):
    label = f"$\\beta$ = {beta}: {nats.sum():.1f} nats"
    axes.plot(range(1, 17), nats, marker="os^Dv"[i], color=PALETTE[i], label=label)
axes.set(xlabel="latent variable, by its KL divergence", ylabel="nats", xticks=range(1, 17))
figure.legend(loc="outside right upper")
total = ", ".join(f"beta {beta}: {nats.sum():.1f}" for beta, nats in told.items())
sv.plots.show(figure, f"KL divergence of each of 16 latent variables for five values of beta, sorted. "
              f"Sums in nats: {total}.")
for beta, (mu, log_var) in posteriors.items():
    torch.testing.assert_close(told[beta].sum(), sv.kl_divergence(mu, log_var).mean())

# %% [markdown] tags=["slide"]
# ### 4.1 Active or not?
#
# A latent variable is **inactive** when its posterior is the prior for every image. The paper's
# authors call it so if one of these holds, with var and mean over the images:
# - $\mathrm{var}(\mu) < 0.05$: its means hardly move;
# - $\mathrm{mean}(s^2) > 0.95$, with $s^2 = \exp(\texttt{log\_var})$: it is as wide as the prior.
#
# The library counts the same way. The rule of section 2.1 meets reality: directions with a variance above
# $\beta\gamma$, at most 16.

# %%
print(f"{'beta':>5}{'gamma':>9}{'price':>8}{'predicted active':>18}{'active':>8}")
active = {}
for beta, (mu, log_var) in posteriors.items():
    active[beta] = sv.diagnostics.latent_statistics(mu, log_var).active_count
    price = beta * gammas[beta]
    predicted = min(worth_telling(price), 16)
    print(f"{beta:5}{gammas[beta]:9.4f}{price:8.3f}{predicted:18}{active[beta]:8}")
    inactive = (mu.var(dim=0) < 0.05) | (log_var.exp().mean(dim=0) > 0.95)
    assert active[beta] == 16 - inactive.sum()
if learning:
    assert active[1] == 16 and active[256] == 0 and active[64] < 8

# %% [markdown]
# A rule made for linear networks and Gaussian data tells where a neural VAE collapses. (The test is
# mild: $\gamma$ is taken from each run, at the three lowest prices the rule just says "all", and at
# $\beta = 64$ it predicts more than the network keeps.) When a model collapses, suspect the price
# first.
#
# ### 4.2 Collapse, seen
#
# Take the model with $\beta = 64$ and the mean of all its latent vectors. Move one latent variable from
# $-2$ to $2$ and hold the others.
#
# **What do you expect?** What does the row of the least active variable show?

# %%
sv.course.predict("02-least-active")

# %%
model, (mu, log_var) = models[64], posteriors[64]
by_activity = mu.var(dim=0).argsort(descending=True)
steps = torch.linspace(-2, 2, 9)


def walk(index):
    """Decode the mean latent vector with one variable moved: (9, 1, 32, 32)"""
    z = mu.mean(dim=0).repeat(9, 1)
    z[:, index] = steps
    return sv.inference.decode_all(model, z).x_hat


walks = {f"number {rank}": walk(by_activity[rank - 1]) for rank in (1, 2, 3, 16)}
change = {name: (x[-1] - x[0]).abs().mean().item() for name, x in walks.items()}
print("mean change of a pixel:", {name: round(value, 4) for name, value in change.items()})
if learning:
    assert change["number 16"] < 0.2 * change["number 1"]
sv.plots.image_rows(walks, title="One latent variable moved from -2 to 2 (beta = 64), by activity")

# %% [markdown]
# Next to nothing: the decoder has learnt not to listen to it. And section 1 holds in a trained network,
# too: the best answer to a latent vector $z$ is the mean of all training images $x_i$ that may have led to
# it, weighted by $q(z \mid x_i)$. At $\beta = 64$ those are many:

# %%
z = sv.inference.encode_all(model, sets.test[:10])[0]  # (10, 16)
log_q = -0.5 * ((z[:, None] - mu) ** 2 / log_var.exp() + log_var).sum(dim=2)  # (10, N) + const
weights = log_q.softmax(dim=1)
averages = (weights @ train.flatten(1)).view(-1, 1, 32, 32)
effective = 1 / weights.square().sum(dim=1)  # how many images share the weight
print(f"averaged over {effective.min():.0f} to {effective.max():.0f} of {len(train)} images")
if learning:
    assert (averages - rebuilt[64]).square().mean() < 0.1 * variance
sv.plots.image_rows(
    {"test image": test[:10], "decoder": rebuilt[64], "weighted mean of training images": averages},
    title="A decoder averages (beta = 64)",
)

# %% [markdown] tags=["slide"]
# ## 5. The variance law
#
# In the toy, the cheapest code had $m^2 + s^2 = 1$. It holds in general. Replace $z$ by $c z$ and let
# the decoder divide by $c$: all images stay what they are, and the KL divergence of that variable
# becomes the mean over images of $\frac12 (c^2 (\mu^2 + s^2) - 1 - \log s^2 - \log c^2)$. At the best
# $c$ its derivative is 0:
#
# $$c\; \mathrm{mean}(\mu^2 + s^2) - \frac{1}{c} = 0, \qquad \mathrm{mean}(\mu^2 + s^2) = \frac{1}{c^2}.$$
#
# A network that is trained to the end has nothing to gain from any $c$, so $c = 1$; likewise the mean
# of $\mu$ is 0. That is the **variance law** (Asperti and Trentin), for each latent variable:
#
# $$\mathrm{var}(\mu) + \mathrm{mean}(s^2) = 1 .$$
#
# The left side is the variance of the **aggregate posterior**, all images' posteriors together.

# %%
statistics = {
    f"beta = {beta}": sv.diagnostics.latent_statistics(*posteriors[beta]) for beta in (1, 4, 16, 64)
}
for name, s in statistics.items():
    print(f"{name}: {s}")
sv.plots.variance_law(statistics, title="The variance law")

# %% [markdown]
# At $\beta = 64$ the law holds, but trivially: most variables there are just the prior. At 16 it nearly
# holds; at 4 and 1 the bars stand above 1. These networks were not trained to the end: the law is a
# thermometer of training. The derivation also says how to repair them by hand: divide each latent variable
# by the root of its bar, and let the decoder multiply.
#
# **What do you expect?** We now repair the model with $\beta = 1$, and compare before with
# after. What changes: reconstructions, KL divergence, samples from the prior?

# %%
sv.course.predict("02-rescaled")

# %%
def repair(model, mu, log_var):
    """A copy of the model whose latent variables have mean 0 and variance 1; same images."""
    model = copy.deepcopy(model).cpu()
    mean = mu.mean(dim=0)
    scale = (mu.var(dim=0, correction=0) + log_var.exp().mean(dim=0)).sqrt()
    to_mu, to_log_var, back = model.latent.mu, model.latent.log_var, model.latent.back
    with torch.no_grad():
        back.bias += back.weight @ mean  # the decoder adds the mean ...
        back.weight *= scale  # ... and multiplies by the scale
        to_mu.weight /= scale[:, None]
        to_mu.bias.copy_((to_mu.bias - mean) / scale)
        to_log_var.bias -= 2 * scale.log()
    return model


repaired = repair(models[1], *posteriors[1])

# %%
x, noise = test[:100], torch.randn(100, 16, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    before, after = models[1].cpu()(x, noise), repaired(x, noise)
torch.testing.assert_close(before.x_hat, after.x_hat, atol=1e-4, rtol=0)
for name, out in (("before", before), ("after", after)):
    print(f"{name:7} KL {sv.kl_divergence(out.mu, out.log_var).mean():.1f} nats")
law = sv.diagnostics.latent_statistics(*sv.inference.encode_all(repaired, images)).law
torch.testing.assert_close(law, torch.ones_like(law), atol=1e-3, rtol=0)

sv.plots.image_rows(
    {
        "before": sv.sample_prior(models[1], 10, seed=1).x_hat,
        "after": sv.sample_prior(repaired, 10, seed=1).x_hat,
    },
    title="The same draws from the prior, before and after the repair (beta = 1)",
)

# %% [markdown]
# Not one reconstruction has changed, yet the loss is lower and the samples are better, since the
# prior now has the width that the decoder was trained on. Better, not good: width is not shape.
# [Notebook 6](06_sampling.ipynb) is about the rest.

# %% [markdown] tags=["slide"]
# ## Recap
#
# - Under squared error the best answer to an uncertain question is the mean of the answers: blur.
# - A latent variable chooses, and pays in KL divergence. The price is $\beta\gamma$: directions of
#   less variance are not told; where all have less, the posterior collapses.
# - The best $\gamma$ is the MSE. A running estimate follows it; starting it at the variance of the
#   data spares the model a first collapse.
# - $\mathrm{var}(\mu) + \mathrm{mean}(s^2) = 1$ in a network trained to the end; where it is not, the
#   latent variables can be rescaled for free.
#
# The symbols are in the [glossary](../docs/glossary.md). How far the ELBO lies below $\log p(x)$ is measured in
# the [appendix](10_appendix.ipynb). Next: a decoder that may say two things at once,
# [notebook 3](03_split_decoder.ipynb).

# %%
sv.course.quiz("02")

# %% [markdown]
# ## References
#
# - A. Asperti, M. Trentin, *Balancing reconstruction error and Kullback-Leibler divergence in
#   variational autoencoders*, IEEE Access 8, 2020, [arXiv:2002.07514](https://arxiv.org/abs/2002.07514):
#   $\gamma$ as a running estimate, the variance law.
# - A. Asperti, L. Bugo, D. Filippini, *Enhancing variational generation through
#   self-decomposition*, IEEE Access 10, 2022,
#   [arXiv:2202.02738](https://arxiv.org/abs/2202.02738): the running estimate of section 3.2.
# - B. Dai, D. Wipf, *Diagnosing and enhancing VAE models*, ICLR 2019,
#   [arXiv:1903.05789](https://arxiv.org/abs/1903.05789): learning $\gamma$.
# - J. Lucas et al., *Don't blame the ELBO! A linear VAE perspective on
#   posterior collapse*, NeurIPS 2019, [arXiv:1911.02469](https://arxiv.org/abs/1911.02469): the rule
#   of section 2.1.
# - I. Higgins et al., *beta-VAE: learning basic visual concepts with a constrained variational
#   framework*, ICLR 2017: $\beta$.
# - T. Cover, J. Thomas, *Elements of information theory*, chapter 10: rate-distortion functions.
