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
import os
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import svae_lib as sv
from svae_lib.plots.figure import BLACK, BLUE, GREEN, GREY, ORANGE
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
# A **device** is what computes: the CPU (`cpu`), an NVIDIA GPU (`cuda`), Apple's GPU (`mps`).
# PyTorch's tensors live on one, and the code that uses them does not change.

# %%
device = sv.devices.default_device()
on_gpu = device.type == "cuda"
machine = f"{device.type}, threads: {torch.get_num_threads()}"
if on_gpu:
    machine = torch.cuda.get_device_name()
precision = sv.devices.resolve_precision("auto", device)
print(f"this machine: {machine}; number format of products and convolutions: {precision}")

# %% [markdown]
# **Every time and speed below is measured on the machine in the line above.** On a CPU they say
# nothing about a GPU: there, read the explanations, and take the figures for what they are.
#
# What the library's trainer does differently on the two:
#
# | | CPU | CUDA |
# |---|---|---|
# | number format (`precision="auto"`) | bf16 where the processor multiplies in it, else float32 | bf16 where the card does, else fp16 |
# | training images | in main memory, as bytes | in the card's memory where they fit, as bytes |
# | an operation, when Python reaches it | is computed | is put in a queue |
# | Adam | parameter by parameter | fused: a few launches for all |
# | memory that a step frees | on Linux, kept for the next step while a training lasts | kept by PyTorch |

# %%
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

# %% [markdown]
# The profile `gpu` (chosen by itself where CUDA is) trains a wider model for longer, with the same lines.

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
# spends its bits the other way round: more digits, little range. **tf32** (TensorFloat-32) has the range
# of the one and the digits of the other, but no tensor is stored in it: matrix units of NVIDIA cards, from
# the generation called Ampere on, round the factors of a *float32* product to it, and add in float32. There
# PyTorch's convolutions do so by default, matrix products when asked to. So "float32" on such a card means
# tf32 in most of the work; `sv.devices.exact_float32()` turns it off.
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
# bf16 keeps the size of all three, and loses digits: 1.002 becomes 1. fp16 keeps the digits of 1.002,
# and makes 70,000 infinite and $10^{-8}$ zero.

# %% [markdown] tags=["slide"]
# ### 2.1 Mixed precision
#
# Neither half format is good for everything, so they are mixed: **autocast** computes matrix products
# and convolutions, which are nearly all of the work, in 16 bits, and what is delicate (long sums,
# logarithms, the loss) in float32. Whatever lies between (BatchNorm, swish) keeps the type that it is
# given. Weights and Adam's moments stay float32, for an update is often too small to move a weight of seven
# fraction bits.

# %%
probe = copy.deepcopy(model).eval()
x = sv.data.to_float(images[:16]).to(device)
noise = torch.zeros(16, preset.model.latent_dim, device=device)
with torch.no_grad(), sv.devices.exact_float32():
    exact = probe.loss(x, noise, 0.05, 4.0)  # gamma = 0.05, beta = 4
    with sv.devices.autocast("bf16", device):
        product = probe.encoder.convolutions(x)
        between = nn.functional.silu(nn.BatchNorm2d(product.shape[1], device=device)(product))
        rounded = probe.loss(x, noise, 0.05, 4.0)
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
GAMMA, D = 0.02, x[0].numel()
found = torch.autograd.grad(error, list(trained.parameters()))  # computed in float32
sizes = torch.cat([g.flatten() for g in found]).abs()
sizes = {"sum over pixels / 2 gamma": sizes / (2 * GAMMA), "mean over pixels": sizes / D}
print(f"they differ by a factor of 2^{math.log2(D / (2 * GAMMA)):.1f}")
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
# The mean would: its gradients are the smaller ones, most lose digits and some become 0. The sum has
# a size that suits fp16, and loses hardly anything here; but gradients change as training goes on. The
# remedy works for both and costs nothing: multiply the *loss* by a power of two, the **scale**, and
# find a good one by trial. By the chain rule all gradients, also those inside the network, grow by
# the same factor and leave the lower edge; before the step they are divided by it in float32. Should
# one become infinite or NaN, skip the step and halve the scale. After many sound steps (PyTorch: 2,000)
# it is doubled again, for gradients shrink as training goes on, and larger scales become possible.

# %% [markdown]
# ### Exercise 1: `scaled_step`
#
# A step of gradient descent from a *scaled* gradient. Return the new weights, and the scale for the
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
# they would fill more than half of the free memory they stay outside, and a thread fetches the next
# batch while the device computes.) What has to fit, from step to step:
# - the images, 1 byte a number (as float32: 4);
# - for each parameter a weight, a gradient, and Adam's two moments (running means of the gradient and
#   of its square): four float32 numbers.
#
# On top of it come the **activations**, the layers' results that the backward pass needs: they grow
# with the batch, not with the data set. (And the trainer keeps a copy of the last good weights, to
# return to when a loss is no longer a number. We leave both out of the count.)

# %% [markdown]
# ### Exercise 2: `training_bytes`

# %%
def training_bytes(parameters, images, values):
    """Bytes kept on the device; `values` is C * H * W. Activations do not count."""
    # BEGIN SOLUTION
    return images * values + 4 * 4 * parameters
    # END SOLUTION


training_bytes = sv.exercises.check("training_bytes", training_bytes)

# %%
print("preset     parameters   images  as bytes  as float32   in all   (MB)")
for name, count in (("mnist", 60_000), ("cifar10", 50_000), ("celeba", 162_770)):
    shape = sv.PRESETS[name].model
    with torch.device("meta"):  # builds the layers' shapes without their memory
        parameters = sv.parameter_count(sv.SplitVAE(shape))
    values = shape.channels * shape.image_size**2
    total = training_bytes(parameters, count, values)
    print(f"{name:9}{parameters:12,}{count:9,}{count * values / 1e6:10,.0f}"
          f"{4 * count * values / 1e6:12,.0f}{total / 1e6:9,.0f}")
assert trainer.images.dtype == torch.uint8 and trainer.images.device.type == device.type
if on_gpu:
    print(f"this card: {torch.cuda.mem_get_info()[1] / 1e6:,.0f} MB")

# %% [markdown] tags=["slide"]
# ## 4. Queues and clocks
#
# On a GPU an operation's Python line does not compute: it puts a **kernel** (a program for the GPU)
# into a queue and returns. Python runs ahead and prepares the next ones. Only a line that needs a
# *number*, such as `loss.item()`, `print(loss)` or `if loss > 3`, has to wait until the queue is
# empty. Here is the queue by hand: a *simulation*, whose two times are made up.

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


# %% [markdown]
# **What do you expect?** Launching a step takes Python 2 ms, computing it takes the GPU 3 ms. How long
# do 8 steps take if nobody looks at the loss, and how long if `.item()` reads it in every step?

# %%
sv.course.predict("05-eight-steps")

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

# %%
assert queued[-1][3] == 2 + 8 * 3 and looking[-1][3] == 8 * (2 + 3)
reads = config.steps // config.log_every
print(f"{config.steps} steps, read every {config.log_every}: the trainer waited {reads} times")
assert reads <= len(history["step"]) <= reads + 1 or not TRAIN

# %% [markdown] tags=["slide"]
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
# ### Exercise 3: `images_per_second`
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
# Waiting after every step forbids Python to run ahead. It is right for the time of *a step*; for the
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
# Without a queue (a CPU) the first two differ by chance only. With one, the second is the higher, by what
# launching takes: it is the speed that we go on with.

# %% [markdown] tags=["slide"]
# ## 5. How fast could it be?
#
# A speed means little by itself. Two limits of a machine bound it from above: its **peak**, the
# arithmetic per second of its matrix units, and its **bandwidth**, the bytes per second between
# memory and processor. First, the arithmetic that a step needs.
#
# ### 5.1 Counting multiply-adds
#
# - A linear layer multiplies every output number's inputs once: outputs $\cdot$ inputs.
# - A $3 \times 3$ convolution: $9\, C_\mathrm{in}$ for every output number.
# - A transposed one, seen from its input: $9\, C_\mathrm{out}$ for every *input* number.
#
# A **hook** is a function that a layer calls with its inputs and output: it counts as they pass.

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


# %% [markdown]
# PyTorch has a counter of its own, `FlopCounterMode`. It counts a multiply-add as two floating-point
# operations (FLOP).
#
# **What do you expect?** The backward pass needs, for each layer, the gradient of its weights and
# that of its input, each a product as large as the forward pass. How many times the forward pass is a
# whole training step?

# %%
sv.course.predict("05-backward")

# %%
probe = sv.build_model("split-vae", preset.model, seed=0)
x, noise = sv.data.to_float(images[:2]), torch.zeros(2, preset.model.latent_dim)
by_layer = multiply_adds(probe, x, noise)
with FlopCounterMode(display=False) as forward:
    loss = probe.loss(x, noise, 0.05, 4.0).total
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
# ### 5.2 The roof
#
# Peak and bandwidth are measured, not taken from a data sheet: the fastest of three large matrix
# products, and a large copy (which reads and writes each byte), each the best of several tries.

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
dtype = formats[precision]


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
achieved = rate * step_flops
print(f"training: {rate:,.0f} images/s x {step_flops / 1e6:,.1f} MFLOP = {achieved / 1e9:,.2f} GFLOP/s")
print(f"fraction of the measured matrix peak: {achieved / peak:.1%}")

# %% [markdown] tags=["slide"]
# ### 5.3 Where does the rest go?
#
# A **profiler** writes down which operation takes how long. PyTorch's, over a few steps, without a
# compiler; an operation's *own* time leaves out that of the operations which it calls:

# %%
os.environ["KINETO_LOG_LEVEL"] = "6"  # keeps the profiler's messages off the page
own = "self_device_time_total" if on_gpu else "self_cpu_time_total"  # time on the GPU, or the CPU
activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
plain = sv.Trainer(copy.deepcopy(model), images, config, device, compile=False)
clock_steps(plain, 2)  # warm-up
plain.model.train()
with sv.devices.tuned(device), profile(activities=activities) as profiled:
    for _ in range(3):
        plain.train_step()
    wait()
plain.model.eval()
# An operation of PyTorch counts under CPU, the kernels that it launched once more under CUDA.
calls = [call for call in profiled.key_averages() if call.device_type.name == "CPU"]
spent = {call.key: getattr(call, own) for call in calls}
total = sum(spent.values())
for name in sorted(spent, key=spent.get, reverse=True)[:8]:
    print(f"{spent[name] / total:6.1%}  {name[:70]}")
matrix = [name for name in spent if any(word in name for word in ("convolution", "mm", "linear"))]
print(f"{sum(spent[name] for name in matrix) / total:6.1%}  all convolutions and matrix products")

# %% [markdown]
# The last line is the part that our count of multiply-adds knows of. The rest (BatchNorm, swish, copies, Adam;
# on a CPU Python's own work, too) does next to no arithmetic, and lowers the fraction of the peak by all the
# time it takes. And why are the convolutions not at the peak themselves? For that take operations one by one.

# %% [markdown] tags=["subslide"]
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
    x = torch.randn(config.batch_size, width, size, size).to(device, dtype, memory_format=memory_format)
    with torch.no_grad():
        y = layer(x)
        speed = 2 * count(layer, (x,), y) / seconds(lambda: layer(x))
    moved = (x.numel() + y.numel() + layer.weight.numel()) * x.element_size()
    return 2 * count(layer, (x,), y) / moved, speed, y


base = preset.model.base_dim
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
x = torch.randn(config.batch_size, width, size, size).to(device, dtype)
with torch.no_grad():
    speed = 12 * x.numel() / seconds(lambda: nn.functional.silu(norm(x)))
of_norm = 12 / (2 * x.element_size()), speed  # intensity (FLOP/byte), FLOP/s
print(f"BatchNorm and swish: {of_norm[0]:.1f} FLOP/byte, {speed / 1e9:,.1f} GFLOP/s; the roof there: "
      f"{min(peak, of_norm[0] * bandwidth) / 1e9:,.1f} GFLOP/s")
assert of_norm[0] < min(point[0] for point in found["plane by plane"])

# %%
figure = sv.plots.AltFigure(figsize=(6.4, 3.8), layout="constrained")
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
axes.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.02))
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
# - fewer passes over memory: fusing small operations, which is what a compiler does.

# %% [markdown] tags=["slide"]
# ### 5.4 torch.compile (optional)
#
# `torch.compile` traces the model once, fuses neighbouring operations and generates code for them. The
# first call takes from many seconds to minutes, so the trainer does it by itself only on CUDA, and for
# trainings of `sv.devices.COMPILE_FROM_STEPS` steps or more. The cell is off in the profiles smoke and
# laptop: set `COMPILE = True` to try it.

# %%
COMPILE = sv.course.pick(smoke=False, laptop=False, gpu=True)


def training_pass(network, x, noise):
    """Forward and backward, without the optimiser."""
    with sv.devices.autocast(precision, device):
        out = network(x, noise)
        loss = sv.variational_loss(x, out.x_hat, out.mu, out.log_var, 0.05, 4.0).total
    loss.backward()


if COMPILE:
    eager = copy.deepcopy(model).train()
    x = sv.data.to_float(images[: config.batch_size]).to(device)
    noise = torch.randn(len(x), preset.model.latent_dim, device=device)
    for label, network in {"eager": eager, "compiled": torch.compile(eager)}.items():
        rate_of = len(x) / seconds(lambda network=network: training_pass(network, x, noise))
        print(f"{label:9}{rate_of:,.0f} images/s")
else:
    print("skipped: nothing was compiled, nothing was measured")

# %% [markdown] tags=["slide"]
# ## 6. Stopping and going on
#
# Machines are switched off, sessions on borrowed GPUs end. A **checkpoint** holds *all* that the next
# step depends on: weights and BatchNorm's statistics, Adam's moments, gamma, the position in the data,
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
# Equal to the last bit, on a CPU. (On a GPU some kernels add in an order that varies, so two runs may
# differ in the last digits with or without a stop.) The weights alone give *another* training: often
# seen as a jump in the loss after a restart.
#
# Settings that do not belong to the file are refused:

# %%
other = sv.Trainer(half.model, sets.train[:200], replace(small, beta=1.0), device="cpu")
try:
    sv.checkpoints.restore_trainer(other, folder / "half.safetensors")
except sv.InputError as error:
    print(str(error).replace(str(folder), "..."))
else:
    raise AssertionError("another beta must be refused")

# %% [markdown] tags=["slide"]
# ### 6.1 A run that looks after itself
#
# A `Run` is a folder with settings, checkpoints, and at the end the model. The command line does the
# same:
#
# ```
# svae train --preset quick --out runs/mine    Ctrl-C: finishes the step, saves, leaves
# svae train --resume runs/mine                goes on, with the run's own settings
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
# which for equal parts is the plain mean. The same formula serves **gradient accumulation**: the parts
# come one after the other on a single device whose memory is too small for the whole batch
# (`--train.accumulate`).

# %% [markdown]
# ### Exercise 4: `combine_gradients`

# %%
def combine_gradients(gradients, sizes):
    """Gradients (M, P) of the parts' mean losses, images (M,) in each part -> (P,)"""
    # BEGIN SOLUTION
    weights = (sizes / sizes.sum()).to(gradients.dtype)
    return weights @ gradients
    # END SOLUTION


combine_gradients = sv.exercises.check("combine_gradients", combine_gradients)

# %%
def gradient(network, x, noise):
    """Gradient of the loss of a batch with respect to all parameters, as one vector."""
    loss = network.loss(x, noise, 0.05, 4.0).total
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])


x = sv.data.to_float(sets.train[:24])
noise = torch.randn(24, trained.config.latent_dim, generator=torch.Generator().manual_seed(1))
parts = torch.tensor([12, 8, 4])  # three "devices"


def split_error(network):
    """Relative error of the combined gradient of the parts."""
    whole = gradient(network, x, noise)
    shards = zip(x.split(parts.tolist()), noise.split(parts.tolist()))
    combined = combine_gradients(torch.stack([gradient(network, *shard) for shard in shards]), parts)
    return ((combined - whole).norm() / whole.norm()).item()


# %% [markdown]
# **What do you expect?** The gradient of 24 images, whole and from parts of 12, 8 and 4: equal up to
# rounding? Does it matter whether BatchNorm uses its stored statistics (evaluation mode) or those of
# the batch that it sees (training mode)?

# %%
sv.course.predict("05-parts")

# %%
errors = {
    "stored statistics": split_error(copy.deepcopy(trained).eval()),
    "statistics of the batch": split_error(copy.deepcopy(trained).train()),
}
for mode, error in errors.items():
    print(f"BatchNorm with {mode:24} relative error of the combined gradient {error:.1e}")
assert errors["stored statistics"] < 1e-3
assert errors["statistics of the batch"] > 10 * errors["stored statistics"]

# %% [markdown]
# The formula is exact where each image's loss depends on that image alone. **BatchNorm is the
# exception**: it normalises by the mean and variance of the images that it *sees*, so an image's loss
# depends on its companions, and smaller parts mean other companions and noisier statistics. With gradient
# accumulation one can only accept that. Devices can exchange their statistics in each step, too
# (`SyncBatchNorm`), as the library's trainer does unless told otherwise. Told so (`--train.no-sync-norm`),
# each device normalises by its own part; the running statistics, which evaluation uses, stay its own as well,
# and are averaged over the devices at each entry of the history. (PyTorch's `DistributedDataParallel` by
# itself copies those of the first device to all the others before each forward pass: what the others have
# seen is lost.) Gamma's running estimate needs the mean over all devices as well.

# %% [markdown]
# What is the exchange worth? In a ring of $M$ devices each one sends and receives
# $2 (M - 1) / M$ times the gradient's bytes per step. Arithmetic, for two *assumed* links:

# %%
with torch.device("meta"):
    gradient_bytes = 4 * sv.parameter_count(sv.SplitVAE(sv.PRESETS["mnist"].model))
for devices in (2, 8):
    sent = 2 * (devices - 1) / devices * gradient_bytes
    times = ", ".join(f"{sent / (link * 1e9) * 1e3:.2f} ms at {link} GB/s" for link in (10, 200))
    print(f"{devices} devices, the paper's MNIST model: {sent / 1e6:.0f} MB a step; {times}")

# %% [markdown]
# Compare it with the time of a step *of that model* on one device (section 4 measured a far smaller
# one): an exchange that takes as long as computing halves the gain, unless it overlaps with the backward
# pass, as PyTorch's `DistributedDataParallel` arranges.

# %% [markdown] tags=["slide"]
# ### 7.1 In the library
#
# A launcher starts one process per device, and the trainer does the rest: each process takes its share
# of every batch and of its noise; gradients and gamma's error are averaged at each step, BatchNorm's
# statistics as well, unless `--train.no-sync-norm` is given; one process writes the files.
#
# ```
# pip install "svae-lib[scale]"
# torchrun --standalone --nproc-per-node 8 -m svae_lib train \
#     --preset celeba --train.batch-size 800 --train.steps 20000 \
#     --train.learning-rate 2.8e-4 --train.warmup-steps 1000 --out runs/eight
# ```
#
# Eight times the batch, an eighth of the steps, so as many images; and with Adam $\sqrt{8}$ times the
# learning rate to start with, after a warm-up. (For SGD Goyal and others scale it by 8. The root is a
# rule of thumb for Adam, and no result of theirs.)
#
# So eight processes learn what one would with the same batch, but for rounding. (Tested with two
# processes on a CPU, `--nproc-per-node 2` and `--device cpu`: slower than one, to be watched. How fast
# several GPUs are has not been measured for this course.) More is on [the page about
# scaling](../docs/scaling.md). How eight images would be shared:

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
# - Images per second times FLOP per image, over the measured peak: the fraction says whether there is
#   something to gain; the arithmetic intensity says where.
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
# - S. Williams, A. Waterman, D. Patterson, *Roofline: an insightful visual performance model for
#   multicore architectures*, Communications of the ACM 52(4), 2009.
# - P. Goyal and others, *Accurate, large minibatch SGD: training ImageNet in 1 hour*, 2017,
#   [arXiv:1706.02677](https://arxiv.org/abs/1706.02677): data parallel training, and what a larger
#   batch does to the learning rate.
# - S. Ioffe, C. Szegedy, *Batch normalization*, ICML 2015,
#   [arXiv:1502.03167](https://arxiv.org/abs/1502.03167).
