# %% [markdown] tags=["slide"]
# # 4 · Sigma maps
#
# **Objectives.** After this notebook you can
# - read a sigma map, and tell where it matters;
# - define two measures of a split, compute them by hand, and say what each is blind to;
# - change a split by hand, and predict what happens to $x$;
# - explain why the loss prefers no kind of split, and what decides instead.
#
# **Prerequisites.** [Notebook 3](03_split_decoder.ipynb); frequencies of a discrete Fourier
# transform; Pearson's correlation.
#
# **Time.** {{minutes}}
#
# {{versions}}

# %%
from dataclasses import replace

import torch
import torch.nn.functional as F

import svae_lib as sv
from svae_lib import diagnostics, widgets
from svae_lib.sampling import mix
from svae_lib.plots.figure import PALETTE

learning = sv.course.profile() != "smoke"  # the smoke profile trains too little to learn
print("profile:", sv.course.profile())

# %% [markdown] tags=["slide"]
# ## 1. The map of a trained model
#
# The Split VAE's decoder emits two images and a map, and answers with their mixture,
#
# $$x = \sigma\, x_1 + (1 - \sigma)\, x_2 .$$
#
# $\sigma$ (`sigma_map`, one value in $(0, 1)$ per pixel) is the weight of $x_1$. The loss looks at
# $x$ alone: nobody has told $\sigma$ what to do. A small model that comes with the
# course:

# %%
sets = sv.data.load("mnist-5k")
test = sets.test[: sv.course.pick(smoke=60, laptop=200, gpu=1000)]  # bytes (N, 1, 32, 32)
images = sv.data.to_float(test)
model = sv.load_trained("quick", "split-vae")
out = sv.inference.reconstruct_all(model, test)
sigma = out.sigma_map
chosen = ((sigma < 0.1) | (sigma > 0.9)).float().mean()
print(f"sigma within 0.1 of 0 or 1: {chosen:.0%} of the pixels; mean {sigma.mean():.2f}")
assert chosen > 0.5  # this map mostly chooses; it mixes at the borders of its regions
sv.plots.split_rows(out, 10, originals=images, title="A trained split")

# %% [markdown] tags=["slide"]
# ### 1.1 Where a map matters
#
# Write the mixture as $x = x_2 + \sigma\,(x_1 - x_2)$. Where the two images agree, $\sigma$ has
# nothing to decide: any value gives the same $x$. On digits that is most of the picture, since both
# images are black there. What $\sigma$ shows in such places (stripes at the border, say) is left over.
# So before our *eyes* interpret a map, we set it to $\frac12$ wherever that moves $x$ by at most
# 0.01. (Before we measure it, too? See section 5.1.)

# %%
def where_it_matters(out, least=0.02):
    """Sigma map (N, 1, H, W), set to 1/2 where x1 and x2 differ by less than `least`."""
    gap = (out.x1 - out.x2).abs().amax(dim=1, keepdim=True)
    return torch.where(gap < least, 0.5, out.sigma_map)


gap = (out.x1 - out.x2).abs()
relevant = where_it_matters(out)
moved = (mix(out, relevant).x_hat - out.x_hat).abs().max()
print(f"x1 and x2 agree in {(gap < 0.02).float().mean():.0%} of the pixels; x moved by {moved:.4f}")
assert moved <= 0.5 * 0.02 + 1e-6  # |x' - x| = |1/2 - sigma| |x1 - x2|

rows = {"σ": sigma, "|x1 - x2|": gap, "σ where it matters": relevant, "x": out.x_hat}
sv.plots.image_rows(rows, maps=list(rows)[:3], title="Much of a map is free")

# %% [markdown] tags=["slide"]
# ## 2. Two kinds of split
#
# The paper tells two kinds apart, which arise by themselves:
#
# - **syntactic**: $\sigma$ alternates between neighbouring pixels, and $x_1$, $x_2$ are
#   complementary patterns of high frequency. Each alone looks like a sieve;
# - **semantic**: $\sigma$ follows the contours of the image, and $x_1$, $x_2$ are plausible
#   variations of it.
#
# We build one of each for the same digit, and a third in which nothing is split. All three mix to
# *exactly* the same $x$.

# %%
x = images[3:4]  # (1, 1, 32, 32)
checkerboard = ((torch.arange(32)[:, None] + torch.arange(32)) % 2).float()[None, None]
strokes = (x > 0.5).float()
soft = F.avg_pool2d(x, 3, stride=1, padding=1)  # the mean of 3x3 pixels
thick = F.avg_pool2d(F.max_pool2d(x, 3, stride=1, padding=1), 3, stride=1, padding=1)  # soft maximum

constructed = {  # kind: sigma, x1, x2
    "syntactic": (checkerboard, x * (0.4 + 0.6 * checkerboard), x * (1 - 0.6 * checkerboard)),
    "semantic": (strokes, torch.where(strokes > 0, x, thick), torch.where(strokes > 0, soft, x)),
    "constant": (torch.full_like(x, 0.5), x, x),
}
for kind, (s, x1, x2) in constructed.items():
    torch.testing.assert_close(s * x1 + (1 - s) * x2, x)

s, x1, x2 = (torch.cat(parts) for parts in zip(*constructed.values()))
sv.plots.image_rows(
    {"σ map": s, "x1": x1, "x2": x2, "x": s * x1 + (1 - s) * x2}, maps=["σ map"],
    above=list(constructed), title="Three splits of one digit",
)

# %% [markdown] tags=["slide"]
# ## 3. The first measure: alternation
#
# How much of a map alternates from pixel to pixel? The two-dimensional discrete Fourier transform
# $F$ writes the map as a sum of waves; the wave with the frequencies $f_y$, $f_x$ (in **cycles per
# pixel**) has the energy $|F(f_y, f_x)|^2$. The fastest wave that pixels can hold goes up and down
# once in two pixels: $f = \frac12$, the **Nyquist frequency**.
#
# The **Nyquist share** of a map is the share of its energy at frequencies near $\frac12$, in either
# direction:
#
# $$\text{share} = \frac{\sum |F|^2 \text{ where } \max(|f_y|, |f_x|) \ge \frac38}{\sum |F|^2} .$$
#
# The map's mean is subtracted first: it is the wave of frequency 0, and says nothing about patterns.
# The bound $\frac38$ is a choice: it keeps waves that repeat within 2.7 pixels.
#
# ### Exercise 1: `nyquist_share`
#
# Return the share of each map. (No map in the check is constant; the library gives such a map 0.) Stuck?
# Run `sv.exercises.hint("nyquist_share", 1)` in a cell of your own, then 2, then 3.

# %%
def nyquist_share(sigma_map):
    """sigma_map: float64 (N, 1, H, W) -> float64 (N,)"""
    # BEGIN SOLUTION
    height, width = sigma_map.shape[2:]
    centred = sigma_map - sigma_map.mean(dim=(2, 3), keepdim=True)
    energy = torch.fft.fft2(centred).abs().square()  # (N, 1, H, W)
    fy, fx = torch.fft.fftfreq(height).abs(), torch.fft.fftfreq(width).abs()
    near = torch.maximum(fy[:, None], fx[None]) >= 3 / 8  # (H, W)
    return (energy * near).sum(dim=(1, 2, 3)) / energy.sum(dim=(1, 2, 3))
    # END SOLUTION


nyquist_share = sv.exercises.check("nyquist_share", nyquist_share)

# %% [markdown]
# **What do you expect?** Maps with known answers: the checkerboard, stripes one pixel wide (which
# alternate in one direction only), a soft blob, the digit's strokes, and white noise, which holds
# all waves in equal parts. The bound $\frac38$ lies three quarters of the way to $\frac12$. What, then, is
# the share of white noise?

# %%
sv.course.predict("04-white-noise")

# %%
from_centre = torch.arange(32) - 15.5
blob = torch.exp(-(from_centre[:, None] ** 2 + from_centre**2) / 60)[None, None]
known = {
    "checkerboard": checkerboard,
    "stripes": (torch.arange(32)[:, None] % 2).float().expand(1, 1, 32, 32),
    "blob": blob,
    "strokes": strokes,
    "noise": torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)),
}
share = {name: nyquist_share(m.double()).item() for name, m in known.items()}
print({name: round(value, 3) for name, value in share.items()})
assert share["checkerboard"] > 0.999 and share["stripes"] > 0.999
assert share["blob"] < 0.001 and share["strokes"] < diagnostics.ALTERNATING_FROM
assert abs(share["noise"] - diagnostics.noise_nyquist_share(32, 32)) < 0.05
torch.testing.assert_close(nyquist_share(sigma.double()), diagnostics.nyquist_share(sigma))

# %% [markdown] tags=["slide"]
# ## 4. The second measure: agreement with contours
#
# A semantic map has its edges where the image has its contours. Three steps turn that into a number:
# 1. blur a little, so that alternating pixels cancel and an edge may miss a contour by a pixel;
# 2. take the **edge strength**: the length of the gradient, blurred again;
# 3. correlate that of $\sigma$ with that of the image over the pixels (Pearson's correlation, from $-1$ to 1).
#
# By hand, with the weights $\frac14, \frac12, \frac14$ in each direction for a blur, which cancel
# an alternation exactly:

# %%
def blur(u):
    """Images (N, 1, H, W), blurred."""
    weights = torch.tensor([0.25, 0.5, 0.25])
    return F.conv2d(F.pad(u, (1, 1, 1, 1), mode="reflect"), (weights[:, None] * weights)[None, None])


def edge_strength(u):
    """Images (N, 1, H, W) -> edge strengths (N, 1, H, W)."""
    padded = F.pad(blur(u), (1, 1, 1, 1), mode="reflect")
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return blur((dx**2 + dy**2).sqrt())


def agreement(sigma_map, images):
    """Correlation over pixels of the edge strengths, (N,); 0 where one of them has no edges."""
    a, b = edge_strength(sigma_map).flatten(1), edge_strength(images).flatten(1)
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-3)


# %%
print(f"{'map':14}{'by hand':>9}{'library':>9}")
candidates = known | {"constant": torch.full_like(x, 0.5), "1 - strokes": 1 - strokes}
scores = {}
for name, candidate in candidates.items():
    scores[name] = diagnostics.contour_agreement(candidate, x).item()
    print(f"{name:14}{agreement(candidate, x).item():9.2f}{scores[name]:9.2f}")
assert scores["strokes"] > 0.9 and abs(scores["checkerboard"]) < 0.01
assert abs(scores["strokes"] - scores["1 - strokes"]) < 1e-6  # the sign of sigma does not matter
every = torch.cat(list(candidates.values()))
edges = (4 * edge_strength(torch.cat((every, x)))).clamp(0, 1)  # four times, to be seen
sv.plots.image_rows(
    {"map": every, "its edges": edges[:-1], "edges of x": edges[-1:].expand(len(every), -1, -1, -1)},
    maps=["map"], above=list(candidates), title="Maps, their edges, and those of the digit",
)

# %% [markdown] tags=["slide"]
# The library's version blurs with a wider Gaussian and discounts edges too faint to see. Checkerboard and
# stripes have no edges at all after the blur: this measure is blind to alternation, as the first is to
# contours. And the blob, made without looking at any digit, scores far from 0: digits are centred, so
# their contours lie in the middle, and so does its edge. A high agreement alone proves nothing, and
# one as small as that of noise, whose sign depends on the blur, means nothing.
#
# ### 4.1 Correcting for chance
#
# The remedy is to ask what the *same maps* score on *other* images: with $a$ the mean agreement with
# each map's own image and $c$ that with others,
#
# $$\text{semantic} = \frac{a - c}{1 - c},$$
#
# which is 0 for chance and 1 for perfection, as Cohen's kappa corrects raters' agreement. For the blob,
# $a$ and $c$ agree. For the model's maps they should not, unless each is handed to another digit than
# its own:

# %%
others = sigma.roll(1, dims=0)  # to each digit the map of the one before it
blobs, found = blob.expand(len(images), -1, -1, -1), {}
for name, maps in (("blob", blobs), ("own sigma", sigma), ("another digit's sigma", others)):
    a = diagnostics.contour_agreement(maps, images).mean().item()
    c = diagnostics.chance_agreement(maps, images)
    found[name] = (a - c) / (1 - c)
    print(f"{name:24}a = {a:.2f}, c = {c:.2f}, semantic = {found[name]:.2f}")
assert abs(found["blob"]) < 0.1 and abs(found["another digit's sigma"]) < 0.1 < found["own sigma"]

# %% [markdown] tags=["slide"]
# ## 5. What kind of split is it?
#
# `split_kind` puts the two measures together. For *syntactic* it takes the larger of two shares, called
# *alternation*: that of $\sigma$, and that of $x_1 - x_2$, which has no leftovers. Its label follows simple bounds:
#
# - **none** where $\sigma$ is constant or $x_1 = x_2$;
# - **syntactic** from an alternation of 0.5 on (noise has a little less: here 0.48), whatever else the map does;
# - below it, alternation and contours count from 0.2: **syntactic** or **semantic** where one does, **mixed** where
#   both do, **unclear** where neither.
#
# A bound is a convention; the numbers say more. The *activity* is the standard deviation of $\sigma$ over the pixels, the *contrast* the
# mean of $|x_1 - x_2|$; where one of them is about 0, nothing is split.

# %%
def kind_of(model):
    """Kind of a model's split on the test images."""
    out = sv.inference.reconstruct_all(model, test)
    return diagnostics.split_kind(out.sigma_map, images, out.components)


print(kind_of(model))

# %% [markdown] tags=["subslide"]
# ### 5.1 Measure only where it matters?
#
# This takes the whole map, leftovers and all. Would it not be fairer to take `where_it_matters`? Then a
# control is due: maps that know nothing of their digit. One is $\sigma = 0$ everywhere, which has no edges
# at all; the other is the map of another digit.
#
# **What do you expect?** As they are, both score about 0. What do they score once they are set to
# $\frac12$ wherever the digit's own $x_1$ and $x_2$ agree?

# %%
sv.course.predict("04-under-the-mask")

# %%
def masked(out, maps):
    """Maps (N, 1, H, W) in the place of sigma, set to 1/2 where x1 and x2 agree."""
    return where_it_matters(mix(out, maps))


print(f"{'semantic':24}{'as it is':>10}{'where it matters':>18}")
nothing = torch.zeros_like(sigma)
for name, maps in {"own sigma": sigma, "another digit's": others, "sigma = 0": nothing}.items():
    plain, under = (diagnostics.split_kind(m, images).semantic for m in (maps, masked(out, maps)))
    print(f"{name:24}{plain:10.2f}{under:18.2f}")
    assert maps is sigma or plain < 0.05 < under
gallery = {"digit": images, "σ = 0 where it matters": masked(out, nothing)}
sv.plots.image_rows(gallery, maps=list(gallery)[1:], title="A map that knows nothing, under the mask")

# %% [markdown]
# The mask is made from $x_1$ and $x_2$, and these differ along the strokes: where it begins and ends there is
# an edge from $\sigma$ to $\frac12$, and **this edge follows the strokes whatever $\sigma$ does**. Even an
# empty map then agrees with its digit above chance. So `where_it_matters` is for the eye alone, and we label
# maps as they are.

# %% [markdown] tags=["slide"]
# ## 6. Other seeds
#
# Everything random in a training depends on its seed: the first weights, the order of the images, the
# noise. The model above had seed 0. Now the same network, data and settings with two other seeds,
# for half as many steps; the curves are drawn while the training runs. No time? `TRAIN = False` loads
# the two from the course, trained for as long as the first.
#
# **What do you expect?** Two more trainings of one network on the same images: will their curves differ?
# Will the splits?

# %%
sv.course.predict("04-three-seeds")

# %%
TRAIN = True
preset = sv.PRESETS["quick"]
steps = sv.course.pick(smoke=4, laptop=preset.train.steps // 2, gpu=preset.train.steps)
train = sets.train[: sv.course.pick(smoke=200, laptop=4000, gpu=4000)]


histories = {}


def with_seed(seed):
    """A Split VAE of the quick preset, trained from this seed or loaded."""
    if not TRAIN:
        histories[f"seed {seed}"] = sv.checkpoints.trained_history(f"quick-seed-{seed}", "split-vae")
        return sv.load_trained(f"quick-seed-{seed}", "split-vae")
    settings = replace(preset.train, steps=steps, seed=seed)
    trainer = sv.Trainer(sv.build_model("split-vae", preset.model, seed), train, settings)
    print(f"seed {seed}:")
    monitor = widgets.training_monitor(trainer)
    histories[f"seed {seed}"] = trainer.fit(progress=False, on_log=[monitor])
    return trainer.model.cpu()


models = {"seed 0": model} | {f"seed {seed}": with_seed(seed) for seed in (1, 2)}
sv.plots.training_curves(histories, ("mse", "kl"), title="Two seeds, one network")

# %%
kinds = {name: kind_of(m) for name, m in models.items()}
for name, m in models.items():
    split = sv.inference.reconstruct_all(m, test)
    error = sv.reconstruction_error(images, split.x_hat).mean()
    print(f"{name}: reconstruction error {error:.1f}\n    {kinds[name]}")
of_one = [sv.inference.reconstruct_all(m, test[3:4]) for m in models.values()]
sv.plots.image_rows(
    {
        "σ map": torch.cat([o.sigma_map for o in of_one]),
        "x1": torch.cat([o.x1 for o in of_one]),
        "x2": torch.cat([o.x2 for o in of_one]),
        "x": torch.cat([o.x_hat for o in of_one]),
    },
    maps=["σ map"], above=list(models), title="The same digit, trained from other seeds",
)

# %%
# All digits on one plane, with maps made by hand for comparison: a checkerboard, each digit's own
# strokes, and the strokes of another digit.
shuffled = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
built = {  # sigma maps for all digits, made by hand as in section 2
    "checkerboard": checkerboard.expand(len(images), -1, -1, -1),
    "own strokes": (images > 0.5).float(),
    "another's strokes": (images[shuffled] > 0.5).float(),
}
points = {name: diagnostics.split_kind(maps, images) for name, maps in built.items()} | kinds
assert points["checkerboard"].label == "syntactic" and points["own strokes"].label == "semantic"
assert points["another's strokes"].semantic < 0.1
sv.plots.split_plane(list(points.values()), list(points))

# %% [markdown]
# (The loss rises again because $\gamma$ falls, which makes errors dearer.) The errors of seeds 1 and 2
# lie close together; seed 0 may have been trained longer. The splits need not agree: read off where your models
# landed. (Another machine rounds differently; that alone can send a training another way.) Three points
# are no law: [notebook 8](08_reproduce_the_paper.ipynb), section 6, has seven seeds at three $\beta$ each.
# Whatever decides, it depends on the seed more than on $\beta$.
#
# ### 6.1 Other images: clothes
#
# The same layers, four times as wide, with 32 latent variables, trained for almost two hours on
# Fashion-MNIST ([results](../docs/results.md)). We let it draw 500 garments, and show ten of them, from
# dark to bright.
#
# **What do you expect?** Between dark and bright ones $\sigma$ differs, too. Were it one constant, how much would
# the shades still differ?

# %%
sv.course.predict("04-dark-clothes")

# %%
drawn = sv.sample_prior(sv.load_trained("fashion-half-width", "split-vae"), 500, seed=1)
print(diagnostics.split_kind(drawn.sigma_map, drawn.x_hat, drawn.components))


def shade(u):
    """Mean of u in each garment, its pixels weighted by x2: (N,)."""
    return (u * drawn.x2).sum(dim=(1, 2, 3)) / drawn.x2.sum(dim=(1, 2, 3))


fixed = mix(drawn, shade(drawn.sigma_map).mean().item()).x_hat
rows = {"σ": drawn.sigma_map, "x1": drawn.x1, "x2": drawn.x2, "x": drawn.x_hat, "x, σ fixed": fixed}
for name, part in rows.items():
    follows = torch.corrcoef(torch.stack((shade(part), shade(drawn.x_hat))))[0, 1]
    print(f"{name:10} shade over 500 garments: mean {shade(part).mean():.2f}, standard deviation "
          f"{shade(part).std():.2f}, correlation with x {follows:5.2f}")
assert 0.5 < shade(fixed).std() / shade(drawn.x_hat).std() < 0.8
by_shade = shade(drawn.x_hat).argsort()[25::50]
sv.plots.image_rows(
    {name: part[by_shade] for name, part in rows.items()}, maps=["σ"],
    title="Clothes that nobody made, from dark to bright",
)

# %% [markdown]
# $x_1$ is dark but for outlines, $x_2$ the plain garment: a *semantic* split, and nobody asked for it. $\sigma$
# follows the shade so closely that one might call it a dimmer. But correlation is not cause: with $\sigma$
# fixed, more than half of the standard deviation is left, for $x_1$ and $x_2$ darken, too.

# %% [markdown] tags=["slide"]
# ## 7. Turning the knobs
#
# `mix(out, sigma=..., swap=..., sharpness=...)` mixes the two images of a split under another map.
# Four changes: $\sigma$ everywhere 1 (that is $x_1$), everywhere 0 ($x_2$), everywhere
# $\frac12$, and $x_1$ and $x_2$ exchanged under the map as it is.
#
# **What do you expect?** Rank the four by the error they make, before you run the cell.

# %%
sv.course.predict("04-rank-four")

# %%
changed = {
    "as it is": mix(out),
    "σ = 1/2": mix(out, 0.5),
    "σ = 0": mix(out, 0.0),
    "σ = 1": mix(out, 1.0),
    "swapped": mix(out, swap=True),
}
torch.testing.assert_close(changed["σ = 1"].x_hat, out.x1)
to_average = changed["σ = 1/2"].x_hat - out.x_hat
torch.testing.assert_close(changed["swapped"].x_hat - out.x_hat, 2 * to_average)
pictures = {"original": images} | {name: o.x_hat.clamp(0, 1) for name, o in changed.items()}
sv.plots.show(sv.plots.image_rows(pictures, title="x under other maps"))

def error(mixed):
    """Mean reconstruction error of the test images."""
    return sv.reconstruction_error(images, mixed.x_hat).mean().item()


errors = {name: error(o) for name, o in changed.items()}
sv.plots.score_bars(
    [{"label": name, "value": value} for name, value in errors.items()],
    xlabel="reconstruction error, summed over pixels; lower is better",
)

# %% [markdown]
# The second assertion above explains swapping: exchanging the images under the map is the same as
# turning the map around, so the swapped image lies as far beyond the average $\frac12(x_1 + x_2)$ as $x$ lies
# before it. Were $x$ perfect, the swapped image would have exactly four times the squared error of the
# average: whatever the map adds is subtracted instead. On the bars it is less than four times: $x$ has
# an error of its own.

# %% [markdown] tags=["subslide"]
# ### 7.1 How much of it is the map's work?
#
# $\sigma = \frac12$ may be an unfairly bad constant. The best one, a weight $w$ of $x_1$ in all pixels,
# minimises $\|x^* - w\, x_1 - (1 - w)\, x_2\|^2$ for the original image $x^*$. With $d = x_1 - x_2$ this
# is $\|(x^* - x_2) - w\, d\|^2$, a parabola in $w$. Its derivative is zero at
#
# $$w = \frac{\langle x^* - x_2,\, d \rangle}{\langle d, d \rangle},$$
#
# with $\langle a, b \rangle$ the sum of the products over all pixels; and a weight has to stay in
# $[0, 1]$.
#
# ### Exercise 2: `best_constant`
#
# Return the best constant of each image.

# %%
def best_constant(x, x1, x2):
    """x, x1, x2: (N, C, H, W) -> w in [0, 1]: (N,)"""
    # BEGIN SOLUTION
    d = x1 - x2
    w = ((x - x2) * d).flatten(1).sum(dim=1) / d.square().flatten(1).sum(dim=1)
    return w.clamp(0, 1)
    # END SOLUTION


best_constant = sv.exercises.check("best_constant", best_constant)

# %%
w = best_constant(images, out.x1, out.x2)[:, None, None, None]  # (N, 1, 1, 1)
# With one value per pixel the same formula applies in each pixel by itself.
best_map = ((images - out.x2) / (out.x1 - out.x2)).nan_to_num(0.5).clamp(0, 1)
errors |= {"best constant": error(mix(out, w)), "best map": error(mix(out, best_map))}
assert errors["best constant"] <= min(errors[name] for name in ("σ = 1/2", "σ = 0", "σ = 1")) + 1e-3
assert errors["best map"] <= errors["as it is"] + 1e-3
sv.plots.score_bars(
    [{"label": name, "value": errors[name]} for name in ("best constant", "as it is", "best map")],
    xlabel="reconstruction error, summed over pixels; lower is better",
)

# %% [markdown]
# The *best map* is no model: it was computed from the image that it should draw. It says how far
# these $x_1$ and $x_2$ could go with a perfect map. The model's own map saw the original through 16
# latent variables only.
#
# ### 7.2 Sharper maps
#
# If a map mostly chooses, why not let it choose entirely? *Sharpening* raises both weights of a pixel
# to the power $t$ and scales them to add up to 1 again:
#
# $$\sigma_t = \frac{\sigma^t}{\sigma^t + (1 - \sigma)^t} .$$
#
# $t = 1$ leaves the map as it is, $t = 0$ makes it $\frac12$ everywhere, and for large $t$ each pixel
# takes one image or the other. Equivalently, it multiplies the log-odds
# $\log \frac{\sigma}{1 - \sigma}$ by $t$.
#
# ### Exercise 3: `sharpen`

# %%
def sharpen(sigma, t):
    """sigma: values in (0, 1), any shape; t: a positive number -> the shape of sigma"""
    # BEGIN SOLUTION
    return sigma**t / (sigma**t + (1 - sigma) ** t)
    # END SOLUTION


sharpen = sv.exercises.check("sharpen", sharpen)

# %% [markdown]
# **What do you expect?** Does the error fall when the map is sharper than the model made it
# ($t > 1$)? When it is softer?

# %%
sv.course.predict("04-sharper")

# %%
powers = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0)
figure = sv.plots.AltFigure(figsize=(6, 3.2), layout="constrained")
axes = figure.subplots()
for (name, m), style, colour in zip(models.items(), ("o-", "s--", "^-."), PALETTE):
    split = sv.inference.reconstruct_all(m, test)
    inside = split.sigma_map.clamp(1e-6, 1 - 1e-6)
    ratio = [error(mix(split, sharpen(inside, t))) / error(split) for t in powers]
    axes.plot(powers, ratio, style, color=colour, label=name, markersize=4)
    assert abs(ratio[powers.index(1.0)] - 1) < 1e-3
axes.set(xlabel="sharpness $t$", ylabel="error / error at $t = 1$", xscale="log")
axes.set_xticks(powers, [f"{t:g}" for t in powers])
axes.minorticks_off()
axes.legend()
sv.plots.show(figure, f"Relative reconstruction error over sharpness t, for {', '.join(models)}.")

# %% [markdown] tags=["slide"]
# ### 7.3 Try it
#
# None gains: every map is about best as it is, at $t = 1$.
#
# The **mixer** applies all of this to eight digits. Swap a sharpened map; look for a constant at which you
# would not notice that the map is gone. (`widgets.latent_explorer(model, test)`, in a cell of your own, moves
# the latent variables: watch whether $\sigma$ follows the content.)

# %%
widgets.sigma_mixer(model, test)

# %% [markdown] tags=["slide"]
# ## 8. Why nothing prefers one kind
#
# The loss $\mathcal{L}$ is a function of $x$ (and of the posterior). So splits that mix to the same
# $x$ have the same loss, like our three of section 2. Nor does the gradient see a difference in merit:
# by [notebook 3](03_split_decoder.ipynb), section 2.1, each request to $\sigma$, $x_1$ or $x_2$ contains
# the factor $g = \partial \mathcal{L} / \partial x$ of its pixel. Once $x$ is right all are zero, and the
# split stays as it is. While $x$ is wrong, each pixel hears about its own error only. No term compares
# neighbours, none asks for contours.
#
# ### 8.1 Without a network
#
# Take the network away: let the pixels of $\sigma$, $x_1$ and $x_2$ themselves be the parameters
# (through a sigmoid, as in the decoder), and fit one digit by gradient descent. All that differs is
# the map to begin with: alternating, smooth, or random.

# %%
def fit_pixels(start, steps=300):
    """Descend from a map (1, 1, 32, 32) in (0, 1); return the final sigma, x1, x2 and loss."""
    generator = torch.Generator().manual_seed(0)
    grey = 0.1 * torch.randn(2, 1, 1, 32, 32, generator=generator)
    logits = [start.logit(), grey[0], grey[1]]
    for _ in range(steps):
        logits = [v.detach().requires_grad_() for v in logits]
        s, x1, x2 = (torch.sigmoid(v) for v in logits)
        loss = (s * x1 + (1 - s) * x2 - x).square().sum()
        gradients = torch.autograd.grad(loss, logits)
        logits = [v - 5.0 * g for v, g in zip(logits, gradients)]
    return s.detach(), x1.detach(), x2.detach(), loss.item()


# %% [markdown]
# **What do you expect?** Which of the three fits the digit best? And the maps: are they in the end as
# they began, closer to $\frac12$, or farther from it?

# %%
sv.course.predict("04-maps-at-the-end")

# %%
random = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
starts = {"alternating": 0.3 + 0.4 * checkerboard, "smooth": 0.3 + 0.4 * blob,
          "random": 0.3 + 0.4 * random}
ends = {name: fit_pixels(start) for name, start in starts.items()}
print(f"{'':12}{'error left':>11}{'Nyquist share':>18}{'mean |σ - 1/2|':>18}{'same side':>11}")
for name, (s, _, _, left) in ends.items():
    row = f"{name:12}{left:11.3f}"
    far = [(m - 0.5).abs().mean().item() for m in (starts[name], s)]
    same = ((s > 0.5) == (starts[name] > 0.5)).float().mean().item()  # of 1/2, as at the start
    for before, after in ([diagnostics.nyquist_share(m).item() for m in (starts[name], s)], far):
        row += f"{f'{before:.2f} to {after:.2f}':>18}"
    print(f"{row}{same:11.0%}")
    assert left < 0.01 * (x - 0.5).square().sum() and far[1] > 1.5 * far[0] and same > 0.9
sv.plots.image_rows(
    {
        "σ, start": torch.cat(list(starts.values())),
        "σ, end": torch.cat([end[0] for end in ends.values()]),
        "x1": torch.cat([end[1] for end in ends.values()]),
        "x2": torch.cat([end[2] for end in ends.values()]),
    },
    maps=["σ, start", "σ, end"], above=list(starts), title="Free pixels",
)

# %% [markdown]
# All three fit the digit about equally well, and each map **keeps its pattern and sharpens it**: nearly
# every pixel stays on its side of $\frac12$, and moves away from it. Why, if nothing asks for it? Begin
# with $x_1$ close to $x_2$. A step of descent moves $x_1$ by $-g\, \sigma$ and $x_2$ by $-g\, (1 - \sigma)$
# (times the step's size and the sigmoid's slope), so $x_1 - x_2$ by $-g\, (2 \sigma - 1)$. In the next,
# $\sigma$ moves by $-g\, (x_1 - x_2)$, which is proportional to
#
# $$+\, g^2\, (2 \sigma - 1):$$
#
# up where $\sigma > \frac12$, down where $\sigma < \frac12$, whatever the sign of $g$. Whoever weighs more
# is corrected more, moves ahead, and so weighs more. It ends when $g$ does, and nothing tidies up. (You see
# the digit's outline in two of the maps all the same: its grey is near $\frac12$, where $x_1$ and $x_2$ begin,
# so there $g \approx 0$ and $\sigma$ stays.)

# %% [markdown] tags=["subslide"]
# ### 8.2 With a network
#
# In the Split VAE a start is not chosen pixel by pixel: $\sigma$ comes from convolutions. What do
# maps look like *before* training? They hardly differ from $\frac12$, so each is stretched to $[0, 1]$
# for the picture.

# %%
untrained = []
for seed in range(4):
    fresh = sv.build_model("split-vae", preset.model, seed).eval()
    untrained.append(sv.inference.reconstruct_all(fresh, test[:8]).sigma_map[:1])
before = torch.cat(untrained)  # (4, 1, 32, 32)
low, high = before.amin(dim=(2, 3), keepdim=True), before.amax(dim=(2, 3), keepdim=True)
stretched = (before - low) / (high - low)
share = nyquist_share(stretched.double())
assert (share > diagnostics.noise_nyquist_share(32, 32)).float().mean() >= 0.5
print("spread of sigma before training:", [f"{v:.0e}" for v in before.std(dim=(1, 2, 3)).tolist()])
print("Nyquist share of white noise:", round(diagnostics.noise_nyquist_share(32, 32), 2))
sv.plots.image_rows(
    {"σ, stretched": stretched}, maps=["σ, stretched"],
    above=[f"seed {seed}: share {value:.2f}" for seed, value in enumerate(share.tolist())],
    title="Sigma maps before training",
)

# %% [markdown]
# Fine textures, nothing smooth. For most seeds the share lies above that of noise: pixels alternate by more
# than accident, and there is a known reason. A transposed convolution with kernel 3 and stride 2 gives
# neighbouring output pixels different numbers of input pixels to draw on, and so favours patterns that repeat
# every two pixels (Odena, Dumoulin and Olah describe it). A plausible source of
# alternation. Does the amount of it before training tell the kind afterwards? The
# [appendix](10_appendix.ipynb), section 3, asks more seeds.
#
# So the kind of a split is a habit of the architecture plus the accidents of a seed.

# %% [markdown] tags=["slide"]
# ## Recap
#
# - $\sigma$ matters only where $x_1$ and $x_2$ differ; elsewhere its values are left over.
# - Syntactic: $\sigma$ or $x_1 - x_2$ alternates; measured by the share of energy near the Nyquist
#   frequency, where noise already scores nearly a half.
# - Semantic: $\sigma$ follows contours; measured by the correlation of edges, above what the same
#   maps score on other images.
# - Swapping $x_1$ and $x_2$ mirrors $x$ about their average; sharpening multiplies the log-odds.
# - The loss sees $x$ alone, so it prefers no split; start and architecture decide. All this rests
#   on two networks, and on bounds somebody chose. Whether $x_1$ and $x_2$ score better
#   than $x$, as the paper says, is measured in [notebook 8](08_reproduce_the_paper.ipynb).
#
# All symbols of the course are in the [glossary](../docs/glossary.md).

# %%
sv.course.quiz("04")

# %% [markdown]
# ## References
#
# - A. Asperti, L. Bugo, D. Filippini, *Enhancing variational generation through
#   self-decomposition*, IEEE Access 10, 2022,
#   [arXiv:2202.02738](https://arxiv.org/abs/2202.02738): the Split VAE, and its two kinds of
#   split.
# - A. Odena, V. Dumoulin, C. Olah, *Deconvolution and checkerboard artifacts*, Distill, 2016,
#   [doi:10.23915/distill.00003](https://doi.org/10.23915/distill.00003).
# - J. Cohen, *A coefficient of agreement for nominal scales*, Educational and Psychological
#   Measurement 20, 1960: the correction for chance.
