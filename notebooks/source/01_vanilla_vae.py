# %% [markdown] tags=["slide"]
# # 1 · The variational autoencoder
#
# **Objectives.** After this notebook you can
# - say what an autoencoder's loss leaves open, and what a VAE adds;
# - derive the ELBO, and name what each of its terms does;
# - explain the closed-form KL divergence and the reparameterisation trick, and check both;
# - write and train a small VAE by hand, and train the library's.
#
# **Prerequisites.** PyTorch modules and optimisers; Gaussian densities and expectations.
#
# **Time.** {{minutes}}
#
# {{versions}}

# %%
import math
from dataclasses import replace

import torch
from torch import nn

import svae_lib as sv
from svae_lib.plots.figure import BLUE, GREEN, ORANGE

TRAIN = True  # False: load weights that come with the course instead of training
budget = sv.course.budget()  # how much this machine should compute: smoke, laptop or gpu
learning = sv.course.profile() != "smoke"  # the smoke profile trains too little to learn
print("profile:", sv.course.profile())

# %% [markdown] tags=["slide"]
# ## 1. Real digits
#
# We work with 5,000 handwritten digits of MNIST. An image $x$ is a tensor of $D$ numbers in
# $[0, 1]$; here $D = 1 \cdot 32 \cdot 32 = 1024$. On disk they are bytes, `to_float` divides by 255.

# %%
sets = sv.data.load("mnist-5k")
train = sv.data.to_float(sets.train[: budget.train_images])  # (N, 1, 32, 32) in [0, 1]
test = sv.data.to_float(sets.test[: budget.test_images])
D = train[0].numel()
print(sets)
sv.plots.image_grid(train[:24], columns=12, title="Twenty-four training digits")

# %% [markdown] tags=["slide"]
# ## 2. An autoencoder, and what its loss leaves open
#
# An **encoder** turns an image $x$ into a short code $z$ of $L$ numbers, a **decoder** turns the
# code into an image $\hat{x}$ (`x_hat`) again. Both are trained to make $\|x - \hat{x}\|^2$, the
# squared error summed over the pixels, small. With $L = 10$ the code is a hundred times shorter
# than the image: the network has to find out what digits have in common.

# %%
L, HIDDEN = 10, 256


def make_encoder(outputs):  # (N, 1, 32, 32) -> (N, outputs)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(D, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, outputs)
    )


def make_decoder(latent_dim):  # (N, latent_dim) -> (N, 1, 32, 32) in (0, 1)
    return nn.Sequential(
        nn.Linear(latent_dim, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, D), nn.Sigmoid(),
        nn.Unflatten(1, (1, 32, 32)),
    )


# %%
STEPS = sv.course.pick(smoke=20, laptop=1500, gpu=5000)


# One loop for the autoencoder now and the VAE later: a random batch, its loss, a step downhill.
def fit(network, loss_of, steps=STEPS, batch_size=64, seed=0):
    """Train `network` on the loss `loss_of(batch)`."""
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(steps):
        batch = train[torch.randint(len(train), (batch_size,))]
        loss = loss_of(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


# %%
torch.manual_seed(0)
ae = nn.ModuleDict({"encoder": make_encoder(L), "decoder": make_decoder(L)})


def ae_loss(x):
    x_hat = ae.decoder(ae.encoder(x))
    return (x - x_hat).square().flatten(1).sum(dim=1).mean()


if TRAIN:
    fit(ae, ae_loss)
else:
    sv.load_trained_weights(ae, "01-autoencoder")
with torch.no_grad():
    ae_codes = ae.encoder(test)  # (N, L)
    ae_rebuilt = ae.decoder(ae_codes)
sv.plots.image_rows({"test image": test, "autoencoder": ae_rebuilt}, columns=10)

# %% [markdown] tags=["slide"]
# It has never seen these test images, and most come back recognisable. If ten numbers suffice to draw
# a digit, ten *random* numbers should draw a new one.
#
# **What do you expect?** The next cell decodes codes drawn from the standard normal distribution
# $\mathcal{N}(0, I)$. Digits, mixtures of digits, or noise?

# %%
sv.course.predict("01-random-codes")

# %%
noise_codes = torch.randn(20, L, generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    ae_samples = ae.decoder(noise_codes)
sv.plots.image_grid(ae_samples, columns=10, title="Random codes in the autoencoder's decoder")

# %% [markdown]
# Hardly a digit among them, and how could there be? Nothing in the loss says *where* codes should
# lie. The next picture compares the length $\|z\|$ of the test images' codes with that of draws from
# $\mathcal{N}(0, I)$, which is mostly near $\sqrt{L} \approx 3.2$. The codes lie far out: the draws lie where
# hardly any image was ever encoded, and the decoder has not learnt what to do there.

# %%
def code_lengths(panels):
    """Histograms of the lengths of codes (N, L), each beside that of N(0, I) draws."""
    figure = sv.plots.AltFigure(figsize=(3.9 * len(panels), 2.6), layout="constrained")
    normal = torch.randn(1000, L, generator=torch.Generator().manual_seed(2)).norm(dim=1)
    longest = torch.cat((normal, *(codes.norm(dim=1) for codes in panels.values()))).max()
    bins = torch.linspace(0, longest, 60).tolist()  # one scale for all panels
    for axes, (title, codes) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        lengths = codes.norm(dim=1)
        axes.hist(normal.tolist(), bins, density=True, color=ORANGE, label="draws from $N(0, I)$")
        axes.hist(lengths.tolist(), bins, density=True, color=BLUE, alpha=0.6, label="codes")
        axes.set(title=title, xlabel="length $\\|z\\|$", yticks=[])
        axes.legend(fontsize=8)
    medians = ", ".join(f"{title} {c.norm(dim=1).median():.1f}" for title, c in panels.items())
    text = f"Histograms of the lengths of codes. Medians: {medians}; draws {normal.median():.1f}."
    sv.plots.show(figure, text)


code_lengths({"autoencoder": ae_codes})

# %% [markdown]
# (One could look first where the codes lie, and draw there. A good objection: section 5 tries it.)
#
# ## 3. From codes to a model of images
#
# The variational autoencoder (VAE) begins at the other end, with a story of how images come about.
# 1. Nature draws a **latent vector** $z$ from the **prior** $p(z) = \mathcal{N}(0, I)$.
# 2. The decoder draws $\hat{x}(z)$, and each pixel deviates from it by Gaussian noise of variance
#    $\gamma$ (`gamma`): $p(x \mid z) = \mathcal{N}(x;\, \hat{x}(z),\, \gamma I)$.
#
# So sampling is easy *by definition*: draw $z$, decode. Training means making the training images
# likely: maximise the mean of
#
# $$\log p(x) = \log \int p(x \mid z)\, p(z)\, dz .$$
#
# For a neural decoder nobody can compute this integral. Averaging $p(x \mid z)$ over random $z$
# is hopeless too: almost every $z$ draws another digit and contributes next to nothing.

# %% [markdown] tags=["slide"]
# ### 3.1 A lower bound, step by step
#
# Most of the integral comes from few $z$: those that the image itself suggests. Let $q(z)$ be *any*
# density, positive for all $z$ (a guess at those places), and $\mathbb{E}_q$ the mean over $z \sim q$. Then
#
# $$
# \begin{aligned}
# \log p(x) &= \mathbb{E}_q\left[\log p(x)\right] && \text{it does not depend on } z \\
# &= \mathbb{E}_q\left[\log \frac{p(x, z)}{p(z \mid x)}\right] && p(x, z) = p(z \mid x)\, p(x) \\
# &= \mathbb{E}_q\left[\log \frac{p(x, z)}{q(z)}\right] + \mathbb{E}_q\left[\log \frac{q(z)}{p(z \mid x)}\right] && \text{multiply and divide by } q(z).
# \end{aligned}
# $$
#
# The last term is the **Kullback-Leibler divergence** $\mathrm{KL}(q \,\|\, p(z \mid x))$ of $q$ from
# the true **posterior** $p(z \mid x)$. It is never negative: the logarithm is concave, so by Jensen's
# inequality $-\mathrm{KL} = \mathbb{E}_q[\log \frac{p(z \mid x)}{q(z)}] \le \log \mathbb{E}_q[\frac{p(z \mid x)}{q(z)}] = \log 1 = 0$.
#
# Hence the first term is a lower bound of $\log p(x)$, the **evidence lower bound**, ELBO.

# %% [markdown] tags=["slide"]
# ### 3.2 The two terms of the ELBO
#
# With $p(x, z) = p(x \mid z)\, p(z)$ the bound falls into two parts that we *can* compute:
#
# $$
# \mathrm{ELBO}(q) = \underbrace{\mathbb{E}_q[\log p(x \mid z)]}_{\text{reconstruction}}
# - \underbrace{\mathrm{KL}(q \,\|\, p(z))}_{\text{price of the information}}
# = \log p(x) - \mathrm{KL}(q \,\|\, p(z \mid x)).
# $$
#
# The first asks how well $x$ can be redrawn from $z \sim q$. The second asks how far $q$ is from the
# prior, that is, how much $z$ tells about this image. Two things follow.
# - Maximising the ELBO over $q$ closes the gap and finds the posterior; maximising it over the decoder
#   makes the image likelier (or the gap smaller).
# - The second term pulls every image's $q$ towards the prior: just what the autoencoder lacked.
#
# ### 3.3 Seen on an example with an exact answer
#
# Let $z$ and $x$ be single numbers and the decoder linear: $\hat{x}(z) = w z$. Then everything is
# Gaussian and known: $p(x) = \mathcal{N}(0, w^2 + \gamma)$, and $p(z \mid x)$ has the mean
# $w x / (w^2 + \gamma)$ and the variance $\gamma / (w^2 + \gamma)$.

# %%
def log_normal(value, mean, variance):
    """Log-density of N(mean, variance)."""
    return -0.5 * ((value - mean) ** 2 / variance + torch.log(2 * math.pi * variance))


w, gamma, x = torch.tensor(1.5), torch.tensor(0.4), torch.tensor(1.2)
log_px = log_normal(x, 0.0, w**2 + gamma)
posterior_mean, posterior_var = w * x / (w**2 + gamma), gamma / (w**2 + gamma)

z = torch.linspace(-8, 8, 4001)  # a grid: in one dimension integrals are sums


def elbo(mean, variance):
    """ELBO of q = N(mean, variance), by summing over the grid."""
    log_q = log_normal(z, mean, variance)
    log_joint = log_normal(x, w * z, gamma) + log_normal(z, torch.tensor(0.0), torch.tensor(1.0))
    return torch.trapezoid(log_q.exp() * (log_joint - log_q), z)


print(f"log p(x) = {log_px:.3f}; posterior: mean {posterior_mean:.3f}, variance {posterior_var:.3f}")


# %% [markdown]
# **What do you expect?** The next cell computes the ELBO for many $q = \mathcal{N}(m, s^2)$. Where
# is it largest, and how large is it there? Can a $q$ with a wrong $s$ reach $\log p(x)$ at its best
# $m$?

# %%
sv.course.predict("01-largest-elbo")

# %%
means = torch.linspace(-0.6, 2, 53)
figure = sv.plots.AltFigure(figsize=(6, 3.2), layout="constrained")
axes = figure.subplots()
for factor, style, colour in ((1, "-", BLUE), (2, "--", ORANGE), (0.5, "-.", GREEN)):
    curve = torch.stack([elbo(m, factor**2 * posterior_var) for m in means])
    axes.plot(means, curve, style, color=colour, label=f"$s$ = {factor} x the posterior's")
    assert (curve <= log_px + 1e-4).all()  # a lower bound for every q
top = elbo(posterior_mean, posterior_var)
torch.testing.assert_close(top, log_px, atol=1e-4, rtol=0)  # touched by the posterior itself
axes.axhline(log_px, color="black", linewidth=1, label="$\\log p(x)$")
axes.axvline(posterior_mean, color="grey", linestyle=":", label="posterior mean")
at = torch.tensor(1.4)  # anywhere else than at the top, to show a gap
axes.annotate("", (at, log_px), (at, elbo(at, posterior_var)), arrowprops={"arrowstyle": "<->"})
axes.text(at + 0.05, log_px - 0.8, "gap:\n$\\mathrm{KL}(q\\,\\|\\,p(z|x))$", fontsize=9)
axes.set(xlabel="$m$, mean of $q$", ylabel="ELBO", ylim=(log_px - 4, log_px + 0.6))
axes.legend(fontsize=8, loc="lower center")
sv.plots.show(
    figure,
    "Three curves of the ELBO over the mean of q, all below the line log p(x). Only the one with the "
    "posterior's own standard deviation touches it, at the posterior mean. An arrow elsewhere marks "
    "the gap between a curve and the line: the KL divergence of q from the posterior.",
)

# %% [markdown]
# The bound touches $\log p(x)$ only where $q$ is the posterior itself, and the gap is the KL
# divergence of $q$ from it. With a wrong $s$ no $m$ reaches it.

# %% [markdown] tags=["slide"]
# ## 4. Three pieces, each to be built
#
# For images the encoder supplies $q$: one network, for all images, answers each $x$ with
#
# $$q(z \mid x) = \mathcal{N}\big(\mu(x),\, \mathrm{diag}\, s^2(x)\big),$$
#
# a mean $\mu$ (`mu`) and a variance $s^2$ for each of the $L$ latent variables. A network's output
# may be any number, a variance must be positive; so the encoder emits its logarithm, $\log s^2$
# (`log_var`), and $s = \exp(\frac12 \log s^2)$: in code, `torch.exp(0.5 * log_var)`. (Papers often
# write $\sigma$ for $s$; this course keeps $\sigma$ for the Split VAE's map.) The true posterior need
# not be such a Gaussian, and one network need not find the best one for every $x$: the gap of section
# 3.2 shrinks and does not vanish. The [appendix](10_appendix.ipynb), section 1, measures it.

# %% [markdown] tags=["subslide"]
# ### 4.1 The KL divergence in closed form
#
# For one latent variable with $q = \mathcal{N}(\mu, s^2)$ and $p = \mathcal{N}(0, 1)$, insert both
# densities; the constants $\frac12 \log 2\pi$ cancel:
#
# $$
# \mathrm{KL} = \mathbb{E}_q[\log q - \log p]
# = \mathbb{E}_q\left[-\tfrac12 \log s^2 - \tfrac{(z - \mu)^2}{2 s^2} + \tfrac{z^2}{2}\right]
# = \tfrac12\left(\mu^2 + s^2 - 1 - \log s^2\right),
# $$
#
# since $\mathbb{E}_q (z - \mu)^2 = s^2$ and $\mathbb{E}_q z^2 = \mu^2 + s^2$. Independent variables
# add up: the KL divergence of an image is the sum over its $L$ latent variables. Its unit is the **nat**, that
# of natural logarithms: a nat is about 1.44 bits.
#
# #### Exercise 1: `kl_divergence`
#
# Return each image's KL divergence from $\mathcal{N}(0, I)$: one number per image. Stuck? Run
# `sv.exercises.hint("kl_divergence", 1)` in a cell of your own, then 2, then 3.

# %%
def kl_divergence(mu, log_var):
    """mu, log_var: (N, L) -> (N,)"""
    # BEGIN SOLUTION
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(dim=1)
    # END SOLUTION


kl_divergence = sv.exercises.check("kl_divergence", kl_divergence)

# %%
# A check that shares nothing with the formula: the mean of log q(z) - log p(z) over many draws from q.
generator = torch.Generator().manual_seed(0)
mu, log_var = torch.randn(4, L, generator=generator), torch.randn(4, L, generator=generator)
q = torch.distributions.Normal(mu, torch.exp(0.5 * log_var))
p = torch.distributions.Normal(0.0, 1.0)

draws = mu + torch.exp(0.5 * log_var) * torch.randn(50_000, 4, L, generator=generator)
differences = (q.log_prob(draws) - p.log_prob(draws)).sum(dim=2)  # (draws, images)
estimate, error = differences.mean(dim=0), differences.std(dim=0) / math.sqrt(len(draws))
for ours, mc, e in zip(kl_divergence(mu, log_var), estimate, error):
    print(f"closed form {ours:6.3f}   Monte Carlo {mc:6.3f} +- {e:.3f}")
assert ((kl_divergence(mu, log_var) - estimate).abs() < 5 * error).all()
assert kl_divergence(torch.zeros(1, L), torch.zeros(1, L)) == 0  # the prior itself costs nothing

# %% [markdown] tags=["subslide"]
# ### 4.2 The reparameterisation trick
#
# The reconstruction term is a mean over $z \sim q$; one draw per image and step estimates it. But
# the gradient has to reach $\mu$ and $s$, which decide *how* to draw, and a drawn number is just a
# number. The trick: take the randomness out. Draw $\varepsilon \sim \mathcal{N}(0, 1)$ (`noise`), which
# depends on nothing, and compute
#
# $$z = \mu + s\, \varepsilon, \qquad s = \exp(\tfrac12 \log s^2).$$
#
# $z$ is distributed as before, and it is now an ordinary function of $\mu$ and $\log s^2$, with the
# derivatives $\partial z / \partial \mu = 1$ and $\partial z / \partial(\log s^2) = \frac12 s\, \varepsilon$.
#
# #### Exercise 2: `reparameterise`

# %%
def reparameterise(mu, log_var, noise):
    """mu, log_var, noise: (N, L); noise drawn from N(0, 1) -> z: (N, L)"""
    # BEGIN SOLUTION
    return mu + torch.exp(0.5 * log_var) * noise
    # END SOLUTION


reparameterise = sv.exercises.check("reparameterise", reparameterise)

# %%
mu = torch.tensor([0.5], requires_grad=True)
log_var = torch.tensor([-1.0], requires_grad=True)
drawn = torch.distributions.Normal(mu, torch.exp(0.5 * log_var)).sample()
assert not drawn.requires_grad  # a plain draw cuts the way back to mu and log_var

noise = torch.tensor([1.7])
d_mu, d_log_var = torch.autograd.grad(reparameterise(mu, log_var, noise), (mu, log_var))
torch.testing.assert_close(d_mu, torch.ones(1))  # the two derivatives that we worked out
torch.testing.assert_close(d_log_var, 0.5 * torch.exp(0.5 * log_var) * noise)

# And it is the right gradient on average: for f(z) = z^2, with the mean mu^2 + s^2, it is 2 mu and s^2.
noise = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
d_mu, d_log_var = torch.autograd.grad(reparameterise(mu, log_var, noise).square().mean(), (mu, log_var))
print(f"d/dmu      {d_mu.item():.3f}   exact {2 * mu.item():.3f}")
print(f"d/dlog_var {d_log_var.item():.3f}   exact {log_var.exp().item():.3f}")
torch.testing.assert_close(d_mu, 2 * mu, atol=0.02, rtol=0)
torch.testing.assert_close(d_log_var, log_var.exp(), atol=0.02, rtol=0)

# %% [markdown] tags=["subslide"]
# ### 4.3 The loss
#
# The logarithm of the Gaussian $p(x \mid z)$ is a sum over the $D$ pixels:
#
# $$-\log p(x \mid z) = \frac{\|x - \hat{x}\|^2}{2 \gamma} + \frac{D}{2} \log(2 \pi \gamma).$$
#
# The squared error, after all, but divided by $2\gamma$: the variance $\gamma$ decides how much a
# wrong pixel costs, compared with the KL divergence. With $\gamma$ fixed, the last term is a constant
# and may be dropped. What remains of the negative ELBO is the loss of an image,
#
# $$\frac{\|x - \hat{x}\|^2}{2 \gamma} + \mathrm{KL}(q(z \mid x) \,\|\, p(z)),$$
#
# and the loss of a batch is the mean over its images.
# Sum over pixels, sum over latent variables, mean over images: mixing these up is the most frequent mistake
# in VAE code, and silently changes the balance between the two terms by a factor of up to $D$.
#
# #### Exercise 3: `vae_loss`

# %%
def vae_loss(x, x_hat, mu, log_var, gamma):
    """x, x_hat: (N, C, H, W); mu, log_var: (N, L); gamma: a number -> a scalar tensor"""
    # BEGIN SOLUTION
    squared_error = (x - x_hat).square().flatten(1).sum(dim=1)  # (N,)
    return (squared_error / (2 * gamma) + kl_divergence(mu, log_var)).mean()
    # END SOLUTION


vae_loss = sv.exercises.check("vae_loss", vae_loss)

# %%
# Our loss plus the dropped constant is the negative ELBO.
x, x_hat = torch.rand(2, 3, 1, 32, 32, generator=generator)
mu, log_var = torch.randn(2, 3, L, generator=generator)
gamma = 0.05
log_likelihood = torch.distributions.Normal(x_hat, math.sqrt(gamma)).log_prob(x).sum(dim=(1, 2, 3))
negative_elbo = (-log_likelihood + kl_divergence(mu, log_var)).mean()
constant = D / 2 * math.log(2 * math.pi * gamma)
torch.testing.assert_close(vae_loss(x, x_hat, mu, log_var, gamma) + constant, negative_elbo)

# %% [markdown] tags=["slide"]
# ## 5. A VAE by hand
#
# The autoencoder's two networks again. The encoder now has $2L$ outputs, which are cut into $\mu$
# and `log_var`. Below, the path of an image, and what the two terms of the loss look at:
#
# ```text
# x ──> encoder ──> mu, log_var ──> z = mu + s * noise ──> decoder ──> x_hat
# │                      │                                               │
# │                KL divergence                                         │
# └──────────────────────────── squared error ───────────────────────────┘
# ```
#
# ### Exercise 4: `vae_forward` (5 minutes, ★)
#
# Chain the pieces, along the path of an image in the drawing above.

# %%
def vae_forward(x, noise, encoder, decoder):
    """x (N, ...), noise (N, L); encoder: x -> (N, 2L), mu first; decoder: z -> images
    -> x_hat, mu (N, L), log_var (N, L)"""
    # BEGIN SOLUTION
    mu, log_var = encoder(x).chunk(2, dim=1)
    return decoder(reparameterise(mu, log_var, noise)), mu, log_var
    # STUB: mu, log_var = ..., ...
    # STUB: x_hat = ...
    # STUB: return x_hat, mu, log_var
    # END SOLUTION


vae_forward = sv.exercises.check("vae_forward", vae_forward)


# %%
class TinyVAE(nn.Module):
    def __init__(self, latent_dim=L):
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder, self.decoder = make_encoder(2 * latent_dim), make_decoder(latent_dim)

    def encode(self, x):
        return self.encoder(x).chunk(2, dim=1)  # mu and log_var, each (N, latent_dim)

    def forward(self, x):
        noise = torch.randn(len(x), self.latent_dim)  # one draw per image
        return vae_forward(x, noise, self.encoder, self.decoder)


torch.manual_seed(0)
vae = TinyVAE()

# %% [markdown]
# ### Exercise 5: `training_step` (10 minutes, ★★)
#
# Section 2's `step` is Adam's, which rescales the gradient. Write one step of plain gradient descent, without
# an optimiser. $\theta$ (`theta`) holds all parameters of the network in one vector: let autograd find the
# gradient of the loss with respect to it, and move against it by `rate` times the gradient. Return both
# detached.

# %%
def training_step(theta, loss_of, x, rate):
    """theta: (P,); loss_of(theta, x): a scalar -> loss before the step, theta after it, (P,)"""
    # BEGIN SOLUTION
    leaf = theta.detach().requires_grad_()
    loss = loss_of(leaf, x)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), theta - rate * gradient
    # STUB: leaf = theta.detach().requires_grad_()  # autograd keeps book of what is made of it
    # STUB: loss = ...
    # STUB: gradient = ...
    # STUB: return loss, ...
    # END SOLUTION


training_step = sv.exercises.check("training_step", training_step)

# %%
shapes = {name: p.shape for name, p in vae.named_parameters()}
theta = torch.cat([p.detach().flatten() for p in vae.parameters()])


def loss_at(theta, x):
    """The loss of the VAE with the parameters theta."""
    pieces = theta.split([shape.numel() for shape in shapes.values()])
    named = {name: piece.view(shape) for (name, shape), piece in zip(shapes.items(), pieces)}
    return vae_loss(x, *torch.func.functional_call(vae, named, x), 0.1)


losses = []
for _ in range(20):
    loss, theta = training_step(theta, loss_at, train[:200], 1e-4)
    losses.append(loss.item())
print(f"{len(theta):,} parameters; loss {losses[0]:.0f} at first, {losses[-1]:.0f} after 19 steps")
assert losses[-1] < losses[0]

# %% [markdown]
# Downhill, if slowly. (`vae` itself is still untrained.) The variance $\gamma$ is ours to choose for now: $0.1$
# lets a pixel deviate by about $\sqrt{0.1} \approx 0.3$. [Notebook 2](02_balancing_the_elbo.ipynb) shows
# what happens with other values, and how to find it while training.
#
# **What do you expect?** Before training, $\mu$ and `log_var` are close to 0 for every image. Will
# the KL divergence rise or fall in training? And the squared error?

# %%
sv.course.predict("01-kl-in-training")

# %%
GAMMA = 0.1
parts = {"step": [], "reconstruction": [], "kl": []}


def loss_of(x):
    x_hat, mu, log_var = vae(x)
    loss = vae_loss(x, x_hat, mu, log_var, GAMMA)
    kl = kl_divergence(mu, log_var).mean().item()
    parts["step"].append(len(parts["step"]))
    parts["kl"].append(kl)
    parts["reconstruction"].append(2 * GAMMA * (loss.item() - kl))  # back to a squared error
    return loss


if TRAIN:
    fit(vae, loss_of)
    figure = sv.plots.training_curves(parts, ("reconstruction", "kl"), title="The VAE by hand")
    figure.axes[1].set_ylim(0, 2 * parts["kl"][-1])  # the first steps leave the picture
    sv.plots.show(figure)
else:
    sv.load_trained_weights(vae, "01-vae")

# %% [markdown]
# After a jolt in the first steps, which leaves the picture (the untrained decoder answers grey, and
# the first corrections overshoot), the KL divergence *rises*, though it is part of the loss. Near 0 it
# means that the latent variables say nothing, and that the decoder draws the same blur for all. From
# there the encoder buys information: each nat is worth its price as long as it lowers the squared error by
# more than $2 \gamma$. In the end the last nat saves just what it costs.

# %%
with torch.no_grad():
    vae_mu, vae_log_var = vae.encode(test)
    vae_rebuilt = vae.decoder(vae_mu)  # the mean of q: no noise needed to look at it
    vae_samples = vae.decoder(noise_codes)  # the very codes that the autoencoder was given
sv.plots.image_rows(
    {"test image": test, "autoencoder": ae_rebuilt, "VAE": vae_rebuilt}, columns=10,
    title="Reconstructions",
)

# %% [markdown] tags=["slide"]
# **What do you expect?** The same random codes as in section 2, now in the VAE's decoder. In the
# reconstructions the two hardly differed. And in the samples? (The last two rows of the picture are for a fair
# objection: draw where the autoencoder's codes *do* lie, from a Gaussian fitted to them after training.)

# %%
sv.course.predict("01-same-codes")

# %%
with torch.no_grad():
    codes = ae.encoder(train)  # (N, L)
    factor = torch.linalg.cholesky(torch.cov(codes.T))
    ae_fitted = ae.decoder(codes.mean(dim=0) + noise_codes @ factor.T)


def to_nearest(images):
    """Mean distance of images from the training image that is nearest to each."""
    return torch.cdist(images.flatten(1), train.flatten(1)).min(dim=1).values.mean().item()


sampled = {"autoencoder": ae_samples, "VAE": vae_samples, "autoencoder, fitted": ae_fitted}
far = {name: to_nearest(images) for name, images in (sampled | {"test images": test[:200]}).items()}
told = ", ".join(f"{name} {value:.1f}" for name, value in far.items())
print("distance to the nearest training digit:", told)
as_written = learning and L == 10  # with another L other numbers hold: try it
if as_written:
    assert far["VAE"] < 0.8 * far["autoencoder"]
    assert abs(far["autoencoder, fitted"] / far["VAE"] - 1) < 0.2
rows = {name if half == 0 else f"{name} ": images[half : half + 10]
        for name, images in sampled.items() for half in (0, 10)}
sv.plots.image_rows(rows, title="The same random codes, decoded",
                    alt=f"Images from random codes. Distance to the nearest digit: {told}.")

# %% [markdown]
# Much better, if far from perfect: some samples are digits, some lie between digits, and all are a
# little blurred. Why they improve the next picture shows: draws $z \sim q(z \mid x)$ for the
# test images now lie much closer to the prior.
#
# And the objection holds: with fitted codes the autoencoder does as well. An autoencoder whose codes are
# modelled *afterwards* is a generative model too, and [notebook 6](06_sampling.ipynb) models codes with
# more care. What a VAE adds is that its prior takes part in training:
# - the codes are trained to suit the prior, so no later fit has to suit them;
# - the ELBO bounds $\log p(x)$, so the whole is a model of images, not of codes alone;
# - every latent variable pays for what it tells, which [notebook 2](02_balancing_the_elbo.ipynb) turns
#   into a theory of blur.

# %%
vae_codes = reparameterise(
    vae_mu, vae_log_var, torch.randn(vae_mu.shape, generator=torch.Generator().manual_seed(3))
)
code_lengths({"autoencoder": ae_codes, "VAE": vae_codes})

def mse(x, x_hat):
    """Mean squared error per pixel."""
    return (x - x_hat).square().mean().item()


mean_image = train.mean(dim=0, keepdim=True)
print(f"{'':22}{'test MSE':>10}{'std of codes':>14}")
print(f"{'mean image for all':22}{mse(test, mean_image.expand_as(test)):10.4f}")
print(f"{'autoencoder':22}{mse(test, ae_rebuilt):10.4f}{ae_codes.std(dim=0).mean():14.2f}")
print(f"{'VAE':22}{mse(test, vae_rebuilt):10.4f}{vae_codes.std(dim=0).mean():14.2f}")
if as_written:
    assert mse(test, vae_rebuilt) < 0.5 * mse(test, mean_image.expand_as(test))
    assert abs(vae_codes.std(dim=0).mean() - 1) < abs(ae_codes.std(dim=0).mean() - 1)

# %% [markdown] tags=["subslide"]
# ### 5.1 All of it on one page
#
# Ten dimensions cannot be drawn, two can. So here is the same VAE once more, with two latent variables
# only: too few for good reconstructions, but nearly all of its latent space fits on a page.
#
# **What do you expect?** Ten kinds of digits have to share one plane. Will they keep to regions of their
# own? What will the decoder draw on the border of two regions?

# %%
sv.course.predict("01-borders")

# %%
torch.manual_seed(0)
flat = TinyVAE(latent_dim=2)
if TRAIN:
    fit(flat, lambda x: vae_loss(x, *flat(x), GAMMA))
else:
    sv.load_trained_weights(flat, "01-two-latent-variables")
labels = sets.test_labels[: len(test)]
with torch.no_grad():
    flat_mu, _ = flat.encode(test)  # (N, 2)
    flat_mse = mse(test, flat.decoder(flat_mu))
nearest = torch.cdist(flat_mu, flat_mu).topk(11, largest=False).indices[:, 1:]  # ten neighbours each


def among_themselves(*digits):
    """Share of the neighbours of these digits that are one of these digits themselves."""
    group = torch.tensor(digits)
    return torch.isin(labels[nearest[torch.isin(labels, group)]], group).float().mean().item()


own = {group: among_themselves(*group) for group in ((0,), (1,), (4, 7, 9), (3, 5, 8))}
if as_written:
    assert min(own.values()) > 0.5 > max(among_themselves(digit) for digit in (3, 4, 5, 7, 8, 9))
    assert flat_mse > 1.5 * mse(test, vae_rebuilt)

# %%
side = torch.linspace(-3, 3, 11)
z2, z1 = torch.meshgrid(side.flip(0), side, indexing="ij")  # pictures begin at the top
with torch.no_grad():
    tiles = flat.decoder(torch.stack((z1, z2), dim=2).view(-1, 2)).view(11, 11, 32, 32)
figure = sv.plots.AltFigure(figsize=(8.4, 4.5), layout="constrained")
left, right = figure.subplots(1, 2, sharex=True, sharey=True)
for digit in range(10):
    mine = flat_mu[labels == digit]
    left.scatter(mine[:, 0], mine[:, 1], s=5, color=f"C{digit}", label=str(digit))
figure.legend(ncols=10, loc="outside upper center", markerscale=3, handletextpad=0, columnspacing=1)
page = tiles.permute(0, 2, 1, 3).reshape(11 * 32, 11 * 32)  # rows of images, side by side
edge = 3 * 11 / 10  # half an image beyond the outermost centres
right.imshow(page, cmap="gray", vmin=0, vmax=1, extent=(-edge, edge, -edge, edge))
left.set(title="means of test images, by digit", xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
right.set(title="the decoder's answer at each place", xlabel="$z_1$", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
print(f"test MSE with 2 latent variables {flat_mse:.4f}, with {L} {mse(test, vae_rebuilt):.4f}")
told = ", ".join(f"{' '.join(map(str, group))}: {share:.0%}" for group, share in own.items())
sv.plots.show(
    figure, "Left, a plane of points coloured by digit. Share of the ten neighbours of a digit that are "
    f"of its own group: {told}. Right, the same plane: what the decoder draws at each place.",
)

# %% [markdown]
# The 0s and the 1s have regions to themselves; 4, 7 and 9 share one, and so do 3, 5 and 8, which look most
# alike. Walk on the right from one region to another: digits turn into one another without a jump,
# because neighbouring $z$ are draws for the same image and must decode alike. Where several digits meet
# the decoder draws their average, a blur. It cannot know which one was meant: with two variables the
# error is more than twice that with ten. And the cloud on the left is no round Gaussian: regions lie
# apart, with thinner places between. [Notebook 6](06_sampling.ipynb) measures this in many dimensions.

# %% [markdown] tags=["slide"]
# ## 6. The library's version
#
# `sv.VAE` is the same idea with the convolutional network of the paper that this course follows:
# `encode`, `decode`, and a call that does both with one draw of noise. `beta` is a weight in front of the KL
# divergence, 1 in the ELBO and larger in the presets. The `Trainer` runs the loop of section 2 with a
# progress bar and a history, stops safely when you interrupt it, and lets `gamma` follow the error that is
# left. `beta` and `gamma` are topics of [notebook 2](02_balancing_the_elbo.ipynb).

# %%
preset = sv.PRESETS[budget.preset]
model = sv.build_model("vae", preset.model, seed=0)  # sv.VAE(preset.model), reproducibly

out = model.eval()(train[:50])  # .x_hat, .mu, .log_var, .z
torch.testing.assert_close(kl_divergence(out.mu, out.log_var), sv.kl_divergence(out.mu, out.log_var))
theirs = sv.variational_loss(train[:50], out.x_hat, out.mu, out.log_var, gamma=GAMMA, beta=1.0)
ours = vae_loss(train[:50], out.x_hat, out.mu, out.log_var, GAMMA)
torch.testing.assert_close(ours, theirs.total)
tiny = sum(p.numel() for p in vae.parameters())
print(f"parameters: {tiny:,} by hand, {sv.parameter_count(model):,} in preset {budget.preset}")

if TRAIN:
    settings = replace(preset.train, steps=budget.steps)
    trainer = sv.Trainer(model, sets.train[: budget.train_images], settings)  # bytes, not floats
    history = trainer.fit()
    curves = sv.plots.training_curves(history, ("reconstruction", "kl", "gamma"), title="sv.VAE")
    sv.plots.show(curves)
else:
    model = sv.load_trained(budget.preset, "vae")

# %%
rebuilt = sv.inference.reconstruct_all(model, sets.test[: budget.test_images]).x_hat
samples = sv.sample_prior(model, 20, seed=1).x_hat
mu, log_var = sv.inference.encode_all(model, sets.test[: budget.test_images])
print(f"{'':10}{'test MSE':>10}{'KL (nats)':>12}")
print(f"{'by hand':10}{mse(test, vae_rebuilt):10.4f}{kl_divergence(vae_mu, vae_log_var).mean():12.1f}")
print(f"{'sv.VAE':10}{mse(test, rebuilt):10.4f}{kl_divergence(mu, log_var).mean():12.1f}")
contrast = [images.diff(dim=-1).square().mean() for images in (vae_rebuilt, rebuilt, test)]
if learning:  # contrast between neighbouring pixels: by hand, sv.VAE, test images
    assert mse(test, rebuilt) < 0.5 * mse(test, mean_image.expand_as(test))
    assert contrast[0] < contrast[1] < contrast[2]
sv.plots.show(sv.plots.architecture(preset.model, split=False, example=(test[3], rebuilt[3])))
sv.plots.image_rows(
    {
        "test image": test[:10], "by hand": vae_rebuilt[:10], "sv.VAE": rebuilt[:10],
        "sampled": samples[:10], "sampled too": samples[10:],
    },
    title="Reconstructions, and samples from the prior",
)

# %% [markdown]
# Sharper strokes, if not from a fair race: the library's network is convolutional (8 / 16²: 8 channels of 16×16), has 16 latent
# variables instead of ten, and its $\gamma$ falls, so that errors cost more. And still a VAE: look
# closely and the edges are soft. That softness has a reason, the subject of
# [notebook 2](02_balancing_the_elbo.ipynb), and the decoder of [notebook 3](03_split_decoder.ipynb) is
# an attempt at a remedy.

# %% [markdown] tags=["slide"]
# ## Recap
#
# - An autoencoder's codes lie anywhere, and where has to be found out afterwards; a VAE's are pulled
#   towards a prior that can be sampled.
# - $\log p(x) = \mathrm{ELBO}(q) + \mathrm{KL}(q \,\|\, p(z \mid x))$; the ELBO is the reconstruction
#   term less the KL divergence from the prior.
# - The encoder emits $\mu$ and $\log s^2$; $z = \mu + s\, \varepsilon$ lets gradients through; the KL
#   divergence has a closed form.
# - Sum over pixels and latent variables, mean over images.
#
# All symbols of the course are in the [glossary](../docs/glossary.md).

# %%
sv.course.quiz("01")

# %% [markdown]
# ## References
#
# - D. P. Kingma, M. Welling, *Auto-encoding variational Bayes*, ICLR 2014,
#   [arXiv:1312.6114](https://arxiv.org/abs/1312.6114): the VAE; appendix B has the KL divergence.
# - D. J. Rezende, S. Mohamed, D. Wierstra, *Stochastic backpropagation and approximate inference in
#   deep generative models*, ICML 2014, [arXiv:1401.4082](https://arxiv.org/abs/1401.4082): the same
#   idea, found independently.
# - C. Doersch, *Tutorial on variational autoencoders*, 2016,
#   [arXiv:1606.05908](https://arxiv.org/abs/1606.05908).
# - A. Asperti, L. Bugo, D. Filippini, *Enhancing variational generation through
#   self-decomposition*, IEEE Access 10, 2022,
#   [arXiv:2202.02738](https://arxiv.org/abs/2202.02738): the network of section 6.
