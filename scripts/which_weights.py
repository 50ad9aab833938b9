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
from typing import Any

from weights_or_order import ORDERS, WEIGHTS, first_weights, split_of

import svae_lib as sv
from svae_lib.files import read_json, write_json
from svae_lib.provenance import provenance

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
    record: dict[str, Any] = {
        "what": "kind of split of 64 Split VAEs, preset quick: first weights of three parts",
        "order": ORDER,
        "conditions": provenance(sv.devices.default_device()),
        "runs": [],
    }
    if arguments.out.exists():
        record = read_json(arguments.out)
    done = {(run["encoder"], run["decoder"], run["head"]) for run in record["runs"]}
    sets = sv.data.load("mnist-5k")
    for encoder, decoder, head in itertools.product(WEIGHTS, repeat=3):
        if (encoder, decoder, head) not in done:
            split = split_of(assembled(encoder, decoder, head), ORDER, sets)
            record["runs"].append({"encoder": encoder, "decoder": decoder, "head": head, **split})
            write_json(arguments.out, record, overwrite=True)


if __name__ == "__main__":
    main()
