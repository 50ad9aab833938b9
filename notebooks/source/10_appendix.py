# %% [markdown] tags=["slide"]
# # 10 · Appendix: three longer looks
#
# Three sections that stand by themselves; take the one that you are curious about.
#
# **Objectives.** After this notebook you can
# - tighten the ELBO by importance weighting, say what its gap to $\log p(x)$ means, and turn densities
#   into probabilities of bytes;
# - measure the roof above a training step, and say where the time below it goes;
# - read an experiment that crosses factors, and say whose variance it is.
#
# **Prerequisites.** Section 1: [notebook 2](02_balancing_the_elbo.ipynb). Section 2: [notebook
# 5](05_train_on_cuda.ipynb). Section 3: [notebook 4](04_sigma_map.ipynb).
#
# **Time.** {{minutes}}
#
# {{versions}}

# %%
import copy
import itertools
import math
import os
import time

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.distributions import Normal
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import svae_lib as sv
from svae_lib.experiments.tables import read_table
from svae_lib.plots.figure import BLACK, BLUE, GREEN, GREY, ORANGE, PALETTE
from svae_lib.support.files import embedded, read_json

budget = sv.course.budget()
learning = sv.course.profile() != "smoke"  # the smoke profile computes too little for conclusions
sets = sv.data.load("mnist-5k")
D = sets.test[0].numel()  # numbers in an image
models = {beta: sv.load_trained(f"small-beta-{beta}", "small-vae") for beta in (1, 4, 16)}
gammas = {b: sv.checkpoints.trained_history(f"small-beta-{b}", "small-vae")["gamma"][-1] for b in models}

# %% [markdown] tags=["slide"]
# ## 1. How tight is the bound?
#
# The ELBO lies below $\log p(x)$ by the gap of [notebook 1](01_vanilla_vae.ipynb), section 3.2, the KL
# divergence of the encoder's $q(z \mid x)$ from the true posterior. How wide is it? A tighter bound
# tells at least a part. Draw not one $z$ but $M$, and average *before* the logarithm:
#
# $$\log p(x) \ge \mathbb{E}\left[\log \frac{1}{M} \sum_{z} \frac{p(x, z)}{q(z \mid x)}\right],
# \qquad \text{the sum over } M \text{ draws } z \sim q(z \mid x).$$
#
# Each fraction has the mean $\int p(x, z)\, dz = p(x)$, so their average has it too, and the mean of
# its logarithm can only be lower (Jensen's inequality, as in notebook 1). $M = 1$ is the ELBO. The more
# draws, the less their average varies, and the less the logarithm costs: this **importance-weighted
# bound** rises with $M$, and towards $\log p(x)$.
#
# ### Exercise 1: `importance_weighted_bound` (10 minutes, ★★)
#
# Inside the expectation, for each image. Densities of images are numbers like $e^{1000}$, which no
# float holds: stay with logarithms from start to end. (`sv.exercises.hint("importance_weighted_bound", 1)`)

# %%
def importance_weighted_bound(log_joint, log_q):
    """log p(x, z) and log q(z | x) of each image's M draws, (N, M) both -> (N,), in nats"""
    # BEGIN SOLUTION
    return torch.logsumexp(log_joint - log_q, dim=1) - math.log(log_joint.shape[1])
    # END SOLUTION


importance_weighted_bound = sv.exercises.check("importance_weighted_bound", importance_weighted_bound)

# %% [markdown] tags=["slide"]
# ### 1.1 Where the answer is known
#
# One latent variable, one pixel and the linear decoder of notebook 1, section 3.3: there $\log p(x)$ is
# known. As $q$ we take two Gaussians at the right place, one with twice the posterior's standard
# deviation and one with half of it.
#
# **What do you expect?** The narrow $q$ has the smaller gap, so it is ahead at $M = 1$. At $M = 1000$
# too?

# %%
sv.course.predict("10-wide-or-narrow")

# %%
def climb(log_joint, log_q, counts):
    """Mean bound for each M in counts, from the same draws, shared out into groups of M."""
    groups = [(log_joint.reshape(-1, M), log_q.reshape(-1, M)) for M in counts]
    return torch.stack([importance_weighted_bound(*group).mean() for group in groups])


w, gamma, x = 1.5, 0.4, torch.tensor(1.2)
log_px = Normal(0.0, math.sqrt(w**2 + gamma)).log_prob(x)
place, width = w * x / (w**2 + gamma), math.sqrt(gamma / (w**2 + gamma))  # of the true posterior
noise = torch.randn(1000, 1000, generator=torch.Generator().manual_seed(0))
counts = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
bounds = {}
for factor in (2, 0.5):
    q = Normal(place, factor * width)
    z = place + factor * width * noise
    log_joint = Normal(w * z, math.sqrt(gamma)).log_prob(x) + Normal(0.0, 1.0).log_prob(z)
    bounds[factor] = climb(log_joint, q.log_prob(z), counts)
    elbo = log_px - (factor**2 - 1 - math.log(factor**2)) / 2  # less the KL divergence of q
    torch.testing.assert_close(bounds[factor][0], elbo, atol=0.01, rtol=0)
    assert (bounds[factor] < log_px + 0.01).all()

# %%
figure = Figure(figsize=(6, 3.2), layout="constrained")
axes = figure.subplots()
axes.axhline(log_px, color=BLACK, linewidth=1, label="$\\log p(x)$")
for factor, style, colour in ((2, "o-", BLUE), (0.5, "s--", ORANGE)):
    label = f"$q$ {factor} x as wide as the posterior"
    axes.semilogx(counts, bounds[factor], style, color=colour, label=label)
axes.set(xlabel="$M$, draws under the logarithm", ylabel="bound (nats)")
axes.legend(fontsize=9, loc="lower right")
assert bounds[2][0] < bounds[0.5][0] and bounds[2][-1] > bounds[0.5][-1]
sv.plots.show(
    figure, "Two curves rise with the number of draws M towards the line log p(x). That of the wide q "
    "starts lower, crosses the other after a few draws and soon touches the line; that of the narrow "
    "q is still a little below it at 1000 draws.",
)

# %% [markdown]
# The wide $q$ overtakes. It wastes draws, but covers all places that matter; the narrow one hardly ever
# draws from the posterior's tails, where its fractions are largest. A few rare draws carry the mean, and
# most sets of $M$ miss them.

# %% [markdown] tags=["slide"]
# ### 1.2 Where it is not
#
# The same for the models of notebook 2, section 4, as they come with the course, with $p(x \mid z)$ at the
# $\gamma$ that each of them ended with:

# %%
def log_densities(model, gamma, some, draws):
    """log p(x, z) and log q(z | x) of draws from the posteriors of bytes (N, ...): (N, draws) both"""
    x, (mu, log_var) = sv.data.to_float(some), sv.inference.encode_all(model, some)
    q, prior = Normal(mu, (0.5 * log_var).exp()), Normal(0.0, 1.0)
    generator = torch.Generator().manual_seed(0)
    log_joint, log_q = torch.empty(2, len(x), draws)
    for i in range(draws):
        z = q.mean + q.stddev * torch.randn(mu.shape, generator=generator)
        x_hat = sv.inference.decode_all(model, z).x_hat
        error = sv.reconstruction_error(x, x_hat)
        log_likelihood = -error / (2 * gamma) - D / 2 * math.log(2 * math.pi * gamma)
        log_joint[:, i] = log_likelihood + prior.log_prob(z).sum(dim=1)
        log_q[:, i] = q.log_prob(z).sum(dim=1)
    return log_joint, log_q


# %% [markdown]
# Beside nats the table has **bits per dimension**: a byte, divided by 255, owns an interval of width
# 1/255, so its probability is about its density times that, and on average it costs
# $\log_2 255 - \log p(x) / (D \log 2)$ bits.
#
# **What do you expect?** At $\beta = 1$ the loss was the negative ELBO, but for its
# constant. At $\beta = 4$ and 16, will the bound climb more from $M = 1$, or less? (Divide the loss by
# $\beta$: for which variance of a pixel is it an ELBO?)

# %%
sv.course.predict("10-climb")

# %%
counts = (1, 10, 100, 1000)[: sv.course.pick(smoke=2, laptop=4, gpu=4)]
print("beta    nats: ELBO" + "".join(f"{f'M = {M}':>10}" for M in counts[1:]), end="")
print("   bits per dimension: ELBO, last bound   effective draws")
by_hand = {}
for beta in (1, 4, 16):
    log_joint, log_q = log_densities(models[beta], gammas[beta], sets.test[:50], counts[-1])
    bounds = climb(log_joint, log_q, counts)
    assert (bounds.diff() > -0.01).all()  # Jensen's, even for these very draws; rounding aside
    by_hand[beta] = bounds
    bits = math.log2(255) - bounds / (D * math.log(2))
    effective = 1 / (log_joint - log_q).softmax(dim=1).square().sum(dim=1)  # share the weight
    print(f"{beta:4}    {''.join(f'{b:10.1f}' for b in bounds)}", end="")
    print(f"{bits[0]:28.3f}{bits[-1]:12.3f}{effective.mean():18.1f}")
if learning:
    assert by_hand[1][-1] - by_hand[1][0] < by_hand[16][-1] - by_hand[16][0]

# %% [markdown]
# Each climb is nats by which $\log p(x)$ lies above the ELBO *at least*: so far is the encoder's
# Gaussian, with independent latent variables and one network for all images, from the true posterior.
# The gap itself is wider still: of all draws hardly more than one or two carry the weight, and the bound
# has not stopped climbing.
#
# With $\beta$ the climb grows. The loss divided by $\beta$ is a negative ELBO for the variance
# $\beta\gamma$, so that is the posterior which the encoder learnt, and it is wider than the one for
# $\gamma$. As in the toy, a wide $q$ wastes draws, and draws repair it.
#
# **A warning.** These are densities of numbers in $[0, 1]$, not probabilities. They move with $\gamma$,
# and with how bytes are made continuous (noise added to them, *dequantisation*, or not, as here); our
# empty border counts among the $D$ numbers too. Compare them between models of one protocol, never
# across papers.

# %% [markdown] tags=["slide"]
# ### 1.3 The probability of a byte
#
# The bits in that table took something on trust: that a byte's probability is its density times 1/255.
# But 0 and 255 stand at the ends. No byte is darker than black, so all that the decoder's Gaussian has
# below 0 belongs to the byte 0 as well, and all beyond 1 to the byte 255.
#
# **What do you expect?** A decoder answers a black pixel with exactly 0. How many bits does the pixel
# cost with its interval alone, and how many with all that lies below it?

# %%
sv.course.predict("10-black-pixel")

# %%
every = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)  # each byte, as an image of one pixel
answer = torch.zeros(256, 1, 1, 1)
alone = sv.likelihood.log_density(every, answer, gammas[1]) - math.log(255)
with_ends = sv.likelihood.log_probability(every, answer, gammas[1])
for name, log_p in (("interval alone", alone), ("ends included", with_ends)):
    bits = -log_p[0] / math.log(2)
    print(f"{name}: black costs {bits:.2f} bits; the 256 probabilities sum to {log_p.exp().sum():.3f}")
assert math.isclose(with_ends.exp().sum(), 1, abs_tol=1e-6)

# %% [markdown]
# About one bit, since half of a Gaussian around 0 lies below 0; and probabilities that sum to 1, as they
# must. (Ho, Jain and Abbeel treat the ends like this for diffusion models.) Most pixels of a digit are
# black, so a whole image becomes far cheaper. The library's `likelihood_bound` does by itself what we did by hand:

# %%
bound = sv.likelihood.likelihood_bound(
    models[1], sets.test[:50], gammas[1], draws=counts[-1], progress=False
)
print(bound)
assert math.isclose(bound.elbo, by_hand[1][0], abs_tol=0.1)
assert math.isclose(bound.importance_weighted, by_hand[1][-1], abs_tol=0.1)

# %% [markdown]
# The same nats, and bits that are a bound on probabilities: on the same images they can be compared with
# those of any model that gives bytes probabilities, whatever its kind. `svae evaluate RUN
# --likelihood-draws 100` adds both to the scores. Does a split decoder make digits more probable?
# [Notebook 8](08_reproduce_the_paper.ipynb) asks.

# %% [markdown] tags=["slide"]
# ### 1.4 Rate and distortion
#
# The two parts of the ELBO as a plane: the KL divergence is a **rate** (nats paid per image), the squared
# error a **distortion**. Each $\beta$ is a point; moving along the curve is a matter of taste, getting below
# it takes a better model. For comparison, the best *linear* VAE with 16 latent variables on Gaussian data:
# by notebook 2, section 2.1, a direction of variance $\lambda$ contributes the error
# $d = \min(\lambda, \beta\gamma)$ and $\frac12 \log (\lambda / d)$ nats.

# %%
test = sv.data.to_float(sets.test[: budget.test_images])
covariance = torch.cov(sv.data.to_float(sets.train).flatten(1).T)
eigenvalues = torch.linalg.eigvalsh(covariance.double()).flip(0).clamp(min=0)  # falling
kept, theory = eigenvalues[:16], []
for price in torch.logspace(-4.2, 1, 100):
    d = torch.minimum(kept, price)
    theory.append((0.5 * (kept / d).log().sum(), (d.sum() + eigenvalues[16:].sum()) / D))

# %%
figure = Figure(figsize=(6, 3.4), layout="constrained")
axes = figure.subplots()
axes.plot(*zip(*theory), color=GREY, label="linear VAE, Gaussian data (theory)")
for i, beta in enumerate((1, 4, 16, 64, 256)):
    model = sv.load_trained(f"small-beta-{beta}", "small-vae")
    mu, log_var = sv.inference.encode_all(model, sets.test[: len(test)])
    noise = torch.randn(mu.shape, generator=torch.Generator().manual_seed(0))
    x_hat = sv.inference.decode_all(model, mu + noise * (0.5 * log_var).exp()).x_hat
    point = sv.kl_divergence(mu, log_var).mean(), (test - x_hat).square().mean()
    axes.plot(*point, "os^Dv"[i], color=PALETTE[i], markersize=8, label=f"$\\beta$ = {beta}")
axes.set(xlabel="rate: KL divergence (nats per image)", ylabel="distortion: MSE", xlim=(-2, 80))
axes.legend(fontsize=9)
sv.plots.show(figure, "MSE over KL divergence on test images: a falling curve for the linear theory, "
              "and a point per beta, from no rate and high distortion to high rate and low distortion.")

# %% [markdown]
# At rate 0 only the variance of the data is left. With more nats, the nonlinear
# VAE gets below what any linear one can do with 16 variables. The step from $\beta = 4$ to 1 costs
# many nats and hardly lowers the error on *test* images.

# %% [markdown] tags=["slide"]
# ## 2. How fast could a step be?
#
# Two limits of a machine bound every speed from above: its **peak**, the arithmetic per second of its
# matrix units, and its **bandwidth**, the bytes per second between memory and processor. Both are
# measured here, not taken from a data sheet: the fastest of three large matrix products, and a large copy
# (which reads and writes each byte), each the best of several tries, in the number format that training
# takes on this machine. Then the training step: how much arithmetic it is, and how fast it goes.

# %%
device = sv.devices.default_device()
on_gpu = device.type == "cuda"
threads = f"{device.type}, threads: {torch.get_num_threads()}"
machine = torch.cuda.get_device_name() if on_gpu else threads
precision = sv.devices.resolve_precision("auto", device)
dtype = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
preset = sv.PRESETS[budget.preset]
images = sets.train[: budget.train_images]
trainer = sv.Trainer(sv.build_model("split-vae", preset.model, seed=0), images, preset.train, device)


def wait():
    """Return when the device has done all that it was asked for."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


# %%
REPEATS = sv.course.pick(smoke=3, laptop=15, gpu=30)


def seconds(work):
    """Best time of work(): other programs can only slow it down."""
    found = []
    with sv.devices.tuned(device):
        work()  # warm-up, not counted
        for _ in range(REPEATS):
            wait()
            start = time.perf_counter()
            work()
            wait()
            found.append(time.perf_counter() - start)
    return min(found)


# %%
def product_speed(n):
    """FLOP/s of a product of two (n, n) matrices."""
    a = torch.randn(n, n, device=device).to(dtype)
    return 2 * n**3 / seconds(lambda: a @ a)


largest = sv.course.pick(smoke=256, laptop=2048, gpu=8192)
peak = max(product_speed(n) for n in (largest // 4, largest // 2, largest))
megabytes = sv.course.pick(smoke=4, laptop=64, gpu=512)
block = torch.empty(megabytes * 2**20, dtype=torch.uint8, device=device)
target = torch.empty_like(block)
bandwidth = 2 * block.numel() / seconds(lambda: target.copy_(block))
print(f"{machine}, {precision}: peak {peak / 1e9:,.0f} GFLOP/s, bandwidth {bandwidth / 1e9:,.1f} GB/s")

# %%
x = sv.data.to_float(images[:2]).to(device)
noise = torch.zeros(2, preset.model.latent_dim, device=device)
with FlopCounterMode(display=False) as counter:
    trainer.model.loss(x, noise, 1.0, 1.0).total.backward()
step_flops = counter.get_total_flops() / len(x)  # per image, forward and backward


def clock_steps(trainer, steps):
    """Seconds that some training steps take, after two that do not count."""
    trainer.model.train()
    with sv.devices.tuned(device):  # as in trainer.fit(): cuDNN's fastest algorithms, memory kept
        for step in range(steps + 2):
            if step == 2:
                wait()
                start = time.perf_counter()
            trainer.train_step()
        wait()
        return time.perf_counter() - start


count_steps = sv.course.pick(smoke=3, laptop=20, gpu=200)
rate = count_steps * preset.train.batch_size / clock_steps(trainer, count_steps)
achieved = rate * step_flops
print(f"training: {rate:,.0f} images/s x {step_flops / 1e6:,.1f} MFLOP = {achieved / 1e9:,.2f} GFLOP/s")
print(f"fraction of the measured matrix peak: {achieved / peak:.1%}")

# %% [markdown] tags=["slide"]
# ### 2.1 Where does the rest go?
#
# A **profiler** writes down which operation takes how long. PyTorch's, over a few steps, without a
# compiler; an operation's *own* time leaves out that of the operations which it calls:

# %%
os.environ["KINETO_LOG_LEVEL"] = "6"  # keeps the profiler's messages off the page
own = "self_device_time_total" if on_gpu else "self_cpu_time_total"  # time on the GPU, or the CPU
activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
plain = sv.Trainer(copy.deepcopy(trainer.model), images, preset.train, device, compile=False)
clock_steps(plain, 1)  # warm-up
with sv.devices.tuned(device), profile(activities=activities) as profiled:
    for _ in range(3):
        plain.train_step()
    wait()
# An operation of PyTorch counts under CPU, the kernels that it launched once more under CUDA.
calls = [call for call in profiled.key_averages() if call.device_type.name == "CPU"]
spent = {call.key: getattr(call, own) for call in calls}
total = sum(spent.values())
for name in sorted(spent, key=spent.get, reverse=True)[:8]:
    print(f"{spent[name] / total:6.1%}  {name[:70]}")
matrix = [name for name in spent if any(word in name for word in ("convolution", "mm", "linear"))]
print(f"{sum(spent[name] for name in matrix) / total:6.1%}  all convolutions and matrix products")

# %% [markdown]
# The last line is the part that the count of multiply-adds knows of. The rest (BatchNorm, swish, copies, Adam;
# on a CPU Python's own work, too) does next to no arithmetic, and lowers the fraction of the peak by all the
# time it takes. And why are the convolutions not at the peak themselves? For that take operations one by one.
#
# ### 2.2 The roof
#
# The **arithmetic intensity** of an operation is its FLOP per byte that it reads and writes. With
# a given intensity no operation is faster than the **roof**
#
# $$\min(\text{peak},\; \text{intensity} \cdot \text{bandwidth}).$$
#
# Convolutions have a high intensity, BatchNorm, swish and Adam a low one: they are bound by memory. We
# measure both kinds.
#
# A convolution also depends on the **memory format**. An image batch $(N, C, H, W)$ may lie in memory
# plane by plane (contiguous), or pixel by pixel with the channels side by side (`channels_last`),
# which matrix units like. Shape and values are the same, only the strides differ:

# %%
planes = torch.zeros(2, 3, 4, 5)
pixels = planes.contiguous(memory_format=torch.channels_last)
print("shape", tuple(planes.shape), "strides", planes.stride(), "or channels last", pixels.stride())
assert torch.equal(planes, pixels)

# %%
def convolution(width, size, memory_format):
    """Intensity (FLOP/byte) and speed (FLOP/s) of a 3x3 convolution, and its result."""
    torch.manual_seed(0)
    layer = nn.Conv2d(width, width, 3, padding=1, device=device, dtype=dtype)
    layer = layer.to(memory_format=memory_format)
    x = torch.randn(batch, width, size, size).to(device, dtype, memory_format=memory_format)
    with torch.no_grad():
        y = layer(x)
        operations = 2 * y.numel() * width * 9  # a multiply-add is two
        speed = operations / seconds(lambda: layer(x))
    moved = (x.numel() + y.numel() + layer.weight.numel()) * x.element_size()
    return operations / moved, speed, y


base, batch = preset.model.base_dim, preset.train.batch_size
shapes = [(base, 32), (2 * base, 16), (4 * base, 8), (8 * base, 4)]  # the decoder's four scales
found = {"plane by plane": [], "channels last": []}
for width, size in shapes:
    for label, memory_format in zip(found, (torch.contiguous_format, torch.channels_last)):
        found[label].append(convolution(width, size, memory_format))
    tolerance = 1e-4 if precision == "float32" else 0.05
    torch.testing.assert_close(*(f[-1][2] for f in found.values()), rtol=tolerance, atol=tolerance)

# %% [markdown]
# And one that is bound by memory: BatchNorm and swish together, at the decoder's largest size. Per number
# that is 1 FLOP for the mean, 3 for the variance, 4 for normalising and 4 for swish (its exponential counted
# as one), while each number has to be read and written at least once.

# %%
width, size = shapes[0]
norm = nn.BatchNorm2d(width, device=device)  # in training mode: it takes the batch's statistics
x = torch.randn(batch, width, size, size).to(device, dtype)
with torch.no_grad():
    speed = 12 * x.numel() / seconds(lambda: nn.functional.silu(norm(x)))
of_norm = 12 / (2 * x.element_size()), speed  # intensity (FLOP/byte), FLOP/s
print(f"BatchNorm and swish: {of_norm[0]:.1f} FLOP/byte, {speed / 1e9:,.1f} GFLOP/s; the roof there: "
      f"{min(peak, of_norm[0] * bandwidth) / 1e9:,.1f} GFLOP/s")
assert of_norm[0] < min(point[0] for point in found["plane by plane"])

# %%
figure = sv.plots.AltFigure(figsize=(6.4, 4.4), layout="constrained")
axes = figure.subplots()
intensity = torch.logspace(-1, 3, 100)
roof = (intensity * bandwidth).clamp(max=peak)
axes.loglog(intensity, roof / 1e9, color=GREY, label="roof: min(peak, intensity x bandwidth)")
for (label, points), marker, colour in zip(found.items(), "os", (BLUE, ORANGE)):
    axes.loglog([p[0] for p in points], [p[1] / 1e9 for p in points], marker, color=colour, label=label)
for (width, size), point in zip(shapes, found["plane by plane"]):
    axes.annotate(f"{width} ch., {size}x{size} ", (point[0], point[1] / 1e9), fontsize=8, rotation=90,
                  xytext=(0, -5), textcoords="offset points", ha="center", va="top")
axes.loglog(of_norm[0], of_norm[1] / 1e9, "^", color=BLACK, label="BatchNorm and swish")
axes.axhline(achieved / 1e9, color=GREEN, linestyle="--", label="the whole training step")
axes.set(xlabel="arithmetic intensity (FLOP/byte)", ylabel="GFLOP/s", title=f"Measured on: {machine}")
axes.set_ylim(bottom=min(peak / 60, of_norm[1] / 2) / 1e9)
figure.legend(fontsize=8, loc="outside lower center", ncols=3)
sv.plots.show(figure, "Roof-line plot on logarithmic axes: the roof rises with the intensity, then is "
              "flat. Convolutions of four sizes in two memory formats; BatchNorm with swish, far to "
              f"their left; the training step is at {achieved / peak:.0%} of the peak.")

# %% [markdown]
# Read off, for *your* machine: which memory format wins for which size, and how far the whole step lies
# below its own convolutions. BatchNorm with swish lies far to their left, where the roof is low; if it does not
# even reach that roof, it goes over memory more often than it would have to, or computes its exponentials
# slowly. (Points may lie above the sloped part of the roof: small tensors stay in
# the processor's caches, which are faster than memory. Points above the flat part say that the peak
# was measured too low, while other programs were busy, or that an algorithm such as Winograd's does
# with fewer multiplications than we count.) The usual ways up:
# - a larger batch, while it fills more of the device, and with the learning rate in mind;
# - 16 bits, where the device has units for them;
# - `channels_last`, where it measured better;
# - fewer passes over memory: fusing small operations, which is what a compiler does (`torch.compile`; the
#   trainer uses it by itself on CUDA, for trainings of `sv.devices.COMPILE_FROM_STEPS` steps or more).
#
# In 16 bits the roof is higher, and a step need not be faster: only products gain, and a processor converts
# what lies between them. Compare images per second between formats, never fractions of their peaks.

# %% [markdown] tags=["slide"]
# ## 3. What decides the kind of a split?
#
# In the tables of [notebook 8](08_reproduce_the_paper.ipynb) the kind of a split follows the seed. A seed
# gives a model two things: its first weights, and the stream of batches and noise that it is trained on.
# Which of them decides? `scripts/weights_or_order.py` crosses four seeds for the one with four for the
# other. Its first lines say what was fixed before the first run: the measure *semantic*, and the share of
# its variance over the 16 runs that goes with either. Were all chance, these would be 3/15 each, and 9/15
# would be left.
#
# ### Exercise 2: `variance_share` (10 minutes, ★★)
#
# Every combination was run once, so that the values fill a table with a dimension for each factor.
# How much of their variance would be left if all factors but those in `kept` were averaged away?

# %%
def variance_share(values, kept):
    """values: a dimension per factor; kept: a list of dimensions -> share of the variance, a scalar"""
    # BEGIN SOLUTION
    others = [d for d in range(values.ndim) if d not in kept]
    return values.mean(dim=others).var(correction=0) / values.var(correction=0)
    # END SOLUTION


variance_share = sv.exercises.check("variance_share", variance_share)

# %% [markdown]
# **What do you expect?** Rows are first weights, columns are orders. Will rows or columns be alike?

# %%
sv.course.predict("10-rows-or-columns")

# %%
crossed = read_json(embedded("results/weights_or_order.json"))
runs = {(run["weights"], run["order"]): run for run in crossed["runs"]}
weights, orders = (sorted(set(seeds)) for seeds in zip(*runs))
print(" " * 10, *(f"order {b:<5}" for b in orders))
for a in weights:
    print(f"weights {a}", *(f"{runs[a, b]['label']:11}" for b in orders))

grid = torch.tensor([[runs[a, b]["semantic"] for b in orders] for a in weights])
factors = ("the first weights", "order and noise")
shares = {name: variance_share(grid, [d]) for d, name in enumerate(factors)}
for name, share in (shares | {"neither": 1 - sum(shares.values())}).items():
    print(f"share of the variance that goes with {name:18} {share:.0%}")

# %% [markdown]
# The rows are alike: mostly **the first weights decide**, before the first image is seen. Not alone,
# though: in two rows one order leads elsewhere. Sixteen runs, one small network, one data set: a beginning.
#
# **What do you expect?** In [notebook 4](04_sigma_map.ipynb), section 8.2, the untrained map of seed 1
# alternates most, and seed 1 became syntactic. Only three were trained. Sort all that are recorded at
# $\beta = 4$ by the untrained map's share near Nyquist: where will the syntactic ones stand?

# %%
sv.course.predict("10-untrained-map")

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
# At both ends, and one, seed 20, in between: *the more alternation before training, the likelier syntactic after
# it*, which three seeds suggested, is gone. (Those that are always semantic stand in the middle. But that was
# found by looking at these seeds: others must test it.)

# %% [markdown] tags=["slide"]
# ### 3.1 Which of the weights?
#
# The next experiment divides the first weights in three: the **encoder**; the **decoder**, from the latent
# vector to its last residual block; and the **head**, the last convolution, which makes $\sigma$, $x_1$ and
# $x_2$ of the decoder's features. `scripts/which_weights.py` takes each from a seed of its own, the four
# from above: 64 combinations, all trained with one order and one noise. Fixed before the first run: a part
# that has more than half of the variance of *semantic* is called the one that decides; if none has, none is.
# Were all chance, each would have 3/63.
#
# **What do you expect?** The head is a tiny part of all weights, but $\sigma$ comes out of it. And can
# the encoder, which never sees $\sigma$, matter at all?

# %%
sv.course.predict("10-which-weights")

# %%
parts = ("encoder", "decoder", "head")
record = read_json(embedded("results/which_weights.json"))
found = {tuple(run[part] for part in parts): run["semantic"] for run in record["runs"]}
cube = torch.tensor([found[seeds] for seeds in itertools.product(weights, repeat=3)]).view(4, 4, 4)


for d, part in enumerate(parts):
    print(f"share of the variance that goes with the {part:8} {variance_share(cube, [d]):.0%}")
print(f"with decoder and head together {variance_share(cube, [1, 2]):.0%}")
print("\nmean of the measure semantic: decoders in rows, heads in columns")
print("\n".join(" ".join(f"{value:6.2f}" for value in row) for row in cube.mean(dim=0)))
for a in weights:  # three parts of one seed are a run of the first experiment, to the last bit
    assert found[a, a, a] == runs[a, record["order"]]["semantic"]

# %% [markdown]
# No part has half, so **none decides alone**. The encoder matters only jointly. Decoder and
# head each have some; *together* they have most, far more than their sum: it matters how a head fits the
# features that it finds. (This last number was not asked for beforehand; by chance it would be 15/63.) The
# die is cast where features are first turned into $\sigma$, $x_1$ and $x_2$, before any image is seen. Which
# property of the pair it is remains open.

# %% [markdown] tags=["slide"]
# ## Recap
#
# - More draws under the logarithm tighten the ELBO; how far it climbs tells how far, at least, the
#   encoder's Gaussian is from the posterior.
# - Densities compare within one protocol only; probabilities of bytes, in bits per dimension, between
#   models of any kind.
# - No operation is faster than its roof, the smaller of peak and intensity times bandwidth. What a
#   step loses to the peak goes to operations that hardly compute, and to slow convolutions.
# - Cross the factors, and average the others away: what variance is left goes with the one that is kept.
#   Decoder and head *together* decide most of the kind of a split, before the first image is seen.
#
# All symbols of the course are in the [glossary](../docs/glossary.md).

# %%
sv.course.quiz("10")

# %% [markdown]
# ## References
#
# - Y. Burda, R. Grosse, R. Salakhutdinov, *Importance weighted autoencoders*, ICLR 2016,
#   [arXiv:1509.00519](https://arxiv.org/abs/1509.00519): the bound of section 1 (they train with it).
# - J. Ho, A. Jain, P. Abbeel, *Denoising diffusion probabilistic models*, NeurIPS 2020,
#   [arXiv:2006.11239](https://arxiv.org/abs/2006.11239): equation 13, probabilities of bytes.
# - A. Alemi et al., *Fixing a broken ELBO*, ICML 2018,
#   [arXiv:1711.00464](https://arxiv.org/abs/1711.00464): rate and distortion.
# - S. Williams, A. Waterman, D. Patterson, *Roofline: an insightful visual performance model for
#   multicore architectures*, Communications of the ACM 52(4), 2009.
# - G. Box, W. Hunter, S. Hunter, *Statistics for experimenters*: experiments that cross factors.
