"""Which of the first weights decide the kind of a split: the encoder's, the decoder's, the head's?

    python scripts/which_weights.py [--out results/which_weights.json]

results/weights_or_order.json found that the kind goes mostly with the first weights. Here they are
put together from the seeds of that record: encoder (with the layers that give mu and log_var) from
one, decoder (from the latent vector to its last residual block) from a second, head (the last
convolution: sigma, x1 and x2) from a third. Four seeds each, every combination: 64 Split VAEs of
the preset quick, all with one order of batches and noise. Fixed before the first run: the shares
of the variance of the measure "semantic" (svae_lib.diagnostics.split_kind, over the first 500 test
digits) that go with each part. Were all chance, each would be 3/63, and 54/63 would be left. The
part with the largest share is called the one that decides, if it has more than half; if none has,
none is.

A run that is there already is not computed again.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

from weights_or_order import ORDERS, WEIGHTS, complete, first_weights, split_of

import svae_lib as sv

ORDER = ORDERS[0]
ENCODER = ("encoder.", "latent.mu.", "latent.log_var.")
HEAD = "decoder.convolutions.6."  # the last one: three maps


def assembled(encoder: int, decoder: int, head: int) -> sv.SplitVAE:
    """A Split VAE before training, its parts from the first weights of three seeds."""
    model = first_weights(decoder)
    weights = model.state_dict()
    for prefix, seed in ((ENCODER, encoder), (HEAD, head)):
        donor = first_weights(seed).state_dict()
        weights.update({name: donor[name] for name in donor if name.startswith(prefix)})
    model.load_state_dict(weights)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/which_weights.json"))
    arguments = parser.parse_args()
    sets = sv.data.load("mnist-5k")
    what = "kind of split of 64 Split VAEs, preset quick: first weights of three parts"
    complete(
        arguments.out,
        {"what": what, "order": ORDER},
        ("encoder", "decoder", "head"),
        itertools.product(WEIGHTS, repeat=3),
        lambda *seeds: split_of(assembled(*seeds), ORDER, sets),
    )


if __name__ == "__main__":
    main()
