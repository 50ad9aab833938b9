# %% [markdown] tags=["slide"]
# # 6 · Sampling
#
# **Objectives.** After this notebook you can
# - say why samples from the prior look worse than reconstructions, though the same decoder draws both;
# - compute the aggregate posterior's variance, and test whether it is the prior;
# - sample from a Gaussian, and from a mixture of Gaussians, by hand;
# - choose the size of a mixture, and recognise leakage when you see its score;
# - walk from one image to another along the shell where the prior lies, and say what that is good for.
#
# **Prerequisites.** [Notebook 1](01_vanilla_vae.ipynb): prior, posterior, KL divergence;
# [notebook 2](02_balancing_the_elbo.ipynb): the variance law; matrices as linear maps.
#
# **Time.** {{minutes}}
#
# {{versions}}

# %%
import torch
from sklearn.mixture import GaussianMixture

import svae_lib as sv
from svae_lib.plots.figure import BLACK, BLUE, GREY, LINES, MARKERS, ORANGE, PALETTE

TRAIN = True  # False: load the trained second stage in section 5
budget = sv.course.budget()
learning = sv.course.profile() != "smoke"  # the smoke profile has too few images for conclusions
sets = sv.data.load("mnist-5k")
train, test = sets.train[: budget.train_images], sets.test[: budget.test_images]
test_labels = sets.test_labels[: budget.test_images]

model = sv.load_trained("quick", "split-vae")
mu, log_var = sv.inference.encode_all(model, train)  # posteriors of the training images, (N, L)
test_mu, test_log_var = sv.inference.encode_all(model, test)
L = mu.shape[1]
print(f"{len(train)} training and {len(test)} test images, {L} latent variables")

# %% [markdown] tags=["slide"]
# ## 1. The same decoder, twice
#
# The model is a Split VAE that comes with the course; all that follows holds for a plain VAE as
# well. We decode two kinds of latent vectors: the posterior means of test images, which gives
# **reconstructions**, and draws from the **prior** $p(z) = \mathcal{N}(0, I)$, which gives
# **samples**.

# %%
prior = sv.sampling.prior_latents(len(test), L, seed=0)  # (N, L), draws from N(0, I)


def decode(z):
    """Images (N, 1, 32, 32) of latent vectors (N, L)."""
    return sv.inference.decode_all(model, z).x_hat


sv.plots.image_rows(
    {
        "test image": test[:11], "reconstruction": decode(test_mu[:11]),
        "prior sample": decode(prior[:11]), " ": decode(prior[11:22]),
    },
    columns=11,
    title="One decoder, two kinds of latent vectors",
)

# %% [markdown]
# To compare sets of images by a number we use **FID**, the subject of
# [notebook 7](07_fid.ipynb). For now: it compares the features that a network sees in two sets;
# 0 means equal means and covariances of the features, lower is better. The network here is a small
# classifier of digits, so the score is called FID (LeNet), and does not compare with FID from elsewhere.
#
# **What do you expect?** The prior samples look a little worse. By which factor will their score be
# worse than that of the reconstructions: 1.2, 2, 5?

# %%
sv.course.predict("06-factor")

# %%
network = sv.fid.network("lenet")


def features_of(z):
    """Features of the decoded images, rounded to 8 bits as if they had been saved."""
    return sv.fid.extract_features(sv.data.to_float(sv.data.to_uint8(decode(z))), network)


def score(features, reference):
    return sv.fid.fid(features, reference, network, reference_name="mnist-5k test")


test_features = sv.fid.extract_features(test, network)
of_reconstructions = score(features_of(test_mu), test_features)
of_prior = score(features_of(prior), test_features)
print(of_prior)  # a score prints all that it depends on
print(f"reconstructions {of_reconstructions.value:.1f}, prior {of_prior.value:.1f}")
if learning:
    assert of_prior.value > 2 * of_reconstructions.value

# %% [markdown] tags=["slide"]
# ## 2. The aggregate posterior
#
# So the decoder can draw digits; it is asked the wrong questions. In training it got latent vectors of one
# origin only: take a training image, draw $z$ from *its* posterior. The distribution of these is the
# **aggregate posterior**, the mixture of the posteriors of all $N$ training images:
#
# $$q(z) = \frac{1}{N} \sum_{i=1}^{N} q(z \mid x_i), \qquad
#   q(z \mid x_i) = \mathcal{N}(\mu_i, \mathrm{diag}\, s_i^2) .$$
#
# Drawing from it takes one line:

# %%
def draw(mu, log_var, seed):
    """One z from each image's posterior: (N, L)."""
    noise = torch.randn(mu.shape, generator=torch.Generator().manual_seed(seed))
    return mu + torch.exp(0.5 * log_var) * noise


q = draw(mu, log_var, seed=0)  # N draws from q(z), for the N training images
test_q = draw(test_mu, test_log_var, seed=1)  # the same for images that the model never saw


def between(cloud):
    """Share of the variance of a cloud of test images that lies between the digits."""
    means = torch.stack([cloud[test_labels == digit].mean(dim=0) for digit in test_labels])
    return (means.var(dim=0).sum() / cloud.var(dim=0).sum()).item()

# %% [markdown] tags=["subslide"]
# ### 2.1 Its variance
#
# The KL divergence in the loss pulls every posterior towards the prior, and so the mixture of all.
# A first check is the variance of each latent variable. $z$ varies for two reasons: images have
# different means, and each posterior has a width. By the law of total variance both add up:
#
# $$\mathrm{var}_{q}(z_l) = \mathrm{var}_i(\mu_{il}) + \mathrm{mean}_i(s_{il}^2) .$$
#
# #### Exercise 1: `aggregate_variance`
#
# $q(z)$ is the mixture of exactly these $N$ posteriors, so the variance of the means is divided by
# $N$: `correction=0`. Hints: `sv.exercises.hint("aggregate_variance", 1)`.

# %%
def aggregate_variance(mu, log_var):
    """mu, log_var: (N, L) -> variance of q(z) in each latent variable: (L,)"""
    # BEGIN SOLUTION
    return mu.var(dim=0, correction=0) + log_var.exp().mean(dim=0)
    # END SOLUTION


aggregate_variance = sv.exercises.check("aggregate_variance", aggregate_variance)

# %%
statistics = sv.diagnostics.latent_statistics(mu, log_var)
law = aggregate_variance(mu, log_var)
torch.testing.assert_close(law.double(), statistics.law, rtol=1e-4, atol=1e-4)
many = torch.cat([draw(mu, log_var, seed) for seed in range(20)])
torch.testing.assert_close(many.var(dim=0), law, rtol=0.15, atol=0)  # what draws say of it
print(statistics)
sv.plots.variance_law(statistics, title="Variance of the aggregate posterior")

# %% [markdown] tags=["subslide"]
# ### 2.2 A look at it
#
# The variances lie between 1.0 and 1.3, near the prior's 1: the **variance law** of notebook 2 nearly holds. Now look
# at the cloud of draws itself, here those of test images, coloured by digit. $L$ dimensions have to be
# projected onto two. One projection takes the two variables with the narrowest posteriors, on which the
# decoder relies most; the other the plane in which the digits lie farthest apart (linear discriminant
# analysis, on training images). The prior looks the same in every plane.
#
# **What do you expect?** Each variable has about mean 0 and variance 1. Will the clouds be round like
# the prior's? And the colours: mixed, or apart?

# %%
sv.course.predict("06-clouds")

# %%
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

a, b = (int(i) for i in statistics.mean_variance.argsort()[:2])  # the two narrowest
analysis = LinearDiscriminantAnalysis().fit(mu, sets.train_labels[: len(mu)])
plane, _ = torch.linalg.qr(torch.from_numpy(analysis.scalings_[:, :2]).float())  # (L, 2), orthonormal

panels = {
    f"$z_{{{a}}}$ and $z_{{{b}}}$": test_q[:, [a, b]],
    "digits apart": (test_q - mu.mean(dim=0)) @ plane,
    "prior, any plane": prior @ plane,
}
figure = sv.plots.AltFigure(figsize=(9, 3.9), layout="constrained")
for axes, (title, cloud) in zip(figure.subplots(1, 3, sharex=True, sharey=True), panels.items()):
    coloured = title != "prior, any plane"
    colours = {"c": test_labels, "cmap": "tab10", "vmin": 0, "vmax": 9} if coloured else {"c": BLACK}
    axes.scatter(cloud[:, 0], cloud[:, 1], s=3, alpha=0.5, **colours)
    axes.set(title=title, xlim=(-3.7, 3.7), ylim=(-3.7, 3.7), aspect="equal")
    axes.set(xlabel="first direction", ylabel="second direction")
    for digit in range(10) if coloured else ():
        x, y = cloud[test_labels == digit].mean(dim=0).tolist()
        axes.text(x, y, str(digit), fontsize=13, weight="bold", ha="center", va="center")
handles, digits = figure.axes[0].collections[0].legend_elements(alpha=1)
figure.legend(handles, digits, loc="outside lower center", ncols=10, title="digit")
told = "; ".join(f"{title}: {between(cloud):.0%}" for title, cloud in list(panels.items())[:2])
sv.plots.show(figure, f"Clouds of points. Share of the variance that lies between digits: {told}.")

# %% [markdown]
# In two variables the cloud looks much like the prior's, and the digits overlap. That is a *shadow*: turned
# to another side, the same cloud shows territories, and places where the prior would put points and no
# image lies. In all $L$ dimensions there are more such **holes** than any projection shows.

# %% [markdown] tags=["subslide"]
# ### 2.3 A test: can a classifier tell them apart?
#
# Mix draws from two distributions, and train a classifier to tell which came from which. If they are equal,
# it cannot do better than 50 % on points that it was not trained on: a **classifier two-sample test**.
# Ours asks the 15 nearest neighbours.
#
# - *prior against prior*: the control.
# - *one Gaussian against $q(z)$*: a Gaussian with the very mean and covariance of the draws, so that
#   only what is **not Gaussian** can give it away.
# - *prior against $q(z)$*.

# %%
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier


def accuracy(first, second):
    """Cross-validated accuracy of telling two sets (n, L) apart, and its standard error."""
    both = torch.cat((first, second)).numpy()
    which = [0] * len(first) + [1] * len(second)
    found = cross_val_predict(KNeighborsClassifier(15), both, which, cv=5)
    share = (found == which).mean()
    return share, (share * (1 - share) / len(which)) ** 0.5


n = min(2000, len(q) // 2)
noise = sv.sampling.prior_latents(3 * n, L, seed=1).split(n)
gaussian = q.mean(dim=0) + noise[2] @ torch.linalg.cholesky(torch.cov(q.T)).T
pairs = {"prior, prior": noise[:2], "one Gaussian, q": (gaussian, q[:n]), "prior, q": (noise[0], q[:n])}
found = {name: accuracy(*pair) for name, pair in pairs.items()}
for name, (share, error) in found.items():
    print(f"{name:16} {share:.1%} +- {error:.1%}")
if learning:
    assert abs(found["prior, prior"][0] - 0.5) < 4 * found["prior, prior"][1]
    assert found["one Gaussian, q"][0] > 0.55 and found["prior, q"][0] > 0.55

# %% [markdown]
# The control does no better than a coin. The aggregate posterior is not the prior, and **no single Gaussian**
# at all, however well its mean, variances and correlations are matched. The variance law looks at
# each variable by itself; it cannot see this.
#
# ### 2.4 Samples from the holes
#
# How far is a latent vector from what the decoder knows? As a simple measure take the distance to
# the nearest posterior mean of a training image. The yardstick is the same distance for draws of
# *test* images, which are new, too.
#
# **What do you expect?** We sort 1000 draws from the prior by that distance, and decode the nearest
# and the farthest. Do they look different?

# %%
sv.course.predict("06-near-and-far")

# %%
def nearest(z, known):
    """Distance of each z (n, L) to the nearest of the known vectors (N, L): (n,)."""
    return torch.cdist(z, known).min(dim=1).values


candidates = sv.sampling.prior_latents(1000, L, seed=2)
distance = nearest(candidates, mu)
order = distance.argsort()
for name, values in {"test images": nearest(test_q, mu), "prior": distance}.items():
    low, middle, high = values.quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
    print(f"{name:12} median {middle:.2f}, 90 % of them from {low:.2f} to {high:.2f}")
sv.plots.image_rows(
    {
        "nearest": decode(candidates[order[:12]]), " ": decode(candidates[order[12:24]]),
        "farthest": decode(candidates[order[-12:]]), "  ": decode(candidates[order[-24:-12]]),
    },
    columns=12,
    title="Prior samples by their distance from the training images",
    alt=f"Two rows of prior samples at distances up to {distance[order[23]]:.2f} from a training image, "
    f"and two rows at {distance[order[-24]]:.2f} and more.",
)

# %% [markdown]
# Most draws from the prior lie farther from any training image than draws of new images do. Near known
# vectors they become digits; in the holes the decoder mixes what it knows from all sides.

# %% [markdown] tags=["slide"]
# ## 3. A mixture of Gaussians
#
# If $q(z)$ is not the prior, then sample from $q(z)$! We need a density that can be fitted to the
# training images' posterior means, and drawn from: a **mixture** of $M$ Gaussians with weights
# $\pi_m$ that add up to 1, means $c_m$ and full covariances $S_m$:
#
# $$p_{\mathrm{mix}}(z) = \sum_{m=1}^{M} \pi_m\, \mathcal{N}(z;\, c_m, S_m) .$$
#
# The paper's authors do this, with $M = 100$. Nothing is trained again. (The means alone
# leave out the posteriors' widths, the thin upper parts of the bars in 2.1.)

# %% [markdown]
# ### 3.1 Fitting: EM in a paragraph
#
# If we knew which component each vector belongs to, fitting would be easy: each
# component gets its share, mean and covariance from its own vectors. If we knew the components, belonging would be easy:
# vector $z_i$ belongs to component $m$ with probability
#
# $$r_{im} = \frac{\pi_m\, \mathcal{N}(z_i; c_m, S_m)}{\sum_k \pi_k\, \mathcal{N}(z_i; c_k, S_k)} .$$
#
# **Expectation maximisation** (EM) starts from a guess and takes turns: compute the $r_{im}$ (E
# step), then weights, means and covariances with the $r_{im}$ as weights (M step). No turn makes the
# likelihood of the data smaller; when it stops growing, EM has arrived, though perhaps only at a
# local maximum.
#
# #### Exercise 2: `responsibilities` (10 minutes, ★★)
#
# Write the E step. Densities in many dimensions leave the range of floats: compute the logarithms of
# numerator and summands, and let `softmax` divide.

# %%
def responsibilities(z, weights, means, covariances):
    """z (N, L), weights (M,), means (M, L), covariances (M, L, L) -> r (N, M), all float64"""
    # BEGIN SOLUTION
    normals = torch.distributions.MultivariateNormal(means, covariances)
    return (weights.log() + normals.log_prob(z[:, None])).softmax(dim=1)
    # END SOLUTION


responsibilities = sv.exercises.check("responsibilities", responsibilities)

# %%
# Where EM has arrived, another turn changes nothing; the M step, given r, is three weighted means.
few = mu[:500].double()
fitted = GaussianMixture(3, reg_covar=1e-3, tol=1e-9, max_iter=1000, random_state=0).fit(few.numpy())
weights, means, covariances = (
    torch.from_numpy(v) for v in (fitted.weights_, fitted.means_, fitted.covariances_)
)
r = responsibilities(few, weights, means, covariances)  # E step: (N, M)

shares = r.sum(dim=0)  # M step
new_means = r.T @ few / shares[:, None]
new_covariances = torch.empty_like(covariances)
for m in range(len(weights)):
    centred = few - new_means[m]  # (N, L)
    new_covariances[m] = (r[:, m, None] * centred).T @ centred / shares[m]
new_covariances += 1e-3 * torch.eye(L)  # keeps them invertible where a component holds few vectors
torch.testing.assert_close(shares / len(few), weights, rtol=0, atol=1e-3)
torch.testing.assert_close(new_means, means, rtol=0, atol=1e-2)
torch.testing.assert_close(new_covariances, covariances, rtol=0, atol=1e-2)

# %% [markdown] tags=["slide"]
# ### 3.2 Sampling by hand
#
# Two draws: first a component, by the weights, then a vector from its Gaussian. For the second, find
# a matrix $A$ with $A A^\top = S$. If $\varepsilon \sim \mathcal{N}(0, I)$, then $c + A \varepsilon$
# has the mean $c$ and the covariance
# $\mathbb{E}[A \varepsilon \varepsilon^\top A^\top] = A A^\top = S$. The **Cholesky factor** is such
# a matrix, and quick to compute.
#
# #### Exercise 3: `sample_gaussian`
#
# The noise comes in rows, one per sample. Mind the side on which $A$ stands, then.

# %%
def sample_gaussian(mean, covariance, noise):
    """mean (L,), covariance (L, L), noise (N, L) from N(0, I) -> samples (N, L), all float64"""
    # BEGIN SOLUTION
    factor = torch.linalg.cholesky(covariance)  # factor @ factor.T == covariance
    return mean + noise @ factor.T
    # END SOLUTION


sample_gaussian = sv.exercises.check("sample_gaussian", sample_gaussian)


# %%
def sample_by_hand(weights, means, covariances, n, seed):
    """n draws (n, L) from a mixture of Gaussians, and the component of each (n,)."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(weights, n, replacement=True, generator=generator)
    z = torch.randn(n, means.shape[1], generator=generator, dtype=means.dtype)
    for m in range(len(weights)):
        own = chosen == m
        z[own] = sample_gaussian(means[m], covariances[m], z[own])
    return z, chosen


z, chosen = sample_by_hand(weights, means, covariances, 50_000, seed=0)
torch.testing.assert_close(chosen.bincount() / len(z), weights.float(), rtol=0, atol=0.02)
for m in range(len(weights)):
    own = z[chosen == m]
    torch.testing.assert_close(own.mean(dim=0), means[m], rtol=0, atol=0.1)
    torch.testing.assert_close(torch.cov(own.T), covariances[m], rtol=0, atol=0.2)
sv.plots.image_grid(decode(z[:24].float()), columns=12, title="Drawn by hand from three Gaussians")

# %% [markdown] tags=["slide"]
# ### 3.3 How many components?
#
# With more components a mixture follows the data more closely, in the end each single vector. Whether
# it describes the *distribution* shows on vectors that it was not fitted to: their mean
# log-likelihood, in nats. We hold out a fifth of the **training** vectors for this question. The test
# images stay untouched; they are kept for the score.
#
# #### Exercise 4: `held_out_score`
#
# `mixture.fit(vectors)` fits and returns the mixture, `mixture.score(vectors)` is the mean
# log-likelihood of vectors. What to fit, and what to score?

# %%
def held_out_score(mixture, train, held_out):
    """mixture: an unfitted GaussianMixture; train: (N, L), held_out: (n, L) -> nats per vector"""
    # BEGIN SOLUTION
    return mixture.fit(train).score(held_out)
    # END SOLUTION


held_out_score = sv.exercises.check("held_out_score", held_out_score)

# %% [markdown]
# **What do you expect?** A full covariance in $L$ dimensions has $L (L + 1) / 2$ free numbers. Draw
# both curves in the air before running the cell: log-likelihood against the number of components, of
# the vectors fitted to, and of those held out.

# %%
sv.course.predict("06-more-components")

# %%
shuffled = mu[torch.randperm(len(mu), generator=torch.Generator().manual_seed(0))].double()
fifth = len(mu) // 5
held_out, fitting = shuffled[:fifth], shuffled[fifth:]
many = (1, 2, 5, 10, 20, 40, 70, 100)
numbers = sv.course.pick(smoke=(1, 2, 5), laptop=many, gpu=many)
curves = {"fitted": [], "held out": []}
for number in numbers:
    mixture = GaussianMixture(number, reg_covar=1e-3, random_state=0)
    curves["held out"].append(held_out_score(mixture, fitting, held_out))
    curves["fitted"].append(mixture.fit(fitting).score(fitting))
best = numbers[max(range(len(numbers)), key=curves["held out"].__getitem__)]

# %%
if learning:
    assert curves["fitted"] == sorted(curves["fitted"])
    assert 1 < best < numbers[-1]  # neither one Gaussian nor the most
free = L * (L + 1) // 2 + L + 1
share = len(fitting) / numbers[-1]
print(f"{free} numbers per component, {share:.0f} vectors for each at M = {numbers[-1]}")
figure = sv.plots.AltFigure(figsize=(6.4, 3.6), layout="constrained")
axes = figure.subplots()
for i, (name, values) in enumerate(curves.items()):
    axes.plot(numbers, values, LINES[i], marker=MARKERS[i], color=PALETTE[i], label=name)
axes.axvline(best, color=GREY, linestyle=":", label=f"best held out: {best}")
axes.set(xlabel="components $M$", ylabel="log-likelihood (nats per vector)", xscale="log")
axes.set_xticks(numbers, [str(number) for number in numbers], minor=False)
axes.minorticks_off()
axes.legend()
sv.plots.show(
    figure,
    f"Log-likelihood for {numbers[0]} to {numbers[-1]} components, from {curves['fitted'][0]:.1f} to "
    f"{curves['fitted'][-1]:.1f} nats on the vectors fitted to; held out it is highest at {best}.",
)

# %% [markdown]
# On the vectors fitted to, more components are always better. Held out, the curve turns where a
# component has too few vectors to estimate a covariance from.

# %% [markdown] tags=["slide"]
# ### 3.4 The library's mixture
#
# `sv.LatentMixture` wraps the same fit, refuses bad input, and returns its draws in random order.
# We compare ways to sample, each drawn several times, all scored against the test images.
#
# The decoder sets a limit, the score of its reconstructions (REC). Mind whose: those of the *test* images are
# made from the reference itself, and share its accidents. Samples do not, nor do those of as many training
# images: the fair limit.

# %%
largest = sv.course.pick(smoke=10, laptop=100, gpu=100)  # the authors' 100
fits = {m: sv.LatentMixture(m, seed=0).fit(mu) for m in sorted({1, best, largest})}
ways = {"prior": lambda n, seed: sv.sampling.prior_latents(n, L, seed)}
ways |= {f"mixture of {m}": fit.sample for m, fit in fits.items()}
sv.plots.image_rows(
    {name: decode(way(11, 3)) for name, way in ways.items()}
    | {"reconstruction": decode(test_mu[:11])},
    columns=11,
    title="Samples from the prior and from mixtures of 1 and more components",
)

# %% [markdown]
# **What do you expect?** The held-out likelihood was best in the middle. Will the FID of the samples
# be best there, too?

# %%
sv.course.predict("06-fid-and-likelihood")

# %%
seeds = range(sv.course.pick(smoke=1, laptop=3, gpu=5))
rows = []
for name, way in ways.items():
    draws = [features_of(way(len(test), seed)) for seed in seeds]
    values = torch.tensor([score(features, test_features).value for features in draws])
    rows.append({"label": name, "value": values.mean().item(), "error": values.std(correction=0).item()})
of_others = score(features_of(mu[: len(test)]), test_features)
rows.append({"label": "REC, training images", "value": of_others.value})
rows.append({"label": "REC, test images", "value": of_reconstructions.value})
by_name = {row["label"]: row["value"] for row in rows}
if learning:
    assert by_name[f"mixture of {best}"] < 0.6 * by_name["prior"]
    assert by_name["mixture of 1"] > 0.6 * by_name["prior"]  # one Gaussian is hardly better
distances = {name: nearest(way(1000, 3), mu) for name, way in ways.items()}
distances["means, test"] = nearest(test_mu, mu)  # what a mixture of means would have to look like
for name, values in distances.items():
    print(f"{name:15} median distance to a training image {values.median():.2f}")
sv.plots.score_bars(
    rows, xlabel=f"FID (LeNet), {len(test)} images against the test images, lower is better",
    title="Where latent vectors come from: mean and standard deviation over draws",
)

# %% [markdown]
# One Gaussian is hardly better than the prior; a mixture closes most of the gap, without training
# anything again. And the two criteria **disagree**: FID goes on falling where the held-out likelihood
# has long turned. The likelihood asks how probable *each* held-out vector is, and one that the mixture has
# forgotten costs dearly. FID asks what the *samples* look like, taken together: more and narrower
# components bring them closer to training images, where the decoder is good. In the extreme, one component
# per training image, all samples would be reconstructions of training images, with a splendid score and
# nothing new in them. FID cannot tell; the distances can.

# %% [markdown] tags=["slide"]
# ## 4. A trap: leakage
#
# The authors fit their mixture to posterior means of *test* images, the very images that FID is measured
# against (`protocol="paper"` here). What does it do to the score? Cut the test images
# into two halves A and B, equal in size, equally unknown to model and network. Fit a mixture to either, and
# score the samples of each against both. How much there is to gain should depend on how closely a mixture
# can follow its half, so we take several numbers of components $M$.
#
# **What do you expect?** Four scores for each $M$. If looking at the reference did no harm, which would be
# equal? At which $M$ is the relative harm largest?

# %%
sv.course.predict("06-leak")

# %%
half = len(test) // 2
halves = {"A": slice(0, half), "B": slice(half, 2 * half)}


def cross_scores(number):
    """Rows of a chart: mixtures of `number` components fitted to A and to B, scored against both."""
    rows = []
    for fitted_to, own in halves.items():
        mixture = sv.LatentMixture(number, seed=0).fit(test_mu[own])
        draws = [features_of(mixture.sample(half, seed)) for seed in seeds]
        for against, other in halves.items():
            values = torch.tensor([score(f, test_features[other]).value for f in draws])
            row = {"label": f"scored against {against}", "group": f"mixture fitted to {fitted_to}"}
            spread = values.std(correction=0).item()
            rows.append(row | {"value": values.mean().item(), "error": spread})
    return rows


numbers = sv.course.pick(smoke=(2, 5), laptop=(5, 20, 100), gpu=(5, 20, 100))
leaks = {number: cross_scores(number) for number in numbers}

# %%
bars = sv.plots.score_bars(
    leaks[numbers[-1]],
    xlabel=f"FID (LeNet), {half} images, mixture of {numbers[-1]}, lower is better",
    title="Leakage: each mixture flatters itself",
)

off, nearer = [], []
print("  M  vectors for each  honest  leaking share   distance to its own half, to the other")
for number, rows in leaks.items():
    a_on_a, a_on_b, b_on_a, b_on_b = (row["value"] for row in rows)
    honest, leaking = (a_on_b + b_on_a) / 2, (a_on_a + b_on_b) / 2
    z = sv.LatentMixture(number, seed=0).fit(test_mu[halves["A"]]).sample(1000, seed=0)
    own, other = (nearest(z, test_mu[part]).median() for part in halves.values())
    off.append(1 - leaking / honest)
    nearer.append(other - own)
    row = f"{number:3}{half / number:18.0f}{honest:8.2f}{leaking:9.2f}{off[-1]:6.0%}"
    print(f"{row}{own:28.2f}{other:15.2f}")
if learning:
    assert off[-1] > max(off[0], 0)  # the fewer vectors for each component, the more
    assert nearer == sorted(nearer) and nearer[-1] > 0
bars

# %% [markdown]
# Against the same reference both mixtures should do equally well, but for chance. Yet each is better against
# its own half. It has learnt the accidents of that half (a few more sevens, someone's slant), and FID's
# reference has the same accidents.
#
# **With fewer vectors per component** flattery stays about one point of a falling score, and the
# samples move closer to the images that were seen, on the way to copying them. **How much of the authors'
# scores is flattery is unknown.** They have a hundred vectors for each of their hundred components, but 32 or
# more latent variables: a covariance then has several times the free numbers that it has at our $L$, and what
# we see at a hundred vectors need not be so there. The remedy costs nothing: fit to training images. That is
# what the library does unless you ask otherwise.

# %% [markdown] tags=["slide"]
# ## 5. Another way: a second stage
#
# A mixture is one model of $q(z)$. A **two-stage VAE** (Dai and Wipf, 2019) takes another VAE for it:
# train a small second VAE on latent vectors drawn from $q(z)$, sample *its* prior, decode to $z$, and
# decode that to an image. Why should the second prior fit, when the first did not? Images fill only a thin
# sheet among all possible images; the vectors $z$, with the posterior's noise added, fill their whole space
# of $L$ dimensions. That is an easier case, in which the best VAE can match its prior.
#
# The second stage's two networks are linear layers with SiLU (also called swish) between. It has as many latent variables
# $u$ as the first, the loss of [notebook 1](01_vanilla_vae.ipynb) with $\beta = 1$, and a running
# $\gamma$; its "images" are standardised draws $z \sim q(z \mid x_i)$ of training images. To sample:
#
# $$u \sim \mathcal{N}(0, I), \qquad z \sim \mathcal{N}(\mathrm{decoder}_2(u), \gamma_2 I), \qquad
#   x = \mathrm{decoder}_1(z) .$$

# %%
steps = sv.course.pick(smoke=50, laptop=3000, gpu=6000)
stage = sv.SecondStage(L, steps=steps, seed=0)
if TRAIN:
    stage.fit(mu, log_var, progress=True)
else:
    sv.load_trained_weights(stage, "06-second-stage")
draws = {
    "prior": prior,
    f"mixture of {largest}": fits[largest].sample(len(test), seed=0),
    "second stage": stage.sample(len(test), seed=0),
}
by_source = {name: score(features_of(z), test_features).value for name, z in draws.items()}
for name, z in draws.items():
    share, _ = accuracy(z, test_q)
    print(f"{name:15} FID (LeNet) {by_source[name]:5.1f}; told from q(z) in {share:.0%} of cases")
if learning:
    assert by_source["second stage"] < by_source["prior"]

sv.plots.image_rows(
    {name: decode(z[:11]) for name, z in draws.items()},
    columns=11,
    title="The same decoder, latent vectors from three sources",
)

# %% [markdown]
# Ours, small and briefly trained, is not that best one: a classifier still tells its draws from $q(z)$. A
# second stage is a second training, with its own size, steps and start of $\gamma$; a mixture has one
# number to choose. In the recorded runs of [notebook 8](08_reproduce_the_paper.ipynb) the mixture is ahead
# throughout, and it is the paper's way.

# %% [markdown] tags=["slide"]
# ## 6. Walking between images
#
# What lies between two latent vectors? The straight line $(1 - t)\, z_0 + t\, z_1$ has a catch. A draw from
# $\mathcal{N}(0, I)$ has a length of about $\sqrt{L}$: in many dimensions nearly all draws lie in a shell
# around 0. Two draws are nearly at right angles, so half way between them the length is only about
# $\sqrt{L / 2}$. With growing $L$ such a point lies in the hollow of the shell, where the prior never draws. At
# our $L$ the shell is thick: midpoints fall to its lower edge, not out of it.
#
# **Spherical interpolation** (slerp) walks along the shell. With the angle $\theta$ between them,
#
# $$z(t) = \frac{\sin((1 - t)\,\theta)}{\sin \theta}\, z_0 + \frac{\sin(t\,\theta)}{\sin \theta}\, z_1,
#   \qquad \cos \theta = \frac{z_0 \cdot z_1}{\|z_0\|\, \|z_1\|} .$$
#
# ### Exercise 5: `slerp`

# %%
def slerp(z0, z1, t):
    """z0, z1: (L,); t: (T,), positions from 0 to 1 -> vectors on the great circle: (T, L)"""
    # BEGIN SOLUTION
    angle = torch.arccos(z0 @ z1 / (z0.norm() * z1.norm()))
    t = t[:, None]  # (T, 1), to be multiplied with (L,)
    return (torch.sin((1 - t) * angle) * z0 + torch.sin(t * angle) * z1) / torch.sin(angle)
    # END SOLUTION


slerp = sv.exercises.check("slerp", slerp)

# %%
t, ends = torch.linspace(0, 1, 9), candidates[:1000].split(500)  # 500 pairs
torch.testing.assert_close(slerp(ends[0][0], ends[1][0], t), sv.interpolate(ends[0][0], ends[1][0], 9),
                           rtol=1e-4, atol=1e-5)
figure = sv.plots.AltFigure(figsize=(6.4, 3.6), layout="constrained")
axes = figure.subplots()
low, high = prior.norm(dim=1).quantile(torch.tensor([0.05, 0.95])).tolist()
axes.axhspan(low, high, color="#ececec", label="90 % of the prior's draws")
middle = {}
for i, path in enumerate(("linear", "spherical")):
    walks = torch.stack([sv.interpolate(z0, z1, 9, path) for z0, z1 in zip(*ends)])  # (500, 9, L)
    lengths = walks.norm(dim=2).mean(dim=0)  # (9,)
    middle[path] = lengths[4].item()
    axes.plot(t, lengths, LINES[i], marker=MARKERS[i], color=(ORANGE, BLUE)[i], label=path)
axes.axhline((L / 2) ** 0.5, color=BLACK, linestyle=":", linewidth=1, label=r"$\sqrt{L/2}$")
axes.set(xlabel="$t$", ylabel="mean length of $z(t)$", ylim=(0, None))
axes.legend(loc="lower right")
sv.plots.show(
    figure,
    "Length of the latent vector along two paths. The straight line sags in the middle to "
    f"{middle['linear']:.2f}, the great circle stays at {middle['spherical']:.2f}; 90 per cent of the "
    f"prior's draws lie between {low:.2f} and {high:.2f}.",
)

# %% [markdown]
# The straight line falls to about $\sqrt{L/2}$, the lower edge of the band. Does it matter for the images?
# Three pairs of test digits, and both paths between their posterior means; and, since the eye hardly tells
# the two apart, numbers: the images half way, for many pairs.

# %%
pairs = [(2, 3), (0, 1), (4, 8)]  # classes to walk between
first = {digit: int((test_labels == digit).nonzero()[0]) for pair in pairs for digit in pair}
paths, labels = [], []
for start, end in pairs:
    for path in ("linear", "spherical"):
        z = sv.interpolate(test_mu[first[start]], test_mu[first[end]], 11, path)
        paths.append(decode(z))
        labels.append(f"{start} to {end}, {path}")
sv.plots.show(sv.plots.interpolation(torch.stack(paths), labels=labels))

shuffled = test_mu[torch.randperm(len(test_mu), generator=torch.Generator().manual_seed(1))]
half = len(shuffled) // 2
sources = {"prior draws": ends, "test images": (shuffled[:half], shuffled[half:])}
print("half way between            FID (LeNet)   length   distance to a training image")
half_way = {}
for name, (starts, stops) in sources.items():
    for path in ("linear", "spherical"):
        walk = [sv.interpolate(z0, z1, 3, path)[1] for z0, z1 in zip(starts[:half], stops[:half])]
        middle = torch.stack(walk)
        value = half_way[name, path] = score(features_of(middle), test_features).value
        length, far = middle.norm(dim=1).median(), nearest(middle, mu).median()
        print(f"{name:12} {path:12} {value:13.1f} {length:8.2f} {far:12.2f}")
if learning:
    assert half_way["prior draws", "spherical"] < half_way["prior draws", "linear"]

# %% [markdown]
# Half way between prior draws the straight line costs much, though nearer to training images: its midpoints
# have half the variance. The great circle's images are about as good as the prior samples at its ends. But a
# smooth walk does not avoid the holes between digits: a 0 does not become a 1 by way of digits.

# %% [markdown] tags=["slide"]
# ## Recap
#
# - The decoder knows the aggregate posterior $q(z)$, the mixture of the posteriors of all training
#   images. Prior samples are worse where the prior differs from it.
# - The variance law may hold and $q(z)$ still be far from $\mathcal{N}(0, I)$: it looks at single
#   variables, and the holes are in the joint distribution.
# - A mixture of Gaussians on the posterior means of *training* images closes most of the gap; a second
#   stage, a VAE of latent vectors, is another model of $q(z)$.
# - Held-out likelihood and FID choose different sizes: one punishes every vector that is forgotten, the
#   other looks at the samples as a whole.
# - Fitting to the images that the score is measured against flatters; with fewer vectors per
#   component, relatively more.
# - Straight lines between latent vectors leave the prior's shell where $L$ is large; great circles stay.
#
# All symbols of the course are in the [glossary](../docs/glossary.md).

# %%
sv.course.quiz("06")

# %% [markdown]
# ## References
#
# - M. D. Hoffman, M. J. Johnson, *ELBO surgery: yet another way to carve up the variational evidence
#   lower bound*, NIPS workshop 2016: the aggregate posterior in the ELBO.
# - B. Dai, D. Wipf, *Diagnosing and enhancing VAE models*, ICLR 2019,
#   [arXiv:1903.05789](https://arxiv.org/abs/1903.05789): the two-stage VAE.
# - P. Ghosh and others, *From variational to deterministic autoencoders*, ICLR 2020,
#   [arXiv:1903.12436](https://arxiv.org/abs/1903.12436): mixtures fitted after training.
# - A. Asperti, L. Bugo, D. Filippini, *Enhancing variational generation through
#   self-decomposition*, IEEE Access 10, 2022, [arXiv:2202.02738](https://arxiv.org/abs/2202.02738).
# - D. Lopez-Paz, M. Oquab, *Revisiting classifier two-sample tests*, ICLR 2017,
#   [arXiv:1610.06545](https://arxiv.org/abs/1610.06545).
# - T. White, *Sampling generative networks*, 2016,
#   [arXiv:1609.04468](https://arxiv.org/abs/1609.04468): spherical interpolation.
