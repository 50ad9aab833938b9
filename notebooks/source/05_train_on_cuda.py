# %% [markdown] tags=["slide"]
# # 5 · Training on CUDA
#
# **Objectives.** After this notebook you can
# - choose a device and a number format, and say what each costs and risks;
# - count the bytes that training keeps on the device, and the arithmetic that it does;
# - time a training step without fooling yourself, and compare it with what the machine could do;
# - stop a training and go on as if nothing had happened, and say what several GPUs would change.
#
# **Prerequisites.** [Notebook 3](03_split_decoder.ipynb): the Split VAE and its training. A GPU is
# *not* needed: every cell runs on a CPU too.
#
# **Time.** {{minutes}}
#
# {{versions}}

# %%
import copy
import math
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import svae_lib as sv
from svae_lib.plots.figure import BLUE, GREEN, ORANGE
from svae_lib.experiments.runs import Run

TRAIN = True  # False: load the trained model in section 1; there is then one speed less to compare
budget = sv.course.budget()
preset = sv.PRESETS[budget.preset]
sets = sv.data.load("mnist-5k")
images = sets.train[: budget.train_images]  # uint8 (N, 1, 32, 32)
print("profile:", sv.course.profile())

# %% [markdown] tags=["slide"]
# ## 1. One program, any device
#
# A **preset** is a named configuration of model and training; `budget.preset` is the one for this machine. A
# **device** is what computes: the CPU (`cpu`), an NVIDIA GPU (`cuda`), Apple's GPU (`mps`).
# PyTorch's tensors live on one, and the code that uses them does not change. What the library's trainer does
# differently on the first two:
#
# | | CPU | CUDA |
# |---|---|---|
# | number format (section 2; `precision="auto"`) | bf16 where the processor multiplies in it, else float32 | bf16 where the card does, else fp16 |
# | training images | in main memory, as bytes | in the card's memory where they fit, as bytes |
# | an operation, when Python reaches it | is computed | is put in a queue |
# | Adam | fused: one pass over each parameter | fused: a few launches for all |
# | memory that a step frees | on Linux, kept for the next step while a training lasts | kept by PyTorch |
#
# The next cell names your machine, and trains on it. **Every time and speed in this notebook is measured
# there.** On a CPU they say nothing about a GPU.

# %%
device = sv.devices.default_device()
on_gpu = device.type == "cuda"
machine = f"{device.type}, threads: {torch.get_num_threads()}"
if on_gpu:
    machine = torch.cuda.get_device_name()
precision = sv.devices.resolve_precision("auto", device)
print(f"this machine: {machine}; number format of products and convolutions: {precision}")

steps = sv.course.pick(smoke=10, laptop=150, gpu=budget.steps)
config = replace(preset.train, steps=steps, warmup_steps=min(40, steps // 2), log_every=5, grad_clip=1.0)
model = sv.build_model("split-vae", preset.model, seed=0)
trainer = sv.Trainer(model, images, config)  # device: CUDA where there is one
if TRAIN:
    history = trainer.fit()
    print(f"{trainer.step} steps in {trainer.seconds:.1f} s on {trainer.device}")
else:
    model.load_state_dict(sv.load_trained(budget.preset, "split-vae").state_dict())
    history = sv.checkpoints.trained_history(budget.preset, "split-vae")
sv.plots.training_curves(history, ("mse", "kl"), title=f"A Split VAE on {device.type}")

# %% [markdown] tags=["slide"]
# ## 2. Number formats
#
# A floating-point number is $\pm\, 1.f \cdot 2^{e}$: a sign, some bits for the **fraction** $f$,
# some for the **exponent** $e$. Fraction bits give digits, exponent bits give range. Half the bits
# mean half the traffic, and processors with matrix units multiply 16-bit numbers many times faster.

# %%
layouts = {"float32": (8, 23), "tf32": (8, 10), "bf16": (8, 7), "fp16": (5, 10)}  # bits of e, of f
formats = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
print("          bits  exponent  fraction  step at 1  smallest   largest")
for name, (exponent, fraction) in layouts.items():
    bits = 1 + exponent + fraction  # one bit is the sign
    highest = 2 ** (exponent - 1) - 1  # the largest e
    step, largest = 2.0**-fraction, (2 - 2.0**-fraction) * 2.0**highest
    tiniest = 2.0 ** (1 - highest - fraction)  # below the normal numbers, with fewer and fewer digits
    row = f"{name:8}{bits:5}{exponent:10}{fraction:10}{step:11.1e}{tiniest:10.0e}"
    print(f"{row}{largest:10.0e}")
    if name in formats:
        info = torch.finfo(formats[name])
        assert (bits, step, largest) == (info.bits, info.eps, info.max)

# %% [markdown]
# bf16 is float32 with 16 bits of the fraction cut off: the same range, two to three digits. fp16
# spends its bits the other way round: more digits, little range. **tf32** has the range of the one and the
# digits of the other, but no tensor is stored in it: NVIDIA cards from Ampere on round the factors of a
# *float32* product to it and add in float32, in convolutions by default, in matrix products when asked to.
# `sv.devices.exact_float32()` turns it off.
#
# **What do you expect?** Three numbers are converted: 1.002, 70,000 and a gradient of
# $10^{-8}$. Which format spoils which?

# %%
sv.course.predict("05-formats")

# %%
for number in (1.002, 70_000.0, 1e-8):
    stored = {n: torch.tensor(number).to(d).item() for n, d in formats.items()}
    print(f"{number:>10g}  ", "  ".join(f"{n}: {v:<12.6g}" for n, v in stored.items()))
assert torch.tensor(1e-8).half() == 0  # fp16: underflow
assert torch.tensor(70_000.0).half().isinf()  # fp16: overflow
assert torch.tensor(1.002).bfloat16() == 1  # bf16: too few digits

# %% [markdown]
# bf16 keeps all three within 0.3 %, which turns 1.002 into 1. fp16 keeps the digits of 1.002,
# and makes 70,000 infinite and $10^{-8}$ zero.
#
# ### 2.1 Mixed precision
#
# Neither half format is good for everything, so they are mixed: **autocast** computes matrix products
# and convolutions, nearly all of the work, in 16 bits, and what is delicate (long sums, logarithms, the
# loss) in float32. Whatever lies between (BatchNorm, swish, also called SiLU) keeps the type that it is given. Weights and
# Adam's moments stay float32: an update is often too small to move a weight of seven fraction bits.

# %%
GAMMA, BETA = 0.05, 4.0  # of this notebook's losses: variance of a pixel, weight of the KL divergence
probe = copy.deepcopy(model).eval()
x = sv.data.to_float(images[:16]).to(device)
noise = torch.zeros(16, preset.model.latent_dim, device=device)
with torch.no_grad(), sv.devices.exact_float32():
    exact = probe.loss(x, noise, GAMMA, BETA)
    with sv.devices.autocast("bf16", device):
        product = probe.encoder.convolutions(x)
        between = nn.functional.silu(nn.BatchNorm2d(product.shape[1], device=device)(product))
        rounded = probe.loss(x, noise, GAMMA, BETA)
print("weights:", next(probe.parameters()).dtype, "  a convolution's result:", product.dtype)
print("after BatchNorm and swish:", between.dtype)
print("loss:   ", rounded.total.dtype, f"  {exact.total:.3f} in float32, {rounded.total:.3f} in bf16")
assert product.dtype == between.dtype == torch.bfloat16 and rounded.total.dtype == torch.float32
assert (rounded.total / exact.total - 1).abs() < 0.05

# %% [markdown] tags=["slide"]
# ### 2.2 Why fp16 needs loss scaling
#
# bf16 has float32's range; nothing more is needed. fp16 turns gradients below
# $2^{-25} \approx 3 \cdot 10^{-8}$ into 0, and those above 65,504 into infinity. Which gradients are so
# small? That depends on the size of the loss. The library's is large: a *sum* over $D$ pixels,
# divided by $2\gamma$. Many programs take the plain *mean* over the pixels, which is smaller by the
# factor $2\gamma / D$, and so are all its gradients (of the reconstruction error).
#
# **What do you expect?** With $D = 1024$ and $\gamma = 0.02$, how many powers of two lie between the
# two? Which of them would lose gradients in fp16?

# %%
sv.course.predict("05-sum-or-mean")

# %%
trained = sv.load_trained("quick", "split-vae")
x = sv.data.to_float(sets.train[:32])
noise = torch.randn(32, trained.config.latent_dim, generator=torch.Generator().manual_seed(0))
mu, log_var = trained.encode(x)
x_hat = trained.decode(mu + noise * torch.exp(0.5 * log_var)).x_hat
error = sv.reconstruction_error(x, x_hat).mean()
gamma, D = 0.02, x[0].numel()  # where training of this model ends, about
found = torch.autograd.grad(error, list(trained.parameters()))  # computed in float32
sizes = torch.cat([g.flatten() for g in found]).abs()
sizes = {"sum over pixels / 2 gamma": sizes / (2 * gamma), "mean over pixels": sizes / D}
print(f"they differ by a factor of 2^{math.log2(D / (2 * gamma)):.1f}")
for label, values in sizes.items():
    zero, few = values < 2.0**-25, (values >= 2.0**-25) & (values < 2.0**-14)
    print(f"{label:26} become 0: {zero.float().mean():7.2%}   lose digits: {few.float().mean():7.2%}"
          f"   largest: {values.max():.3g}")

# %%
figure = sv.plots.AltFigure(figsize=(6.4, 3.2), layout="constrained")
axes = figure.subplots()
for (label, values), colour in zip(sizes.items(), (BLUE, GREEN)):
    powers = values.clamp(min=2.0**-40).log2().numpy()
    axes.hist(powers, bins=60, color=colour, alpha=0.6, label=label)
limits = {-25: "in fp16:  0 $\\leftarrow$", -14: "fewer digits $\\leftarrow$"}
limits[16] = "infinite $\\rightarrow$"
for power, label in limits.items():
    axes.axvline(power, color=ORANGE, linestyle="--")
    axes.text(power, 1.02, label, transform=axes.get_xaxis_transform(), ha="right", fontsize=8)
axes.set(xlabel="$\\log_2$ of a gradient's size", ylabel="weights", xlim=(-41, 20))
figure.legend(fontsize=8, loc="outside lower center", ncols=2)
sv.plots.show(figure, "Two histograms of the sizes of the weights' gradients on a logarithmic scale, "
              "one shifted against the other. Dashed lines at powers -25, -14 and 16: fp16's limits.")

# %% [markdown]
# The mean would: its gradients are the smaller ones, most lose digits and some become 0. The sum loses
# hardly anything here; but gradients change as training goes on.
#
# ### Exercise 1: `scaled_step` (10 minutes, ★★)
#
# The remedy works for either loss: multiply it by a power of two, the **scale**, and find a good one by
# trial. By the chain rule all gradients, also those inside the network, grow by the same factor and leave
# the lower edge; before the step they are divided by it in float32. Should one become infinite or NaN,
# skip the step and halve the scale. After many sound steps (PyTorch: 2,000) it is doubled again, since
# gradients shrink.
#
# Write a step of gradient descent from a *scaled* gradient. Return the new weights, and the scale for the
# next step (leave the doubling out). Hints: `sv.exercises.hint("scaled_step", 1)`.

# %%
def scaled_step(weights, scaled_gradient, scale, learning_rate):
    """weights (P,), gradient of scale * loss (P,), two numbers -> new weights (P,), new scale"""
    # BEGIN SOLUTION
    if not scaled_gradient.isfinite().all():
        return weights.clone(), scale / 2
    return weights - learning_rate * scaled_gradient / scale, scale
    # END SOLUTION


scaled_step = sv.exercises.check("scaled_step", scaled_step)

# %%
weights, scale = torch.ones(3), 2.0**17
true_gradient = torch.tensor([1e-8, 3e-6, 1.0])  # the first is below fp16's range
print("unscaled in fp16:", true_gradient.half().tolist())
for attempt in range(3):
    arriving = (true_gradient * scale).half().float()  # what an fp16 backward pass would deliver
    weights, scale = scaled_step(weights, arriving, scale, learning_rate=0.1)
    print(f"step {attempt}: scale for the next {scale:>8g}, last weight {weights[2]:.1f}")
assert scale == 2.0**15  # two overflows, then a step
torch.testing.assert_close(arriving / scale, true_gradient, rtol=1e-3, atol=0)
print("the trainer's own scaler is on:", trainer.scaler.is_enabled(), f"(precision {trainer.precision})")

# %% [markdown] tags=["slide"]
# ## 3. What lies on the device
#
# Moving data from main memory to a GPU is far slower than computing with it. So the trainer moves
# all images **once**, as the bytes they are, and converts each batch there: `.float() / 255`. (Where
# they would fill more than half of the free memory, each batch is moved when its turn comes.) What has to
# fit, from step to step:
# - the images, 1 byte a number (as float32: 4);
# - for each parameter a weight, a gradient, and Adam's two moments (running means of the gradient and
#   of its square): four float32 numbers.
#
# On top of it come the **activations**, the layers' results that the backward pass needs: they grow
# with the batch, not with the data set. The count below leaves them out, and the copy of the last good
# weights, to which the trainer returns when a loss is no longer a number.

# %%
print("preset     parameters   images  as bytes  as float32   in all   (MB)")
for name, count in (("mnist", 60_000), ("cifar10", 50_000), ("celeba", 162_770)):
    shape = sv.PRESETS[name].model
    with torch.device("meta"):  # builds the layers' shapes without their memory
        parameters = sv.parameter_count(sv.SplitVAE(shape))
    values = shape.channels * shape.image_size**2
    total = count * values + 4 * 4 * parameters  # bytes, and four numbers of four bytes each
    print(f"{name:9}{parameters:12,}{count:9,}{count * values / 1e6:10,.0f}"
          f"{4 * count * values / 1e6:12,.0f}{total / 1e6:9,.0f}")
assert trainer.images.dtype == torch.uint8 and trainer.images.device.type == device.type
if on_gpu:
    print(f"this card: {torch.cuda.mem_get_info()[1] / 1e6:,.0f} MB")

# %% [markdown] tags=["slide"]
# ## 4. Queues and clocks
#
# On a GPU an operation's Python line does not compute: it puts a **kernel** (a program for the GPU)
# into a queue and returns, so that Python runs ahead. Only a line that needs a *number*, such as
# `loss.item()`, `print(loss)` or `if loss > 3`, has to wait until the queue is empty. The next two cells
# play the queue: a *simulation*, whose two times are made up.
#
# **What do you expect?** Launching a step takes Python 2 ms, computing it takes the GPU 3 ms. How long
# do 8 steps take if nobody looks at the loss, and how long if `.item()` reads it in every step?

# %%
sv.course.predict("05-eight-steps")

# %%
def timeline(launch, compute, steps, look_every):
    """Times (launch begins, ends, computing begins, ends) of each step."""
    host = gpu = 0.0
    rows = []
    for step in range(1, steps + 1):
        begin, host = host, host + launch
        start = max(host, gpu)  # in the queue, and nothing before it
        gpu = start + compute
        rows.append((begin, host, start, gpu))
        if step % look_every == 0:
            host = gpu  # .item(): Python waits for the number
    return rows


# %%
def draw(axes, rows, title):
    for y, colour, first in ((1, BLUE, 0), (0, ORANGE, 2)):
        axes.broken_barh([(r[first], r[first + 1] - r[first]) for r in rows], (y - 0.3, 0.6),
                         color=colour, edgecolor="white")
    axes.set(yticks=[0, 1], yticklabels=["GPU", "Python"], title=f"{title}: {rows[-1][3]:g} ms")


queued, looking = timeline(2, 3, 8, look_every=8), timeline(2, 3, 8, look_every=1)
figure = sv.plots.AltFigure(figsize=(6.6, 2.8), layout="constrained")
panels = figure.subplots(2, 1, sharex=True)
draw(panels[0], queued, "loss read once, at the end")
draw(panels[1], looking, "loss read in every step")
panels[1].set_xlabel("ms (simulated)")
assert queued[-1][3] == 2 + 8 * 3 and looking[-1][3] == 8 * (2 + 3)
reads = config.steps // config.log_every
print(f"{config.steps} steps, read every {config.log_every}: the trainer waited {reads} times")
assert reads <= len(history["step"]) <= reads + 1 or not TRAIN
sv.plots.show(figure, "Two simulated timelines of eight steps. Above, the GPU works without a gap. "
              "Below, it idles in every step while Python launches the next.")

# %% [markdown]
# Reading once, the time is one launch and eight computations, $2 + 8 \cdot 3$; reading every
# step, launches and computations add up, $8 \cdot (2 + 3)$. (Where launching takes longer than
# computing, a small model on a fast card, the GPU idles in any case; then fewer and larger launches
# help: a larger batch, fused operations, or **CUDA graphs**, which record a step's launches once and replay
# them as one: `Trainer(..., compile="reduce-overhead")`.) Therefore:
# - the trainer sums its metrics on the device, and reads them once every `log_every` steps;
# - gamma and the loss scale are tensors on the device, updated without a look.
#
# ### 4.1 Timing without fooling yourself
#
# A clock read after the last *launch* measures Python. So wait for the device first:

# %%
def wait():
    """Return when the device has done all that it was asked for."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


n = sv.course.pick(smoke=128, laptop=512, gpu=4096)
a = torch.randn(n, n, device=device)
wait()
start = time.perf_counter()
for _ in range(20):
    a @ a
launched = time.perf_counter() - start
wait()
done = time.perf_counter() - start
print(f"20 products of {n}x{n}: clock read after the loop {launched * 1e3:.2f} ms,")
print(f"after waiting {done * 1e3:.2f} ms")
print("a queue: the first figure is no computing time" if on_gpu else "no queue here: the same")

# %% [markdown]
# ### Exercise 2: `images_per_second` (5 minutes, ★)
#
# `times` holds the clock before the first step and after each of $T$ steps, so $T + 1$ readings. The
# first `warmup` steps choose algorithms and fill caches: leave them out.

# %%
def images_per_second(times, batch_size, warmup):
    """times: float64 (T + 1,) in seconds -> a number"""
    # BEGIN SOLUTION
    steps = len(times) - 1 - warmup
    return batch_size * steps / float(times[-1] - times[warmup])
    # END SOLUTION


images_per_second = sv.exercises.check("images_per_second", images_per_second)

# %%
def clock_steps(trainer, steps, each=True):
    """Clock readings around training steps: (steps + 1,), or only the first and the last."""
    trainer.model.train()
    wait()
    times = [time.perf_counter()]
    with sv.devices.tuned(device):  # as in trainer.fit(): cuDNN's fastest algorithms, memory kept
        for step in range(1, steps + 1):
            trainer.train_step()
            if each or step == steps:
                wait()
                times.append(time.perf_counter())
    trainer.model.eval()
    return torch.tensor(times, dtype=torch.float64)


timed = sv.Trainer(copy.deepcopy(model), images, config, device)
count_steps = sv.course.pick(smoke=5, laptop=25, gpu=200)
times = clock_steps(timed, count_steps)
print(f"first step {times[1] - times[0]:.3f} s, median step {times.diff().median():.3f} s")

# %% [markdown]
# Waiting after every step keeps Python from running ahead. It is right for the time of *a step*; for the
# throughput of a long training the clock is read at the ends only.
#
# **What do you expect?** The same steps, once with a look at the clock after each, once with none in
# between: how many images per second, on your device?

# %%
sv.course.predict("05-clock")

# %%
start, end = clock_steps(timed, count_steps, each=False).tolist()  # warm by now
rate = count_steps * config.batch_size / (end - start)
stepwise = images_per_second(times, config.batch_size, warmup=3)
print(f"training, batch {config.batch_size}, {timed.precision}, on {machine}, in images/s:")
print(f"{stepwise:10,.0f} waiting after each step\n{rate:10,.0f} waiting at the end")
if TRAIN:
    whole = trainer.step * config.batch_size / trainer.seconds
    print(f"{whole:10,.0f} in the training of section 1, its first steps and logging included")

# %% [markdown]
# Without a queue (a CPU) the first two differ by what other programs do meanwhile. With one, the second is
# the higher, by what launching takes: it is the speed that we go on with.

# %% [markdown] tags=["slide"]
# ## 5. How fast could it be?
#
# A speed means little by itself. What bounds it from above is the machine's **peak**, the arithmetic per
# second of its matrix units. First, the arithmetic that a step needs.
#
# ### 5.1 Counting multiply-adds
#
# - A linear layer multiplies every output number's inputs once: outputs $\cdot$ inputs.
# - A $3 \times 3$ convolution: $9\, C_\mathrm{in}$ for every output number.
# - A transposed one, seen from its input: $9\, C_\mathrm{out}$ for every *input* number.
#
# A **hook** is a function that a layer calls with its inputs and output: it counts as they pass. PyTorch has
# a counter of its own, `FlopCounterMode`; a multiply-add is two of its floating-point operations (FLOP).
#
# **What do you expect?** The backward pass needs, for each layer, the gradient of its weights and
# that of its input, each a product as large as the forward pass. How many times the forward pass is a
# whole training step?

# %%
sv.course.predict("05-backward")

# %%
def count(layer, inputs, output):
    """Multiply-adds of one layer's forward pass."""
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    if isinstance(layer, nn.ConvTranspose2d):
        return inputs[0].numel() * layer.out_channels * 9
    return output.numel() * layer.in_channels * 9


def multiply_adds(network, x, noise):
    """Multiply-adds of a forward pass, by layer."""
    found, hooks = {}, []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            hook = lambda *seen, name=name: found.update({name: count(*seen)})  # noqa: E731
            hooks.append(layer.register_forward_hook(hook))
    network(x, noise)
    for hook in hooks:
        hook.remove()
    return found


# %%
probe = sv.build_model("split-vae", preset.model, seed=0)
x, noise = sv.data.to_float(images[:2]), torch.zeros(2, preset.model.latent_dim)
by_layer = multiply_adds(probe, x, noise)
with FlopCounterMode(display=False) as forward:
    loss = probe.loss(x, noise, GAMMA, BETA).total
with FlopCounterMode(display=False) as backward:
    loss.backward()
assert forward.get_total_flops() == 2 * sum(by_layer.values())  # the hand count is the counter's
step_flops = (forward.get_total_flops() + backward.get_total_flops()) / len(x)  # per image
print(f"forward {forward.get_total_flops() / len(x) / 1e6:,.1f} MFLOP an image; a training step is "
      f"{step_flops * len(x) / forward.get_total_flops():.3f} times that")
for name, macs in sorted(by_layer.items(), key=lambda item: -item[1])[:4]:
    print(f"  {macs / sum(by_layer.values()):5.1%}  {name}")

# %% [markdown]
# Nearly three: only the very first layer is spared a gradient, that of the image.
#
# ### 5.2 And of the peak?
#
# The peak is measured, not taken from a data sheet: the fastest of three large matrix products, in the
# number format that training takes on this machine.

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


def product_speed(n):
    """FLOP/s of a product of two (n, n) matrices."""
    a = torch.randn(n, n, device=device).to(formats[precision])
    return 2 * n**3 / seconds(lambda: a @ a)


# %%
largest = sv.course.pick(smoke=256, laptop=2048, gpu=8192)
peak = max(product_speed(n) for n in (largest // 4, largest // 2, largest))
achieved = rate * step_flops
print(f"{machine}, {precision}: peak {peak / 1e9:,.0f} GFLOP/s")
print(f"training: {rate:,.0f} images/s x {step_flops / 1e6:,.1f} MFLOP = {achieved / 1e9:,.2f} GFLOP/s")
print(f"fraction of the measured matrix peak: {achieved / peak:.1%}")

# %% [markdown]
# The rest goes to operations that hardly compute (BatchNorm, swish, copies, Adam), and to slow convolutions.
# The [appendix](10_appendix.ipynb), section 2, measures them one by one, below the roof that memory sets. In
# 16 bits the peak is higher and the fraction lower; only images per second tell whether a step is faster.

# %% [markdown] tags=["slide"]
# ## 6. Stopping and going on
#
# Machines are switched off, sessions on borrowed GPUs end. A **checkpoint** holds *all* that the next
# step depends on: weights and BatchNorm's statistics, Adam's moments, gamma, loss scale, position in the data,
# the state of the random numbers.
#
# The trainer makes the last two easy: the order of an epoch and the noise of a step are functions of
# (seed, step), so the number of the step says it all.
#
# **What do you expect?** One training runs 8 steps. Another is saved after 4, and a *new* trainer
# goes on from the file for 4 more. Are the final weights equal to the last bit, nearly, or not at
# all? And if only the weights had been saved?

# %%
sv.course.predict("05-resumed")

# %%
small = replace(config, steps=8, batch_size=20, log_every=2)


def fresh():
    """A new trainer at step 0, on the CPU."""
    network = sv.build_model("split-vae", preset.model, seed=0)
    return sv.Trainer(network, sets.train[:200], small, device="cpu")


def difference(first, second):
    """Largest difference between the weights and statistics of two trainers' models."""
    pairs = zip(first.model.state_dict().values(), second.model.state_dict().values())
    return max((a.double() - b.double()).abs().max().item() for a, b in pairs)


straight = fresh()
straight.fit(progress=False)
half = fresh()
half.fit(4, progress=False);

# %%
folder = Path(tempfile.mkdtemp())
sv.checkpoints.save_trainer(folder / "half.safetensors", half)
resumed = fresh()
sv.checkpoints.restore_trainer(resumed, folder / "half.safetensors")
resumed.fit(progress=False)

careless = fresh()  # the weights and the step, but neither Adam's moments nor gamma
careless.model.load_state_dict(half.model.state_dict())
careless.step = half.step
careless.fit(progress=False)

print("largest difference from the run that never stopped:")
print(f"  resumed from the checkpoint {difference(straight, resumed)}")
print(f"  weights alone               {difference(straight, careless):.2g}")
assert difference(straight, resumed) == 0 and straight.history == resumed.history
assert difference(straight, careless) > 0

# %% [markdown]
# Equal to the last bit, on a CPU. (On a GPU some kernels add in an order that varies.) The weights alone
# give *another* training: often seen as a jump in the loss after a restart.
#
# ### 6.1 A run that looks after itself
#
# A `Run` is a folder with settings, checkpoints, curves and the model. On the command line:
#
# ```
# svae train --preset quick --out runs/mine    # Ctrl-C: finishes the step, saves, leaves
# svae train --resume runs/mine                # goes on, with the run's own settings
# ```
#
# Here Ctrl-C comes from the program itself, after 4 steps.

# %%
def press_ctrl_c(trainer):
    if trainer.step == 4:
        signal.raise_signal(signal.SIGINT)


run = Run.create(folder / "mine", "split-vae", "mnist-5k", preset.model, small)
run.train(sets.train[:200], device="cpu", progress=False, on_log=[press_ctrl_c])
print("stopped; there are", sorted(p.name for p in run.folder.glob("[!.]*")))

again = Run.open(folder / "mine")
finished = again.train(sets.train[:200], device="cpu", progress=False)
print("went on to step", finished.step)
assert difference(straight, finished) == 0

# %% [markdown] tags=["slide"]
# ## 7. Several GPUs
#
# In **data parallel** training each of $M$ devices holds the whole model and computes the gradient
# of *its* part (shard) of the batch; then they exchange gradients, and all take the same step.
# All of this section runs without a single GPU.
#
# The loss of a batch is a mean over images, $\frac{1}{B} \sum_i \ell_i$. If part $m$ has $B_m$
# images and the gradient $g_m$ of *its* mean loss, then
#
# $$g = \sum_{m=1}^{M} \frac{B_m}{B}\, g_m ,$$
#
# which for equal parts is the plain mean. The same formula serves **gradient accumulation**, where the parts
# come one after the other on a single device whose memory is too small for the whole batch
# (`--train.accumulate`).
#
# ### Exercise 3: `accumulated_gradient` (15 minutes, ★★)
#
# Write the loop. `loss_of` takes all parameters in one vector and some rows of the batch, at most `size`
# of them, and returns the *mean* of their losses. What you return has to equal the gradient of the whole
# batch at once, also where the last part is a small one.

# %%
def accumulated_gradient(theta, loss_of, batch, size):
    """theta (P,), without a gradient; batch (N, ...) -> gradient of the mean loss of N rows, (P,)"""
    # BEGIN SOLUTION
    total = torch.zeros_like(theta)
    for part in batch.split(size):
        leaf = theta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss_of(leaf, part), leaf)
        total = total + gradient * len(part) / len(batch)
    return total
    # STUB: for part in batch.split(size):
    # STUB:     ...
    # STUB: return ...
    # END SOLUTION


accumulated_gradient = sv.exercises.check("accumulated_gradient", accumulated_gradient)

# %% [markdown]
# On a real network: a row of the batch is an image with its noise, and the parameters are cut out of
# the vector, one tensor after the other.
#
# **What do you expect?** The gradient of 24 images, whole and from parts of 9, 9 and 6: equal up to
# rounding? Does it matter whether BatchNorm uses its stored statistics (evaluation mode) or those of
# the batch that it sees (training mode)?

# %%
sv.course.predict("05-parts")

# %%
x = sv.data.to_float(sets.train[:24])
noise = torch.randn(24, trained.config.latent_dim, generator=torch.Generator().manual_seed(1))
rows = torch.cat((x.flatten(1), noise), dim=1)  # (24, D + L)


def split_error(network, size):
    """Relative difference of the accumulated gradient from that of the whole batch."""
    shapes = {name: p.shape for name, p in network.named_parameters()}

    def loss_of(theta, part):
        pieces = theta.split([shape.numel() for shape in shapes.values()])
        weights = {name: p.view(shapes[name]) for name, p in zip(shapes, pieces)}
        images, noise = part[:, :D].view(-1, *x.shape[1:]), part[:, D:]
        out = torch.func.functional_call(network, weights, (images, noise))
        return sv.variational_loss(images, out.x_hat, out.mu, out.log_var, GAMMA, BETA).total

    theta = nn.utils.parameters_to_vector(network.parameters()).detach()
    whole = accumulated_gradient(theta, loss_of, rows, len(rows))
    parts = accumulated_gradient(theta, loss_of, rows, size)
    return ((parts - whole).norm() / whole.norm()).item()


# %%
errors = {
    "stored statistics": split_error(copy.deepcopy(trained).eval(), 9),
    "statistics of the batch": split_error(copy.deepcopy(trained).train(), 9),
}
for mode, error in errors.items():
    print(f"BatchNorm with {mode:24} relative error of the accumulated gradient {error:.1e}")
assert errors["stored statistics"] < 1e-3
assert errors["statistics of the batch"] > 10 * errors["stored statistics"]

# %% [markdown]
# The formula is exact where each image's loss depends on that image alone. **BatchNorm is the
# exception**: it normalises by the mean and variance of the images that it *sees*, so an image's loss
# depends on its companions, and smaller parts mean other companions and noisier statistics. With gradient
# accumulation one can only accept that. Devices can exchange their statistics in each step
# (`SyncBatchNorm`), as the library's trainer does unless told otherwise (`--train.no-sync-norm`).

# %% [markdown] tags=["slide"]
# ### 7.1 In the library
#
# A launcher starts one process per device, and the trainer does the rest: each process takes its share
# of every batch and of its noise; gradients, gamma's error and BatchNorm's statistics are averaged at each
# step; one process writes the files.
#
# ```
# pip install --editable ".[scale]"
# torchrun --standalone --nproc-per-node 8 -m svae_lib train \
#     --preset celeba --train.batch-size 800 --train.steps 20000 \
#     --train.learning-rate 2.8e-4 --train.warmup-steps 1000 --out runs/eight
# ```
#
# Eight times the batch, an eighth of the steps, so as many images; and with Adam, as a first guess, $\sqrt{8}$ times
# the learning rate, after a warm-up. (Goyal and others scale by 8, for SGD.)
#
# Eight processes should learn what one would with the same batch. (Tested with two on a CPU, without shared
# statistics: `--nproc-per-node 2`, `--device cpu --train.no-sync-norm`. Several GPUs have not been measured.)
# More is on [the page about scaling](../docs/scaling.md). How eight images would be shared:

# %%
batch = torch.arange(8)  # stands for the images of one step
for count in (1, 2, 4):
    processes = [sv.distributed.Processes(device, rank, count) for rank in range(count)]
    shares = [process.share(batch).tolist() for process in processes]
    print(f"{count} process(es): {shares}")
    assert sum(shares, []) == batch.tolist()  # each image once
print(f"GPUs here: {torch.cuda.device_count()}")

# %% [markdown] tags=["slide"]
# ## Recap
#
# - bf16 has float32's range and few digits; fp16 has more digits and little range, so its loss is
#   scaled. Weights, moments and the loss stay float32.
# - Images stay on the device as bytes, a quarter of float32; per parameter four float32 numbers.
# - A GPU works through a queue. Reading a number empties it: read seldom, and wait before reading a
#   clock.
# - Images per second times FLOP per image, over the measured peak: the fraction bounds what
#   there is to gain.
# - A checkpoint holds everything that the next step depends on. Then resuming is exact.
# - Parts' gradients combine to the whole batch's by their share of the images, BatchNorm excepted. One
#   process per device: the same command, started by a launcher.
#
# All symbols of the course are in the [glossary](../docs/glossary.md).

# %%
sv.course.quiz("05")

# %% [markdown]
# ## References
#
# - P. Micikevicius and others, *Mixed precision training*, ICLR 2018,
#   [arXiv:1710.03740](https://arxiv.org/abs/1710.03740): loss scaling.
# - P. Goyal and others, *Accurate, large minibatch SGD: training ImageNet in 1 hour*, 2017,
#   [arXiv:1706.02677](https://arxiv.org/abs/1706.02677): data parallel training, and what a larger
#   batch does to the learning rate.
# - S. Ioffe, C. Szegedy, *Batch normalization*, ICML 2015,
#   [arXiv:1502.03167](https://arxiv.org/abs/1502.03167).
