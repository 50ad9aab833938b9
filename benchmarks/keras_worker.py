"""The paper's model in TensorFlow (tf_keras), trained on demand: a helper of cpu_training.py.

    python benchmarks/keras_worker.py --image-size 32 --channels 1 --latent-dim 32 --beta 8

Runs in an environment of its own and needs nothing of this library. It first writes a line of JSON
about itself to the standard output; then it reads numbers, trains that many steps at each, and
writes how long they took. The layers are the paper's, as in svae_lib.models; the step is one graph
(tf.function) in float32, as tf_keras' own fit() would run it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers


def norm() -> Any:
    return layers.BatchNormalization(momentum=0.999, epsilon=1e-5)


def residual(x: Any, layer: Any) -> Any:
    """(BatchNorm, swish, layer) twice, added to a layer of the input itself."""
    h = layer()(tf_keras.activations.swish(norm()(x)))
    h = layer()(tf_keras.activations.swish(norm()(h)))
    return layers.Add()([h, layer()(x)])


def residual_conv(x: Any, width: int) -> Any:
    return residual(x, lambda: layers.Conv2D(width, 3, padding="same"))


def residual_dense(x: Any, width: int) -> Any:
    return residual(x, lambda: layers.Dense(width))


def split_vae(size: int, channels: int, latent_dim: int) -> Any:
    """Images and noise to the mixed image, the posterior's means and its log-variances."""
    image = tf_keras.Input((size, size, channels))
    noise = tf_keras.Input((latent_dim,))
    width = 64
    h = layers.Conv2D(width, 3, strides=2, padding="same")(image)
    for _ in range(3):
        h = residual_conv(h, width)
        width *= 2
        h = layers.Conv2D(width, 3, strides=2, padding="same")(h)
    h = residual_dense(layers.GlobalAveragePooling2D()(h), 512)
    mu, log_var = layers.Dense(latent_dim)(h), layers.Dense(latent_dim)(h)
    z = mu + noise * tf.exp(log_var / 2)
    width = 64 * size // 4  # doubled as often as 4 pixels are doubled
    h = layers.Dense(4 * 4 * width)(layers.Dense(512)(z))
    h = layers.Reshape((4, 4, width))(h)
    while width > 64:
        width //= 2
        h = layers.Conv2DTranspose(width, 3, strides=2, padding="same")(h)
        h = residual_conv(h, width)
    maps = layers.Conv2D(2 * channels + 1, 3, padding="same", activation="sigmoid")(h)
    sigma, x1, x2 = tf.split(maps, [1, channels, channels], axis=-1)
    return tf_keras.Model([image, noise], [sigma * x1 + (1 - sigma) * x2, mu, log_var])


class Training:
    """Model, optimiser and gamma; :meth:`step` is compiled to a graph."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.model = split_vae(options.image_size, options.channels, options.latent_dim)
        self.optimizer = tf_keras.optimizers.Adam(1e-4)
        self.beta = options.beta
        self.gamma, self.running = tf.Variable(1.0), tf.Variable(1.0)
        self.step = tf.function(self._step, jit_compile=options.xla)

    def _step(self, x: Any) -> Any:
        noise = tf.random.normal((x.shape[0], self.model.inputs[1].shape[1]))
        with tf.GradientTape() as tape:
            x_hat, mu, log_var = self.model([x, noise], training=True)
            error = tf.reduce_mean(tf.reduce_sum((x - x_hat) ** 2, axis=(1, 2, 3)))
            kl = tf.reduce_sum(mu**2 + tf.exp(log_var) - 1 - log_var, axis=1) / 2
            loss = error / (2 * self.gamma) + self.beta * tf.reduce_mean(kl)
        weights = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        mse = error / tf.cast(tf.reduce_prod(x.shape[1:]), tf.float32)
        self.running.assign(0.99 * self.running + 0.01 * mse)
        self.gamma.assign(tf.minimum(self.gamma, self.running))
        return loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("image-size", "channels", "latent-dim"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--beta", type=float, required=True)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--xla", action="store_true", help="compile the step with XLA")
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")  # what libraries print goes elsewhere
    os.dup2(2, 1)
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    training = Training(options)

    def answer(**facts: Any) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    weights = training.model.trainable_weights
    answer(
        parameters=sum(int(np.prod(weight.shape)) for weight in weights),
        tensorflow=tf.__version__,
        tf_keras=tf_keras.__version__,
        python=sys.version.split()[0],
        xla=options.xla,
    )
    size = options.image_size
    shape = (4 * options.batch_size, size, size, options.channels)
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    taken = 0
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            first = taken % 4 * options.batch_size
            loss = training.step(tf.constant(images[first : first + options.batch_size]))
            taken += 1
        loss = float(loss)  # waits for the last step
        answer(seconds=time.perf_counter() - start, loss=loss)


if __name__ == "__main__":
    main()
