# %% [markdown] tags=["slide"]
# # 7 · FID from scratch
#
# **Objectives.** After this notebook you can
# - compute the Fréchet distance between two Gaussians by hand, from one feature to many;
# - say what FID sees in a set of images, and what it cannot see;
# - tell quality from variety by precision and recall;
# - measure its bias in the number of images, and use KID, which has none;
# - name everything that belongs to a score, and spot the traps that change it;
# - score a VAE against a Split VAE without fooling yourself.
#
# **Prerequisites.** [Notebook 6](06_sampling.ipynb): samples from the prior and from a mixture;
# covariance matrices, eigenvalues.
#
# **Time.** {{minutes}}
#
# {{versions}}

# %%
import math
import os
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

import svae_lib as sv
from svae_lib.plots.figure import BLACK, BLUE, LINES, MARKERS, ORANGE, PALETTE

budget = sv.course.budget()
learning = sv.course.profile() != "smoke"  # the smoke profile has too few images for conclusions
sets = sv.data.load("mnist-5k")
sets = replace(
    sets,
    train=sets.train[: budget.train_images], train_labels=sets.train_labels[: budget.train_images],
    test=sets.test[: budget.test_images], test_labels=sets.test_labels[: budget.test_images],
)
model = sv.load_trained("quick", "split-vae")
n = len(sets.test)
components = sv.course.pick(smoke=5, laptop=20, gpu=20)  # what notebook 6 found
mixture = sv.LatentMixture(components, seed=0).fit(sv.inference.encode_all(model, sets.train)[0])
generated = sv.sample_mixture(model, mixture, 2 * n, seed=0).x_hat  # (2 N, 1, 32, 32) in [0, 1]

# %% [markdown] tags=["slide"]
# ## 1. From images to features
#
# How good is a set of generated images? Comparing pixels fails: a digit shifted by a pixel is still
# the same digit. So one compares what a trained network makes of the images: its **features**, the $d$
# numbers of a late layer.
#
# The canonical network is Inception, trained on ImageNet (section 7.3). For digits we use a small
# classifier of digits, with $d = 64$ features, that comes with the library. A score must say which
# network it used, so ours is called **FID (LeNet)**.
#
# Each feature is a number per image, so a set of images is a histogram. FID (Fréchet inception distance)
# replaces it by the Gaussian of the same mean and variance, however unlike, and compares the Gaussians by
# their **Fréchet distance**.

# %%
network = sv.fid.network("lenet")


def features_of(images):
    """Features (N, d) of images (N, 1, 32, 32), uint8 or float in [0, 1]."""
    return sv.fid.extract_features(images, network).double()


def two_sets(features, count, seed):
    """Two disjoint random sets of features, count each."""
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    return features[order[:count]], features[order[count : 2 * count]]


real, train_features, fake = map(features_of, (sets.test, sets.train, generated))
d = real.shape[1]
print(f"test {tuple(real.shape)}, training {tuple(train_features.shape)}, generated {tuple(fake.shape)}")

# %%
shift = (fake.mean(dim=0) - real.mean(dim=0)).abs()
figure = sv.plots.AltFigure(figsize=(9, 3.3), layout="constrained")
for axes, j in zip(figure.subplots(1, 3, sharey=True), shift.argsort(descending=True)[[0, d // 2, -1]]):
    for i, (name, values) in enumerate({"real": real[:, j], "generated": fake[:, j]}.items()):
        axes.hist(values, 40, density=True, histtype="step", color=(BLUE, ORANGE)[i], label=name)
        x = torch.linspace(*axes.get_xlim(), 200, dtype=torch.float64)
        normal = torch.distributions.Normal(values.mean(), values.std())
        axes.plot(x, normal.log_prob(x).exp(), LINES[1], color=(BLUE, ORANGE)[i], label="its Gaussian")
    axes.set(title=f"feature {j}", xlabel="value")
figure.axes[0].set_ylabel("density of images")
figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
sv.plots.show(
    figure,
    "Histograms of three features, of real and of generated images, each with the Gaussian of the "
    "same mean and variance: from the feature whose means differ most to that whose means differ "
    "least. Histograms of real images have two humps, their Gaussians one.",
)

# %% [markdown] tags=["slide"]
# ## 2. The distance for one feature
#
# Think of a histogram as a heap of sand. How much work is it to turn one heap into the other? Moving
# a grain by $r$ costs $r^2$, and the best plan has the least mean cost. That cost is the squared
# Fréchet (or 2-Wasserstein) distance FD. In one dimension the best plan is plain: the leftmost grain
# goes to the leftmost place, and so on. For two Gaussians of means $m_1, m_2$ and variances
# $v_1, v_2$ this gives
#
# $$\mathrm{FD} = (m_1 - m_2)^2 + (\sqrt{v_1} - \sqrt{v_2})^2 .$$
#
# The plan is testable: draw from both, sort both, and pair them.

# %%
generator = torch.Generator().manual_seed(0)
first = 0.5 + 1.0 * torch.randn(100_000, generator=generator).sort().values
second = -1.0 + 2.0 * torch.randn(100_000, generator=generator).sort().values
moved = (first - second).square().mean().item()
formula = (0.5 - -1.0) ** 2 + (1.0 - 2.0) ** 2
print(f"grain by grain {moved:.3f}, formula {formula:.3f}")
assert abs(moved - formula) < 0.1


def frechet_diagonal(mu1, var1, mu2, var2):
    """Of independent features the squared distances add up: means and variances (d,) -> a scalar"""
    return ((mu1 - mu2).square() + (var1.sqrt() - var2.sqrt()).square()).sum()


# %% [markdown]
# **What do you expect?** Start from two equal Gaussians of variance 1. Which costs more: moving one by
# 1, or doubling its variance? And squeezing it to variance 0, a single point?

# %%
sv.course.predict("07-move-or-widen")

# %%
def distance(mean, variance):
    """Squared distance of N(mean, variance) from N(0, 1)."""
    return frechet_diagonal(*map(torch.tensor, ([0.0], [1.0], [mean], [variance]))).item()


x = torch.linspace(0, 4, 81)
curves = {
    "mean $m_2$, with $v_2 = 1$": [distance(m, 1.0) for m in x.tolist()],
    "variance $v_2$, with $m_2 = 0$": [distance(0.0, v) for v in x.tolist()],
}
figure = sv.plots.AltFigure(figsize=(6.4, 3.4), layout="constrained")
axes = figure.subplots()
for i, (name, values) in enumerate(curves.items()):
    axes.plot(x, values, LINES[i], color=PALETTE[i], label=f"against the {name}")
axes.set(xlabel="$m_2$ or $v_2$", ylabel="squared distance from $N(0, 1)$", ylim=(0, 4))
axes.legend()
sv.plots.show(
    figure,
    "Squared Fréchet distance from N(0, 1): a parabola in the mean; in the variance it falls from 1 at "
    "variance 0 to 0 at variance 1, and then rises slowly.",
)
print(f"moved by 1: {distance(1, 1):.2f}, variance 2: {distance(0, 2):.2f}, point: {distance(0, 0):.2f}")

# %% [markdown]
# Moving by 1 costs 1, as much as squeezing to a point. Doubling the variance costs only
# $(\sqrt 2 - 1)^2$: variances count by their roots.

# %% [markdown] tags=["slide"]
# ## 3. Many features
#
# Features depend on one another, so variances are not enough: the Gaussian of a set has a mean vector
# $m$ and a covariance matrix $S$, $d \times d$. To spare memory both are collected batch by batch: the
# number of vectors so far, their mean, and their **scatter**, the sum of $(x - m)(x - m)^\top$. At the end
# $S$ is the scatter divided by $N - 1$.
#
# The textbook's way, sums of $x$ and of $x x^\top$, ends with a difference of two numbers. Where means are
# large beside the deviations, rounding eats it. Updating mean and scatter avoids that.
#
# ### Exercise 1: `update_moments` (15 minutes, ★★★)
#
# What becomes of the three when a batch of further vectors comes? Think of two clouds, each with a mean
# and a scatter of its own. `sv.exercises.hint("update_moments", 1)` helps.

# %%
def update_moments(count, mean, scatter, batch):
    """a number, (d,), (d, d), and the batch (M, d) -> the same three, with the batch"""
    # BEGIN SOLUTION
    total = count + len(batch)
    centred = batch - batch.mean(dim=0)
    shift = batch.mean(dim=0) - mean
    apart = torch.outer(shift, shift) * (count * len(batch) / total)  # the two means differ
    return total, mean + shift * len(batch) / total, scatter + centred.T @ centred + apart
    # END SOLUTION


update_moments = sv.exercises.check("update_moments", update_moments)

# %%
def moments(features, batch_size=100):
    """Mean (d,) and covariance (d, d) of features (N, d), collected in batches."""
    d = features.shape[1]
    state = 0, features.new_zeros(d), features.new_zeros(d, d)
    for batch in features.split(batch_size):
        state = update_moments(*state, batch)
    count, mean, scatter = state
    return mean, scatter / (count - 1)


torch.testing.assert_close(moments(real)[1], torch.cov(real.T))  # all at once
torch.testing.assert_close(moments(real)[1], sv.fid.FeatureStatistics.of(real).covariance)

far = (real - real.mean(dim=0)).float() + 10_000  # means far from 0, in float32
right, (_, updated) = torch.cov(real.T), moments(far)
by_sums = (far.T @ far - len(far) * torch.outer(far.mean(dim=0), far.mean(dim=0))) / (len(far) - 1)
for name, found in {"updated": updated, "by sums": by_sums}.items():
    print(f"{name}: relative error of the covariance {(found - right).norm() / right.norm():.1e}")

# %% [markdown] tags=["subslide"]
# ### 3.1 The root of a matrix
#
# Roots of variances become the root of a matrix: $R$ with $R R = S$. A covariance is symmetric, so it
# has orthonormal eigenvectors, the columns of $V$, and eigenvalues $\lambda \ge 0$:
# $S = V\, \mathrm{diag}(\lambda)\, V^\top$. In the eigenvectors' coordinates $S$ is diagonal, and the
# root is taken number by number:
#
# $$S^{1/2} = V\, \mathrm{diag}(\sqrt{\lambda})\, V^\top .$$
#
# ### 3.2 The Fréchet distance
#
# With means $m_1, m_2$ and covariances $S_1, S_2$ (Dowson and Landau, 1982):
#
# $$\mathrm{FD} = \|m_1 - m_2\|^2 + \mathrm{tr}\, S_1 + \mathrm{tr}\, S_2
#   - 2\, \mathrm{tr}\, \bigl(S_1^{1/2} S_2\, S_1^{1/2}\bigr)^{1/2} .$$
#
# For diagonal matrices it is our formula, since $v_1 + v_2 - 2 \sqrt{v_1 v_2}
# = (\sqrt{v_1} - \sqrt{v_2})^2$. (Often one reads $(S_1 S_2)^{1/2}$: the same eigenvalues, but not
# symmetric, so its numerical root is slow and may come out complex.)
#
# #### Exercise 2: `frechet` (15 minutes, ★★)
#
# `values, vectors = torch.linalg.eigh(s)` finds eigenvalues and $V$ of a symmetric matrix, `eigvalsh` the
# eigenvalues alone. Rounding can leave one just below 0: clamp. Of the outer root only the trace is needed.

# %%
def frechet(m1, s1, m2, s2):
    """means (d,) and covariances (d, d), float64 -> squared Fréchet distance, a scalar tensor"""
    # BEGIN SOLUTION
    values, vectors = torch.linalg.eigh(s1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    mixed = torch.linalg.eigvalsh(root @ s2 @ root).clamp(min=0).sqrt().sum()
    return (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * mixed
    # END SOLUTION


frechet = sv.exercises.check("frechet", frechet)

# %%
(m1, s1), (m2, s2) = moments(fake[:n]), moments(real)
by_hand = frechet(m1, s1, m2, s2).item()
print(f"FID (LeNet) by hand {by_hand:.6f}")
print(f"the library's       {sv.fid.frechet_distance(m1, s1, m2, s2):.6f}")
assert abs(by_hand - sv.fid.frechet_distance(m1, s1, m2, s2)) < 1e-6
assert abs(frechet(m2, s2, m2, s2)) < 1e-6  # a set from itself
print(sv.fid.fid(generated[:n], sets.test, network, reference_name="mnist-5k test"))


def fid(features, reference):
    """FID of features (N, d) from reference features (M, d)."""
    return sv.fid.frechet_distance(*moments(features), *moments(reference))


by_means = (m1 - m2).square().sum().item()
diagonal = frechet_diagonal(m1, s1.diagonal(), m2, s2.diagonal()).item()
# How much of the distance is means, variances, and what remains?
parts = {"means": by_means, "variances": diagonal - by_means, "correlations": by_hand - diagonal}
print(", ".join(f"{name} {value:.2f}" for name, value in parts.items()))
assert by_means <= diagonal <= by_hand

# %% [markdown] tags=["slide"]
# ## 4. What it sees, and what it does not
#
# Real digits, changed in several ways, against the training images as reference.

# %%
base, digits = sv.data.to_float(sets.test), sets.test_labels
noise = torch.randn(base.shape, generator=torch.Generator().manual_seed(0))
ones = base[digits == 1]
count = int((digits == 4).sum())
without_fours = base.clone()
without_fours[digits == 4] = ones[torch.arange(count) % len(ones)]
changed = {
    "untouched": base,
    "training copies": sv.data.to_float(sets.train[:n]),
    "half, twice": base[: n // 2].repeat(2, 1, 1, 1),
    "ones for fours": without_fours,
    "shifted 1 pixel": base.roll(1, dims=3),
    "mirrored": base.flip(3),
    "noise of 0.1": (base + 0.1 * noise).clamp(0, 1),
    "blur 3x3": F.avg_pool2d(base, 3, stride=1, padding=1),
    "contrast 80 %": 0.8 * base,
}
kinds = list(changed.items())
sv.plots.show(sv.plots.image_rows(dict(kinds[:5]), columns=10, title="Real digits, changed"))
sv.plots.image_rows(dict(kinds[5:]), columns=10)

# %% [markdown]
# **What do you expect?** Order them by FID (LeNet), best to worst. Where do the copies end up, which
# contain nothing new at all, and where a set in which one digit is missing?

# %%
sv.course.predict("07-copies")

# %%
scores = {name: fid(features_of(images), train_features) for name, images in changed.items()}
if learning:
    assert scores["training copies"] < 1.0 and scores["half, twice"] < 1.0  # it does not see these
    assert scores["ones for fours"] > 5 * scores["untouched"]
    assert scores["blur 3x3"] > scores["noise of 0.1"] > scores["untouched"]

# And features that no image ever had: draws from the Gaussian of the test images' features.
draws = torch.randn(n, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
m, s = moments(real)
invented = m + draws @ torch.linalg.cholesky(s).T
new_images = train_features[torch.randperm(len(train_features), generator=generator)[:n]]
print(f"against the test images: invented features {fid(invented, real):.2f}, "
      f"other real images {fid(new_images, real):.2f}")
sv.plots.score_bars(
    [{"label": name, "value": value} for name, value in scores.items()],
    xlabel=f"FID (LeNet), {n} images against {len(train_features)} training images, lower is better",
    title="What FID (LeNet) sees",
)

# %% [markdown]
# - **Memorised images score as well as new ones**, and repeated images hardly worse: FID measures the
#   likeness of distributions. A **missing class** is seen. (Distances to the training images, as in
#   notebook 6, find copies.)
# - It sees with the eyes of its network. This one, trained to read digits, does not mind a shift by a
#   pixel. Blur, which VAEs are prone to, is punished hard; noise, which no stroke depends on, much less.
# - It sees two moments alone: the **invented** features, printed above the bars, score as real ones do.

# %% [markdown] tags=["slide"]
# ### 4.1 Two faults, two numbers: precision and recall
#
# A model can make bad images, or good ones that are all alike. FID adds both faults up. **Precision** and
# **recall** (Kynkäänniemi and others, 2019) keep them apart, and need no Gaussians. Draw a ball around the
# features of every image of a set, so large that it reaches to the $k$-th nearest other one (here $k = 3$).
# Together the balls are the region where such images are found. Then
# - **precision** is the share of *generated* images inside a ball of a real one: quality;
# - **recall** is the share of *real* images inside a ball of a generated one: variety.
#
# #### Exercise 3: `precision` (15 minutes, ★★)
#
# `torch.cdist(a, b)` gives all distances, `kthvalue(j, dim=1).values` the $j$-th smallest of each row.

# %%
def precision(real, generated, k):
    """features, float64 (N, d) and (M, d) -> share of the generated ones, a scalar tensor"""
    # BEGIN SOLUTION
    radii = torch.cdist(real, real).kthvalue(k + 1, dim=1).values  # each is its own nearest
    inside = torch.cdist(generated, real) <= radii  # (M, N)
    return inside.any(dim=1).double().mean()
    # END SOLUTION


precision = sv.exercises.check("precision", precision)

# %% [markdown]
# **What do you expect?** Of the changed digits above, which lose precision, which recall? And what is
# wrong with *our model's* images, quality or variety?

# %%
sv.course.predict("07-quality-or-variety")

# %%
some = two_sets(train_features, n, seed=0)[0]  # as many reference images as images: both numbers count
shown = {name: features_of(images) for name, images in changed.items() if name != "training copies"}
shown |= {"invented": invented, "model, mixture": fake[:n]}
shown["model, REC"] = features_of(sv.inference.reconstruct_all(model, sets.test).x_hat)
quality = {name: precision(some, features, 3).item() for name, features in shown.items()}
variety = {name: precision(features, some, 3).item() for name, features in shown.items()}
for mine, theirs in zip((quality["untouched"], variety["untouched"]), sv.fid.shares_inside(some, real)):
    assert math.isclose(mine, theirs)
if learning:
    assert quality["ones for fours"] > 0.95 * quality["untouched"]
    assert variety["ones for fours"] < 0.95 * variety["untouched"]
    assert variety["half, twice"] < 0.8 * variety["untouched"]
    assert quality["model, REC"] > 0.95 * quality["untouched"]
    assert max(variety[name] for name in ("blur 3x3", "model, REC", "model, mixture")) < 0.5
    assert quality["invented"] < 0.2 and variety["invented"] > variety["untouched"]

figure = sv.plots.AltFigure(figsize=(6.4, 3.8), layout="constrained")
axes = figure.subplots()
for i, (name, shares) in enumerate({"precision: quality": quality, "recall: variety": variety}.items()):
    axes.plot(list(shares.values()), range(len(shown)), MARKERS[i], color=PALETTE[i], label=name)
axes.set(yticks=range(len(shown)), yticklabels=shown, xlim=(0, 1), xlabel="share (LeNet, k = 3)")
axes.invert_yaxis()
figure.legend(loc="outside upper center", ncols=2)
values = ", ".join(f"{name}: {quality[name]:.2f} and {variety[name]:.2f}" for name in shown)
sv.plots.show(figure, f"Precision and recall of real digits and of our model's images: {values}.")

# %% [markdown]
# - The **missing class** costs recall alone, as it should. So do repeated images, which FID hardly noticed.
# - **Our model's reconstructions** have the precision of real digits, and far less recall: an average of all
#   answers that are possible is a *typical* image. **Blurred** digits are more alike than real ones, so that
#   their balls are small and hardly hold a real digit.
# - The **invented** features are found out: their Gaussian lies about the real ones, and hardly ever where
#   one of them is.
#
# Low recall need not mean that something is missing: at 80 % of the contrast all digits are still there,
# and both numbers look like our model's. A change of scale in the features is enough, so "VAEs lose
# variety" does not follow. Both depend on $N$, $k$ and the network: `sv.fid.precision_recall` names them.

# %% [markdown] tags=["slide"]
# ## 5. Its bias
#
# Take two sets of *real* digits, drawn at random: the distributions are the same, so the distance is
# 0. FID compares estimates from $N$ images, though.
#
# **What do you expect?** Draw two disjoint sets of $N$ training images and compute the FID between
# them, many times, with growing $N$. What do you see on average: 0 with scatter, or more?

# %%
sv.course.predict("07-real-against-real")

# %%
many = (80, 120, 250, 500, 1000, 2000)
counts = sv.course.pick(smoke=(50, 100), laptop=many, gpu=many)
repeats = sv.course.pick(smoke=2, laptop=10, gpu=40)
curves = {"training against training": {}, "training against test": {}}
for count in counts:
    pairs = [two_sets(train_features, count, seed) for seed in range(repeats)]
    curves["training against training"][count] = torch.tensor([fid(*pair) for pair in pairs])
    if count <= n // 2:  # so that the draws from the test images differ
        pairs = [(a, two_sets(real, count, seed)[0]) for seed, (a, _) in enumerate(pairs)]
        curves["training against test"][count] = torch.tensor([fid(*pair) for pair in pairs])
same = curves["training against training"]
if learning:
    assert all((values > 0).all() for values in same.values())
    assert same[80].mean() > 10 * same[2000].mean()
    ratio = same[250].mean() / same[1000].mean()  # four times fewer images: about four times the bias
    assert 2.5 < ratio < 6

# %%
def plot_against_n(axes, curves, x_of=lambda count: count):
    """Mean and standard deviation over draws, against the number of images."""
    for i, (name, values) in enumerate(curves.items()):
        x = [x_of(count) for count in values]
        mean = [v.mean().item() for v in values.values()]
        error = [v.std(correction=0).item() for v in values.values()]
        style = {"linestyle": LINES[i], "marker": MARKERS[i], "color": PALETTE[i], "capsize": 3}
        axes.errorbar(x, mean, error, label=name, **style)


def describe(values):
    return ", ".join(f"{count}: {v.mean():.2f}" for count, v in values.items())


figure = sv.plots.AltFigure(figsize=(9, 3.6), layout="constrained")
left, right = figure.subplots(1, 2)
plot_against_n(left, curves)
plot_against_n(right, curves, lambda count: 1000 / count)
left.set(xlabel="images $N$ in each set", ylabel="FID (LeNet)", xscale="log", ylim=(0, None))
right.set(xlabel="1000 / $N$", xlim=(0, None), ylim=(0, None))
left.legend()
sv.plots.show(figure, "FID between two sets of real digits against N, and against 1/N: far above 0 "
              f"with few images, nearly straight in 1/N. Means by N: {describe(same)}.")

# %% [markdown]
# FID of few real images is far from 0, and not by bad luck: **every** draw is above. Estimates from few
# images miss the true means and covariances, and a squared distance counts every miss, so on average FID
# is too high. Squared estimation errors shrink like $1 / N$, and so does the bias: the right panel is
# nearly a straight line towards 0. (Whiskers: standard deviation over the draws.)
#
# Random test digits give the same line; all 1,000, exactly 100 a class, score lower (0.31 in section 4).
#
# ### 5.1 One model, many scores
#
# **What do you expect?** The same generated images, of which we score random subsets of growing size
# against all test images. Can a model improve by 10 % without being touched?

# %%
sv.course.predict("07-untouched")

# %%
few = [count for count in counts if count <= n]
by_count = {c: torch.tensor([fid(two_sets(fake, c, s)[0], real) for s in range(repeats)]) for c in few}


def extrapolate(values):
    """Value at 1/N = 0 of the straight line through {N: draws}, weighed by the draws' scatter."""
    inverse = torch.tensor([1 / count for count in values], dtype=torch.float64)
    mean = torch.stack([v.mean() for v in values.values()]).double()
    weight = torch.stack([1 / v.std() for v in values.values()]).double()
    line = torch.stack((torch.ones_like(inverse), inverse), dim=1)
    return torch.linalg.lstsq(line * weight[:, None], (mean * weight)[:, None]).solution[0].item()


for count, values in by_count.items():
    print(f"N = {count:5}: FID (LeNet) {values.mean():.2f} +- {values.std():.2f}")
print(f"line at 1/N = 0: {extrapolate(by_count):.2f}; real against real: {extrapolate(same):.2f}")

# %% [markdown]
# It can: by a fifth from 80 to 1,000 images. From 250 on, luck hides what bias is left.
#
# **Never compare FIDs of different $N$**, then. Equal $N$ is necessary, but strictly speaking not enough: the
# bias is made of the features' scatter, so a set that varies less has less of it. Hence Chong and Forsyth
# (2020) propose the extrapolation to $1 / N = 0$ as a score of its own, FID$_\infty$; between models that
# are much alike, equal $N$ will do.

# %% [markdown] tags=["slide"]
# ## 6. KID: a distance without bias
#
# The kernel inception distance compares features without Gaussians. A **kernel** $k(x, y)$ says how
# alike two feature vectors are; KID's is $k(x, y) = (x \cdot y / d + 1)^3$. If two sets $X$, $Y$ come
# from one distribution, likeness within a set is the same as between sets. The squared **maximum
# mean discrepancy** is what is left over:
#
# $$\mathrm{MMD}^2 = \mathbb{E}\, k(x, x') + \mathbb{E}\, k(y, y') - 2\, \mathbb{E}\, k(x, y) .$$
#
# $x$ and $x'$ are *different* images of a set. So the estimate leaves out the pairs of an image with
# itself, the diagonal of the kernel's matrix, and is **unbiased**: right on average for any $N$. The
# price: it may come out below 0.
#
# ### Exercise 4: `squared_mmd` (10 minutes, ★★)

# %%
def squared_mmd(kxx, kyy, kxy):
    """kernels of all pairs, (N, N), (M, M) and (N, M) -> unbiased estimate, a scalar tensor"""
    # BEGIN SOLUTION
    def beside_the_diagonal(k):
        return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))

    return beside_the_diagonal(kxx) + beside_the_diagonal(kyy) - 2 * kxy.mean()
    # END SOLUTION


squared_mmd = sv.exercises.check("squared_mmd", squared_mmd)

# %%
def kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def kid(x, y):
    return squared_mmd(kernel(x, x), kernel(y, y), kernel(x, y)).item()


def biased_kid(x, y):
    return (kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()).item()


value, error = sv.fid.kernel_distance(fake[:n], real, seed=0)  # mean over random subsets
print(f"KID (LeNet) {kid(fake[:n], real):.4f}, the library's {value:.4f} +- {error:.4f}")
assert abs(kid(fake[:n], real) - value) < 4 * error

# %% [markdown]
# **What do you expect?** Real against real again, as in section 5, with KID: once with the diagonal,
# once without.

# %%
sv.course.predict("07-diagonal")

# %%
kernel_counts = [count for count in counts if count <= 1000]
sets_of = {c: [two_sets(train_features, c, seed) for seed in range(repeats)] for c in kernel_counts}
kid_curves = {
    "without the diagonal (KID)": {c: torch.tensor([kid(*p) for p in ps]) for c, ps in sets_of.items()},
    "with the diagonal": {c: torch.tensor([biased_kid(*p) for p in ps]) for c, ps in sets_of.items()},
}
figure = sv.plots.AltFigure(figsize=(6.4, 3.4), layout="constrained")
axes = figure.subplots()
plot_against_n(axes, kid_curves)
axes.axhline(0, color=BLACK, linewidth=1)
axes.set(xlabel="images $N$ in each set", ylabel="squared MMD", xscale="log")
axes.legend()
unbiased = kid_curves["without the diagonal (KID)"]
sv.plots.show(figure, "Squared MMD between two sets of real digits against N. With the diagonal it is "
              f"far above 0 for few images; without, it scatters about 0. Means: {describe(unbiased)}.")
if learning:
    for count, values in unbiased.items():
        error = values.std() / repeats**0.5  # of the mean over the draws
        assert abs(values.mean()) < 4 * error
        assert kid_curves["with the diagonal"][count].mean() > 4 * error
for name, features in {"invented features": invented, "real, other images": new_images}.items():
    value, error = sv.fid.kernel_distance(features, real, seed=0)
    print(f"{name:19} FID (LeNet) {fid(features, real):.2f}   KID (LeNet) {value:.4f} +- {error:.4f}")

# %% [markdown]
# KID's scatter shrinks with $N$, its mean stays at 0. The library gives an error with every KID, from
# random subsets. And the invented features of section 4, which FID took for real, are caught: the
# kernel's third power compares third moments as well.

# %% [markdown] tags=["slide"]
# ## 7. Traps
#
# `sv.fid.fid` prints all that a score depends on: network and weights, both numbers of images, reference,
# resize and value range. Two scores compare only where all of these agree. Three ways to miss that:
#
# ### 7.1 Range
#
# A network expects values in a certain range. Ours take $[0, 1]$ and do the rest themselves. Given
# 0-255, many networks compute *something*, without complaint; the library refuses. (Divided by 255
# twice, an image is nearly black, but valid.)

# %% tags=["raises-exception"]
network(255 * base[:4])

# %% [markdown] tags=["subslide"]
# ### 7.2 Resize and rounding
#
# *Real* test digits, treated as evaluation code sometimes does, against the training images. Every bar
# should be as short as the first. The last, of generated digits, is for comparison.
#
# **What do you expect?** Which of these hardly matters? Which costs more than the difference between
# real digits and our model's?

# %%
sv.course.predict("07-worst-treatment")

# %%
def resized(images, size, mode="bilinear"):
    """There and back again."""
    smaller = F.interpolate(images, (size, size), mode=mode, antialias=mode == "bilinear")
    return F.interpolate(smaller, (32, 32), mode=mode).clamp(0, 1)  # rounding may leave [0, 1]


inner = base[:, :, 2:30, 2:30]  # MNIST's own 28 x 28 pixels
treated = {
    "as they are": base,
    "border cut, zeros added": F.pad(inner, (2, 2, 2, 2)),
    "border cut, enlarged": F.interpolate(inner, (32, 32), mode="bilinear").clamp(0, 1),
    "to 28 and back": resized(base, 28),
    "to 28 and back, nearest": resized(base, 28, "nearest"),
    "32 grey levels": (31 * base).round() / 31,
}
treatments = {name: fid(features_of(images), train_features) for name, images in treated.items()}
treatments["our model's, untouched"] = fid(fake[:n], train_features)
assert torch.equal(features_of(treated["border cut, zeros added"]), features_of(base))
if learning:
    assert treatments["to 28 and back"] > treatments["our model's, untouched"]
sv.plots.score_bars(
    [{"label": name, "value": value} for name, value in treatments.items()],
    xlabel=f"FID (LeNet), {n} images against the training images, lower is better",
    title="Real digits, treated; and generated ones",
)

# %% [markdown]
# **Resizing** is the worst of the frequent traps: an innocent interpolation of *real* digits costs more
# than our whole model, since it blurs. Parmar and others (2022) found the same for photographs, where
# libraries differ in antialiasing. Treat generated and reference images alike, and best not at all.
# **Rounding** hardly matters here; act as if the images had been saved, so that those who have only files
# get your number.
#
# ### 7.3 Which network?
#
# A score that may be called FID without an addition uses *one* network: Inception v3 with the weights of
# Heusel and others (2017), as the package [pytorch-fid](https://github.com/mseitzer/pytorch-fid) provides
# them; $d = 2048$. The weights (91 MB) are no part of the course: the next cell takes them from torch hub's
# folder `checkpoints`, or from where the variable `SVAE_INCEPTION` says, and downloads them only on a GPU.
# Beside it our LeNet, another LeNet (trained on all of MNIST), and EfficientNet-Lite0 (trained on
# photographs), if its package is installed. With few images and many features FID would be mostly bias, so
# this table shows KID.
#
# Every network has its own scale (two LeNets agree here within errors); so a score prints its network,
# and the hash of its weights. (The paper's, Keras' Inception, compares with none of these:
# [notebook 8](08_reproduce_the_paper.ipynb).)

# %%
FILE = "pt_inception-2015-12-05-6726825d.pth"
places = [os.environ.get("SVAE_INCEPTION"), Path(torch.hub.get_dir()) / "checkpoints" / FILE]
at_hand = any(place and Path(place).is_file() for place in places)
few = sv.course.pick(smoke=0, laptop=100, gpu=n)  # images for the large networks
counts_of = {"lenet": n, "lenet-mnist": n, "efficientnet-lite0": few}
if at_hand or sv.course.profile() == "gpu":
    counts_of["inception"] = max(few, 8)
else:
    print(f"Inception's weights are not at hand ({FILE}: see the releases of mseitzer/pytorch-fid)\n")
for name, count in counts_of.items():
    if not count:
        continue
    try:
        other = sv.fid.network(name)
    except (sv.InputError, ModuleNotFoundError) as error:
        print(error)
        continue
    print(sv.fid.kid(generated[:count], sets.test[:count], other, reference_name="test"), "\n")

# %% [markdown] tags=["slide"]
# ## 8. VAE against Split VAE
#
# Both models come with the course: same data and steps, one seed each. `evaluate` scores
# reconstructions (REC) and samples from prior and mixture; for the Split VAE also $x_1$, $x_2$, and a
# *mix*: half the images' $x_1$, the others' $x_2$. The paper finds that in its models the parts often score better than the
# whole.
#
# **What do you expect?** Will $x_1$ and $x_2$ of *our* small model beat $x$? Will the Split VAE beat
# the VAE?

# %%
sv.course.predict("07-parts-or-whole")

# %%
scoring = sv.evaluation.Scoring("lenet", n=n, mixture_components=components)
models = {"Split VAE": model, "VAE": sv.load_trained("quick", "vae")}
reports = {
    name: sv.evaluation.evaluate(trained, sets, scoring, progress=False)
    for name, trained in models.items()
}
rows = [
    {"label": row.source, "value": row.fid.value, "group": f"{name}: {row.part}"}
    for name, report in reports.items()
    for row in report.rows
    if row.source != "real"
]
floor = reports["VAE"].score("real").value
sv.plots.score_bars(
    rows,
    xlabel=f"FID (LeNet), {n} images against the test images; real training digits: {floor:.2f}",
    title="Two small models, one seed each",
)

# %%
won, parts_won = set(), False
for source in ("REC", "prior", "mixture"):
    plain, whole = (reports[name].score(source).value for name in ("VAE", "Split VAE"))
    better = [p for p in ("x1", "x2", "mix") if reports["Split VAE"].score(source, p).value < whole]
    print(
        f"{source:8} Split VAE {whole:6.2f}, VAE {plain:6.2f}: "
        f"{'Split VAE' if whole < plain else 'VAE'} is lower by {abs(whole - plain):.2f};"
        f" parts better than x: {', '.join(better) or 'none'}"
    )
    won.add(whole < plain)
    parts_won |= bool(better)
if len(won) == 1 or parts_won:
    print("Not the outcome of the stored solution: where the text below differs, believe the numbers.")

# %% [markdown]
# - All scores share $N$, reference and network, so they compare with each other, and with nothing else.
#   The mixtures were fitted to training images, so nothing leaks.
# - Neither model wins throughout, and one run of each is an anecdote: another seed gives another split and
#   another score. [Notebook 8](08_reproduce_the_paper.ipynb) compares them over seeds.
# - **The paper's claim does not show up here**: no part beats the whole. $\sigma$ takes the strokes from
#   $x_1$ and their surroundings from $x_2$; where a part is not taken nobody corrects it (notebook 3), so its
#   strokes are too bold, or its border grey, and LeNet minds strokes (section 4). The paper's models are far
#   larger, trained for longer, and seen by Inception. Which of these decides, one small model cannot tell.

# %% [markdown] tags=["slide"]
# ## Recap
#
# - FID is the squared Fréchet distance between Gaussians fitted to a network's features.
# - It sees quality and variety with its network's eyes, in two moments; it does not see copies.
# - Precision (quality) and recall (variety) take it apart: low recall may mean lost variety, or
#   features of another scale.
# - It is biased, about as $1 / N$, and always upwards: compare at equal $N$ only. KID is unbiased.
# - A score without its network, resize, range, reference and numbers of images says nothing: name
#   them.
# - Small differences need more than one run.
#
# All symbols of the course are in the [glossary](../docs/glossary.md).

# %%
sv.course.quiz("07")

# %% [markdown]
# ## References
#
# - M. Heusel and others, *GANs trained by a two time-scale update rule converge to a local Nash
#   equilibrium*, NIPS 2017, [arXiv:1706.08500](https://arxiv.org/abs/1706.08500): FID.
# - D. C. Dowson, B. V. Landau, *The Fréchet distance between multivariate normal distributions*,
#   Journal of Multivariate Analysis 12, 1982.
# - A. Asperti, L. Bugo, D. Filippini, *Enhancing variational generation through
#   self-decomposition*, IEEE Access 10, 2022,
#   [arXiv:2202.02738](https://arxiv.org/abs/2202.02738): the claim of section 8.
# - M. Bińkowski and others, *Demystifying MMD GANs*, ICLR 2018,
#   [arXiv:1801.01401](https://arxiv.org/abs/1801.01401): KID, and FID's bias; LeNet features for
#   digits.
# - A. Gretton and others, *A kernel two-sample test*, JMLR 13, 2012: the unbiased estimate.
# - M. J. Chong, D. Forsyth, *Effectively unbiased FID and Inception Score and where to find them*,
#   CVPR 2020, [arXiv:1911.07023](https://arxiv.org/abs/1911.07023): the extrapolation.
# - T. Kynkäänniemi and others, *Improved precision and recall metric for assessing generative models*,
#   NeurIPS 2019, [arXiv:1904.06991](https://arxiv.org/abs/1904.06991).
# - G. Parmar and others, *On aliased resizing and surprising subtleties in GAN evaluation*,
#   CVPR 2022, [arXiv:2104.11222](https://arxiv.org/abs/2104.11222).
